"""The process of the operator."""
