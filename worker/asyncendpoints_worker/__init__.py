"""Claims jobs and runs their handlers, under a supervisor that keeps their leases."""

from asyncendpoints_core.errors import PermanentError, RetryAfter
from asyncendpoints_worker.handlers.context import JobContext
from asyncendpoints_worker.handlers.registry import handler, on_shutdown, on_startup
from asyncendpoints_worker.handlers.results import Result

__all__ = [
    "JobContext",
    "PermanentError",
    "Result",
    "RetryAfter",
    "handler",
    "on_shutdown",
    "on_startup",
]
