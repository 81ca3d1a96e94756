"""The job store: one protocol, a memory adapter and a Redis adapter."""
