"""The `asyncendpoints` command."""

from asyncendpoints_cli.early import end_on_sigterm

end_on_sigterm()  # first of all: importing the rest takes a second
