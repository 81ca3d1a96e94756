"""Access to Kubernetes: client, watch, cache, leader election, work queue."""
