"""What concurrent requests share: calls to the store, one subscription, the wait estimate."""
