"""From an endpoint to the objects that should exist for it. Pure."""
