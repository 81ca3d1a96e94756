"""Claims jobs and runs their handlers, under a supervisor that keeps their leases.

User code imports from the package `asyncendpoints`; the same names are still offered here.
"""

from typing import TYPE_CHECKING

from asyncendpoints_core.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from asyncendpoints_core.errors import PermanentError, RetryAfter
    from asyncendpoints_worker.handlers.context import JobContext
    from asyncendpoints_worker.handlers.registry import handler, on_shutdown, on_startup
    from asyncendpoints_worker.handlers.results import Result
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "JobContext": "asyncendpoints_worker.handlers.context",
            "PermanentError": "asyncendpoints_core.errors",
            "Result": "asyncendpoints_worker.handlers.results",
            "RetryAfter": "asyncendpoints_core.errors",
            "handler": "asyncendpoints_worker.handlers.registry",
            "on_shutdown": "asyncendpoints_worker.handlers.registry",
            "on_startup": "asyncendpoints_worker.handlers.registry",
        },
    )

__all__ = [
    "JobContext",
    "PermanentError",
    "Result",
    "RetryAfter",
    "handler",
    "on_shutdown",
    "on_startup",
]
