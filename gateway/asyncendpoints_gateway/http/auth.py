"""Bearer tokens (RFC 6750): from a file that is reloaded when it changes."""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import UsageError
from asyncendpoints_gateway.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.resource import AsyncEndpoint

log = logging.getLogger("asyncendpoints.gateway")

CHECK_SECONDS: Final = 1.0
"""The shortest time between two checks of the file."""
MAX_FILE_BYTES: Final = 1_048_576


def parse_tokens(text: str) -> frozenset[bytes]:
    """Return the digests of the tokens in `text`, one per line; empty lines and # comments are
    ignored. Digests have one length, so comparing them does not reveal a token's length.
    """
    lines = (line.strip() for line in text.splitlines())
    return frozenset(_digest(line) for line in lines if line and not line.startswith("#"))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class TokenFile:
    """The tokens in a file. While the file cannot be read, as when a Secret is being replaced, the
    tokens read before stay valid.
    """

    def __init__(self, path: Path, time: TimeSource) -> None:
        """Read the file; raises UsageError when it cannot be read or has no tokens."""
        self._path = path
        self._time = time
        self._checked_at = time.monotonic()
        self._stamp: tuple[int, int, int] | None = None
        self._tokens: frozenset[bytes] = frozenset()
        try:
            self._read()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"{path}: no bearer tokens: {reason.lower()}") from None

    def tokens(self) -> frozenset[bytes]:
        """Return the digests of the valid tokens."""
        now = self._time.monotonic()
        if now - self._checked_at >= CHECK_SECONDS:
            self._checked_at = now
            try:
                self._read()
            except (OSError, ValueError) as error:
                log.warning(
                    "%s: cannot reload the tokens, keeping the previous ones: %s", self._path, error
                )
        return self._tokens

    def _read(self) -> None:
        stat = self._path.stat()
        stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if stamp == self._stamp:
            return
        if stat.st_size > MAX_FILE_BYTES:
            raise ValueError(f"the file exceeds {MAX_FILE_BYTES} bytes")
        tokens = parse_tokens(self._path.read_text(encoding="utf-8"))
        if not tokens:
            raise ValueError("the file contains no tokens")
        if self._stamp is not None:
            log.info("reloaded %d bearer tokens", len(tokens))
        self._tokens, self._stamp = tokens, stamp


class Guard:
    """Accepts requests with a valid token."""

    def __init__(self, tokens: Callable[[], frozenset[bytes]]) -> None:
        """Check against the result of `tokens` at the time of each request."""
        self._tokens = tokens

    def check(self, authorization: str) -> None:
        """Raise the 401 unless `authorization` is `Bearer` and a valid token."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise _refusal("send Authorization: Bearer TOKEN", "Bearer")
        given, valid = _digest(token.strip()), False
        for known in self._tokens():  # all of them: constant time
            valid |= hmac.compare_digest(given, known)
        if not valid:
            raise _refusal("the token is not valid", 'Bearer error="invalid_token"')


def guard_of(
    endpoint: AsyncEndpoint,
    time: TimeSource,
    tokens_file: Path | None = None,
    folder: Path | None = None,
) -> Guard | None:
    """Return the guard of an endpoint, None when it requires no token.

    `tokens_file` overrides the resource; a relative path in the resource is resolved against
    `folder`. Raises UsageError when the tokens cannot be read.
    """
    auth = endpoint.spec.gateway.auth
    path = tokens_file
    if path is None and auth is not None and auth.tokens.file is not None:
        path = (folder or Path()) / auth.tokens.file
    if path is not None:
        return Guard(TokenFile(path, time).tokens)
    if auth is not None:
        raise UsageError(
            "gateway.auth.tokens refers to a Secret, which exists in a cluster only: "
            "set ASYNCENDPOINTS_AUTH_TOKENS_FILE to a file with the tokens"
        )
    return None


def _refusal(detail: str, challenge: str) -> Problem:
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": challenge})
