"""HTTP in, `202 Accepted` out: turns requests into jobs and answers questions about them."""

from asyncendpoints_gateway.server.app import Gateway
from asyncendpoints_gateway.server.attach import attach

__all__ = ["Gateway", "attach"]
