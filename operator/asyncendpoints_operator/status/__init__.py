"""Status, conditions and Events, computed from what was observed."""
