"""The public interface of asyncendpoints: everything that user code imports.

    from asyncendpoints import JobContext, handler

A name is imported when it is first used, so that a module of handlers does not load a web server
or a Redis client.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncendpoints import testing
    from asyncendpoints_core import __version__
    from asyncendpoints_core.errors import PermanentError, RetryAfter, UsageError
    from asyncendpoints_core.manifest import load
    from asyncendpoints_core.store.memory import MemoryStore
    from asyncendpoints_core.store.redis import RedisStore
    from asyncendpoints_gateway.server.asgi.application import asgi
    from asyncendpoints_gateway.server.attach import attach
    from asyncendpoints_gateway.views.before_enqueue import Refused, Request
    from asyncendpoints_worker.code_first.endpoint import Endpoint
    from asyncendpoints_worker.handlers.context import JobContext
    from asyncendpoints_worker.handlers.registry import handler, on_shutdown, on_startup
    from asyncendpoints_worker.handlers.results import Result
else:
    from asyncendpoints_core.common.lazy_exports import lazy_exports

    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "Endpoint": "asyncendpoints_worker.code_first.endpoint",
            "JobContext": "asyncendpoints_worker.handlers.context",
            "MemoryStore": "asyncendpoints_core.store.memory",
            "PermanentError": "asyncendpoints_core.errors",
            "RedisStore": "asyncendpoints_core.store.redis",
            "Refused": "asyncendpoints_gateway.views.before_enqueue",
            "Request": "asyncendpoints_gateway.views.before_enqueue",
            "Result": "asyncendpoints_worker.handlers.results",
            "RetryAfter": "asyncendpoints_core.errors",
            "UsageError": "asyncendpoints_core.errors",
            "__version__": "asyncendpoints_core",
            "asgi": "asyncendpoints_gateway.server.asgi.application",
            "attach": "asyncendpoints_gateway.server.attach",
            "handler": "asyncendpoints_worker.handlers.registry",
            "load": "asyncendpoints_core.manifest",
            "on_shutdown": "asyncendpoints_worker.handlers.registry",
            "on_startup": "asyncendpoints_worker.handlers.registry",
            "testing": "asyncendpoints",
        },
    )
    del lazy_exports

__all__ = [
    "Endpoint",
    "JobContext",
    "MemoryStore",
    "PermanentError",
    "RedisStore",
    "Refused",
    "Request",
    "Result",
    "RetryAfter",
    "UsageError",
    "__version__",
    "asgi",
    "attach",
    "handler",
    "load",
    "on_shutdown",
    "on_startup",
    "testing",
]

del TYPE_CHECKING
