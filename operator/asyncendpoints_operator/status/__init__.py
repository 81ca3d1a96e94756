"""From what was observed to status, conditions and Events."""
