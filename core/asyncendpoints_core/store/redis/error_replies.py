"""What an error reply of Redis means, by its first word: the one table of them.

An error with a word that is not in the table is never about a job: whether the call was carried out
is unknown, and it may be sent again. Only a Lua error inside a script is about a record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from redis import exceptions as redis_errors

from asyncendpoints_core.errors import (
    RecordError,
    StoreAuthenticationError,
    StoreError,
    StoreUnavailable,
    StoreUnsupported,
    StoreVersionError,
)

VERSION: Final = "AEPVERSION"
"""The reply of every script to another schema; its number follows."""
EMPTY: Final = "AEPEMPTY"
"""The reply of every script when there is no store."""
TIMER: Final = "AEPTIMER"
"""The reply of scripts that add jobs, before they write, while the safety timer is on."""

FEATURE: Final = "AEPFEATURE"
"""The reply of a plain script, before it writes, to a store that uses features."""
PLAIN: Final = "AEPPLAIN"
"""The reply of a full script, before it writes, to a store that uses none."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an error reply means: its exception, and that one's message after "Redis at …", where
    `{reply}` is the reply, `{cause}` why there is none. `resend`: nothing was done, and a resend
    may succeed. `reconnect`: it needs another server or a new login for that.
    """

    error: type[StoreError]
    text: str
    resend: bool = False
    reconnect: bool = False


_NOT_READY: Final = "is not ready: {reply}"
_NO_WRITES: Final = "refuses writes: {reply}"
_LOGIN: Final = "requires a password, and none was sent"
_CREDENTIALS: Final = "refused the credentials: {reply}"
_RIGHTS: Final = "does not permit what the store needs: {reply}"

_WAIT: Final = Meaning(StoreUnavailable, _NOT_READY, resend=True)
_MOVE: Final = Meaning(StoreUnavailable, _NOT_READY, resend=True, reconnect=True)

MEANINGS: Final = {
    "BUSY": _WAIT,
    "TRYAGAIN": _WAIT,
    "LOADING": _MOVE,
    "MASTERDOWN": _MOVE,
    "MOVED": _MOVE,
    "CLUSTERDOWN": _MOVE,
    "READONLY": _MOVE,
    "UNBLOCKED": Meaning(StoreUnavailable, _NO_WRITES, reconnect=True),
    "MISCONF": Meaning(StoreUnavailable, _NO_WRITES),
    "NOREPLICAS": Meaning(StoreUnavailable, _NO_WRITES),
    "OOM": Meaning(StoreUnavailable, "has reached its memory limit"),
    "NOAUTH": Meaning(StoreAuthenticationError, _LOGIN, resend=True, reconnect=True),
    "WRONGPASS": Meaning(StoreAuthenticationError, _CREDENTIALS),
    "NOPERM": Meaning(StoreAuthenticationError, _RIGHTS),
    VERSION: Meaning(StoreVersionError, "holds a store of another format: {reply}"),
}
_UNKNOWN: Final = Meaning(StoreUnavailable, "answered: {reply}")
_UNSUPPORTED: Final = Meaning(StoreUnsupported, "lacks a command that the store needs: {reply}")
_RECORD: Final = Meaning(RecordError, "could not process a record: {reply}")
_LOST: Final = Meaning(StoreUnavailable, "cannot be reached{cause}")
_TIMED_OUT: Final = Meaning(StoreUnavailable, "did not answer in time")

# Redis 6.2 wraps the error of a command inside a script:
# `ERR Error running script (call to f_SHA): @user_script:9: @user_script: 9: -READONLY You can't…`.
_WRAPPED = re.compile(r"@user_script: ?\d+: -?([A-Z]{2,})(?: |$)")
# Lua errors: `user_script:9: attempt to …`, without the @; after a tail call without a position.
_LUA = re.compile(r"(?<!@)user_script:\d+: |^bad argument #\d")


def word_of(error: BaseException) -> str:
    """Return the first word of an error reply (of a wrapped one the inner word), else ""."""
    if not isinstance(error, redis_errors.RedisError):
        return ""
    text = str(error)
    word = error.status_code or ""
    if not word and isinstance(error, redis_errors.ResponseError):
        word = text.partition(" ")[0]
    if word == "ERR" and (inner := _WRAPPED.search(text)):
        return inner[1]
    return word


def meaning_of(error: BaseException) -> Meaning:
    """Return what an error reply, or an exception of redis-py or the system, means."""
    word = word_of(error)
    if word in MEANINGS:
        return MEANINGS[word]
    if isinstance(error, redis_errors.AuthenticationError):
        return MEANINGS["WRONGPASS"]  # `ERR invalid password`, and redis-py's own
    if isinstance(error, (redis_errors.TimeoutError, TimeoutError)):
        return _TIMED_OUT
    if not isinstance(error, redis_errors.ResponseError):
        return _LOST
    if word == "ERR":
        text = str(error)
        if _LUA.search(text):
            return _RECORD
        if text.startswith("unknown command"):
            return _UNSUPPORTED
        if text.startswith("Protocol error: unauthenticated"):
            return MEANINGS["NOAUTH"]  # to a command of more than 10 words or 16 KiB
    return _UNKNOWN


def reply_text(error: BaseException) -> str:
    """Return an error reply as the server sent it, cut to what a message can carry."""
    code = error.status_code if isinstance(error, redis_errors.RedisError) else None
    return f"{code} {error}"[:300] if code else str(error)[:300]
