"""What every process has: settings, logs and metrics, and its exit report."""
