"""What `asyncendpoints.testing` offers."""
