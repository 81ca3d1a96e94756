"""The operations API below /api/v1."""
