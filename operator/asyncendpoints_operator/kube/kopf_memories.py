"""kopf's state of each object: the only internals of kopf that are used, which are probed.

The state is not needed, since handlers of events do not use it, and takes 2 KB an object, whatever
the object's size. Where a version of kopf has other internals, it is kept.
"""

import inspect
import logging
from functools import cache
from importlib import import_module
from typing import Any

log = logging.getLogger("asyncendpoints.operator")


def no_memories() -> dict[str, Any]:
    """Return the options of kopf.operator with which it keeps no state of objects."""
    made = _class()
    return {} if made is None else {"memories": made()}


@cache
def _class() -> Any:
    base = _expected()
    if base is None:
        log.warning("kopf is not as expected inside: the operator takes 2 KB more for each object")
        return None

    async def recall(self: Any, *args: Any, **options: Any) -> Any:
        return await base.recall(self, *args, **{**options, "ephemeral": True})

    return type("NoMemories", (base,), {"recall": recall})


def _expected() -> Any:
    """Return kopf's class of these states, None where it is not as expected."""
    try:
        base: Any = import_module("kopf._core.reactor.inventory").ResourceMemories
        known = "ephemeral" in inspect.signature(base.recall).parameters
    except (ImportError, AttributeError):
        return None
    return base if known else None
