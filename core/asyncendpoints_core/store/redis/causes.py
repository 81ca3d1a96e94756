"""Why a Redis cannot be reached, in a few words for a message."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Final

from redis.asyncio.sentinel import MasterNotFoundError

from asyncendpoints_core.common.faults import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

# asyncio puts the errors of several addresses of one name into the text of one without a number.
_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")


class NotMasterError(ConnectionError):
    """A Sentinel named a server that is a replica."""


def cause_of(error: BaseException) -> str:
    """Return the cause of a lost or failed connection, as it follows "cannot be reached"."""
    for each in _chain(error):
        text = _text(each)
        if text:
            return one_line(f": {text}")[:300]
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that led to it: redis-py wraps those of the system."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _text(error: BaseException) -> str:
    if isinstance(error, MasterNotFoundError):
        return f"no Sentinel that answers knows the master ({error})"
    if isinstance(error, NotMasterError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the certificate is not accepted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "failed").replace("_", " ").lower()
        return f"TLS: {reason}"
    if isinstance(error, socket.gaierror):
        return f"its host name cannot be resolved ({error.strerror})"
    if isinstance(error, OSError):
        numbers = {error.errno} if error.errno else set(map(int, _NUMBER.findall(str(error))))
        return " or ".join(sorted(os.strerror(number).lower() for number in numbers))
    if "closed by server" in str(error):
        return "it closed the connection"
    return ""
