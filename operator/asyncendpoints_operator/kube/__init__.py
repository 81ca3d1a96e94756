"""The Kubernetes API: client, watch, cache, leader election, work queue."""
