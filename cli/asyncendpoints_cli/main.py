"""Entry points of the commands. An interrupt ends them quietly while they import the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_cli.early import ended_by_interrupts

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return its exit status."""
    with ended_by_interrupts():
        from asyncendpoints_cli import command_line

        return command_line.main(argv)


def kubectl(argv: Sequence[str] | None = None) -> int:
    """Run `kubectl aep …`: the commands for a running endpoint, of one in kubectl's cluster."""
    with ended_by_interrupts():
        from asyncendpoints_cli import command_line

        return command_line.kubectl(argv)


def complete_kubectl(argv: Sequence[str] | None = None) -> int:
    """Complete `kubectl aep …`, as kubectl expects it of `kubectl_complete-aep`."""
    with ended_by_interrupts():
        from asyncendpoints_cli import command_line

        return command_line.complete_kubectl(argv)
