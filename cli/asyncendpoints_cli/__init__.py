"""The `asyncendpoints` command."""

from asyncendpoints_cli.early import end_on_sigterm

end_on_sigterm()  # here, because the rest of the program takes a second to import
