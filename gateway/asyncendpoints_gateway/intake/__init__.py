"""What many requests share: calls to the store, waiting for changes, the measured drain rate."""
