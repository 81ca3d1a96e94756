"""`asyncendpoints operator`: runs the operator, if its extra is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_cli.extras import extra
from asyncendpoints_cli.roles import read_settings

if TYPE_CHECKING:
    from argparse import Namespace


def execute(options: Namespace) -> int:
    """Run the operator until SIGTERM or Ctrl-C, with `options.settings`."""
    options.settings = read_settings(options)
    with extra("operator"):
        from asyncendpoints_operator.main.operator import run
    return run(options)
