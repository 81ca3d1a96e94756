"""Claims jobs and runs their handlers, under a supervisor that keeps their leases."""

from asyncendpoints_core.errors import PermanentError, RetryAfter
from asyncendpoints_worker.context import JobContext
from asyncendpoints_worker.registry import handler, on_shutdown, on_startup
from asyncendpoints_worker.results import Result

__all__ = [
    "JobContext",
    "PermanentError",
    "Result",
    "RetryAfter",
    "handler",
    "on_shutdown",
    "on_startup",
]
