"""`asyncendpoints operator`: starts the operator, if its extra is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_cli.extras import load_operator
from asyncendpoints_cli.roles import read_settings

if TYPE_CHECKING:
    from argparse import Namespace


def execute(options: Namespace) -> int:
    """Run the operator until SIGTERM or Ctrl-C; `options.settings` are what it reads."""
    options.settings = read_settings(options)
    return int(load_operator("main.operator").run(options))
