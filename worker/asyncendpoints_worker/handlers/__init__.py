"""User code: finding it, calling it, and turning what it returns or raises into an outcome."""
