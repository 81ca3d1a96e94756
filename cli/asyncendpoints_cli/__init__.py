"""The `asyncendpoints` command."""
