"""Webhooks: the events of finished jobs, signed and sent to receivers (Standard Webhooks)."""
