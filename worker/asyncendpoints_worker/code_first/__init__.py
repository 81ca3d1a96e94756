"""Endpoints declared in code: routes beside their handlers, schemas from their annotations."""
