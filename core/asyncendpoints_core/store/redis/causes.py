"""What callers get for an error of Redis; why it cannot be reached, in a few words."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Final

from redis.asyncio.sentinel import MasterNotFoundError

from asyncendpoints_core import __version__
from asyncendpoints_core.common.faults import one_line
from asyncendpoints_core.common.redaction import redact_url
from asyncendpoints_core.errors import StoreError, StoreVersionError
from asyncendpoints_core.store.redis.error_replies import meaning_of, reply_text
from asyncendpoints_core.store.redis.scripts import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

# asyncio puts the errors of several addresses of one name into the text of one without a number.
_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")


class NotMasterError(ConnectionError):
    """A Sentinel named a server that is a replica."""


def store_error(error: BaseException, url: str) -> StoreError:
    """Return the exception that an error reply of the Redis at `url`, or a failure of redis-py,
    becomes for callers; its message shows no credentials.
    """
    meaning, reply = meaning_of(error), reply_text(error)
    if meaning.error is StoreVersionError:
        return StoreVersionError(
            f"the store in Redis is of format {reply.split()[1]}, asyncendpoints {__version__} "
            f"reads formats up to {SCHEMA}"
        )
    text = meaning.text.format(reply=reply, cause=cause_of(error))
    return meaning.error(f"Redis at {redact_url(url)} {text}")


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
