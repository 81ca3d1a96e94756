"""Entry point of the `asyncendpoints` command: parses the command line and starts one role."""

import argparse
from collections.abc import Sequence

from asyncendpoints_core import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return its exit status."""
    parser = argparse.ArgumentParser(prog="asyncendpoints")
    parser.add_argument("--version", action="version", version=f"asyncendpoints {__version__}")
    parser.parse_args(argv)
    parser.print_help()
    return 2
