"""The commands that use the operations API of a running console."""
