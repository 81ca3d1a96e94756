"""Settings, logging and metric names of all processes, and the exit report of workers."""
