"""HTTP in, `202 Accepted` out: turns requests into jobs and answers questions about them."""

from asyncendpoints_gateway.app import Gateway
from asyncendpoints_gateway.attach import attach

__all__ = ["Gateway", "attach"]
