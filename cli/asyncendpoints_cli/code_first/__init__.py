"""Endpoints in code on the command line: finding them, and writing them into YAML files."""
