"""What the leader does for each endpoint: reconcile, apply, scale, recover, purge."""
