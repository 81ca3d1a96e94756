"""Bearer tokens (RFC 6750): read from a file, again when it changes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import UsageError
from asyncendpoints_gateway.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.resource import AsyncEndpoint

log = logging.getLogger("asyncendpoints.gateway")

LOOK_SECONDS: Final = 1.0
"""How often the file is looked at, at most."""
MAX_FILE_BYTES: Final = 1_048_576


def parse_tokens(text: str) -> frozenset[bytes]:
    """Return the digests of the tokens in `text`, one a line; empty lines and # comments do not
    count. Digests have one length, so that comparing them tells nothing of a token's.
    """
    lines = (line.strip() for line in text.splitlines())
    return frozenset(_digest(line) for line in lines if line and not line.startswith("#"))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class TokenFile:
    """The tokens that a file holds now. A file that cannot be read leaves the last ones in force:
    a Secret is being replaced, and nobody is let in or out by that.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file; raises UsageError when it cannot be read or holds no token."""
        self._path = path
        self._clock = clock
        self._looked = clock()
        self._stamp: tuple[int, int, int] | None = None
        self._tokens: frozenset[bytes] = frozenset()
        try:
            self._read()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"{path}: no bearer tokens: {reason.lower()}") from None

    def tokens(self) -> frozenset[bytes]:
        """Return the digests of the tokens in force."""
        now = self._clock()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            try:
                self._read()
            except (OSError, ValueError) as error:
                log.warning("%s: keeping the tokens read before: %s", self._path, error)
        return self._tokens

    def _read(self) -> None:
        about = self._path.stat()
        stamp = (about.st_mtime_ns, about.st_ino, about.st_size)
        if stamp == self._stamp:
            return
        if about.st_size > MAX_FILE_BYTES:
            raise ValueError("the file is too large to be a list of tokens")
        tokens = parse_tokens(self._path.read_text(encoding="utf-8"))
        if not tokens:
            raise ValueError("the file holds no token")
        if self._stamp is not None:
            log.info("bearer tokens were read again: %d", len(tokens))
        self._tokens, self._stamp = tokens, stamp


class Guard:
    """Lets requests with a valid token through."""

    def __init__(self, tokens: Callable[[], frozenset[bytes]]) -> None:
        """Check against what `tokens` returns at that moment."""
        self._tokens = tokens

    def check(self, authorization: str | None) -> None:
        """Raise the 401 unless `authorization` is `Bearer` and a token in force."""
        if authorization is None:
            raise _refusal("send Authorization: Bearer and a token", "Bearer")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise _refusal("send Authorization: Bearer and a token", "Bearer")
        given, valid = _digest(token.strip()), False
        for known in self._tokens():  # every one, so that time does not tell which one was near
            valid |= hmac.compare_digest(given, known)
        if not valid:
            raise _refusal("the token is not valid", 'Bearer error="invalid_token"')


def guard_of(
    endpoint: AsyncEndpoint, tokens_file: Path | None = None, folder: Path | None = None
) -> Guard | None:
    """Return the guard of an endpoint, None when everybody may call.

    `tokens_file` takes the place of what the resource says; a relative path in the resource starts
    at `folder`. Raises UsageError when the tokens cannot be read.
    """
    auth = endpoint.spec.gateway.auth
    path = tokens_file
    if path is None and auth is not None and auth.tokens.file is not None:
        path = (folder or Path()) / auth.tokens.file
    if path is not None:
        return Guard(TokenFile(path).tokens)
    if auth is not None:
        raise UsageError(
            "gateway.auth.tokens names a Secret, which only a cluster has: "
            "set ASYNCENDPOINTS_AUTH_TOKENS_FILE to a file with the tokens"
        )
    return None


def _refusal(detail: str, challenge: str) -> Problem:
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": challenge})
