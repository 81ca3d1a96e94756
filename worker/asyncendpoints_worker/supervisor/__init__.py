"""The first process of a worker and its child processes."""
