"""What is below a connection of redis-py: the only private attributes of redis-py that are used.

They are probed. Where a version of redis-py has others, its public interface is used instead, which
costs more processor time, and one warning says so.
"""

from __future__ import annotations

import asyncio
import logging
import math
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from redis import exceptions as redis_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio.connection import AbstractConnection

log = logging.getLogger("asyncendpoints")


class Wire(NamedTuple):
    """The transport of a connection, what makes exceptions of the texts of its error replies, and
    whether the server has closed it.
    """

    transport: asyncio.WriteTransport
    error_of: Callable[[str], Exception]
    ended: bool


def wire_of(connection: AbstractConnection) -> Wire | None:
    """Return what is below a connection that is logged in and has no reply unread; None where this
    version of redis-py keeps it elsewhere.
    """
    reader = getattr(connection, "_reader", None)
    writer = getattr(connection, "_writer", None)
    error_of = getattr(getattr(connection, "_parser", None), "parse_error", None)
    if (
        isinstance(reader, asyncio.StreamReader)
        and isinstance(writer, asyncio.StreamWriter)
        and callable(error_of)
        and _makes_errors(error_of)
    ):
        transport = writer.transport
        return Wire(transport, error_of, reader.at_eof() or transport.is_closing())
    _warn()
    return None


async def read_replies(connection: AbstractConnection, take: Callable[[Any], None]) -> None:
    """Call `take` with each reply that redis-py reads, until its connection is lost."""
    while True:
        try:
            reply = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
        except redis_errors.RedisError as error:
            # Some error replies are of ConnectionError too (LOADING, NOAUTH).
            if not isinstance(error, redis_errors.ResponseError) and not error.status_code:
                raise
            reply = error
        take(reply)


def _makes_errors(error_of: Callable[[str], object]) -> bool:
    try:
        return isinstance(error_of("LOADING its data"), redis_errors.BusyLoadingError)
    except Exception:
        return False


@cache
def _warn() -> None:
    log.warning(
        "redis-py %s is not as expected inside: calls to Redis cost more processor time",
        version("redis"),
    )
