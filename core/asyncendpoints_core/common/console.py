"""What gateways, the operator and the command agree on about the console of an endpoint."""

from typing import Final

PORT: Final = 9_091
"""The port of the console, unless another one is set."""
ROLES: Final = ("view", "operate")
"""The roles of a console; each has a token of its own, and the last one allows more."""
DATA_KEY: Final = "token"
"""Key in the Secrets with the tokens."""


def secret_name(endpoint: str, role: str) -> str:
    """Return the name of the Secret with the token of a role, by the endpoint's name."""
    return f"{endpoint}-console-{role}"
