"""HTTP in, `202 Accepted` out: turns requests into jobs and answers questions about them."""

from typing import TYPE_CHECKING

from asyncendpoints_core.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from asyncendpoints_gateway.server.attach import attach
else:
    __getattr__, __dir__ = lazy_exports(
        __name__, {"attach": "asyncendpoints_gateway.server.attach"}
    )

__all__ = ["attach"]
