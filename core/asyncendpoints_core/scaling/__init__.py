"""Autoscaling: how many workers an endpoint should have, and which are removed first. Pure."""
