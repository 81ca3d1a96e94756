"""The HTTP gateway: turns requests into jobs, and reports their state and results."""

from typing import TYPE_CHECKING

from asyncendpoints_core.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from asyncendpoints_gateway.server.app import Gateway
    from asyncendpoints_gateway.server.attach import attach
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "Gateway": "asyncendpoints_gateway.server.app",
            "attach": "asyncendpoints_gateway.server.attach",
        },
    )

__all__ = ["Gateway", "attach"]
