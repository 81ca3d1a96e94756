"""Who may use the operations API: bearer tokens of two roles, sessions of browsers, and the checks
that keep pages of other origins out.

Being able to reach the port is no permission: every process of the machine can.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints_console.refusals import Refusal, forbidden, unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncendpoints_core.common.time_source import TimeSource

SESSION_SECONDS: Final = 12 * 3_600
LOGIN_LINK_SECONDS: Final = 3_600
MAX_SESSIONS: Final = 1_000
_LOOPBACK: Final = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.ASCII)
_SAME_ORIGIN: Final = frozenset({"same-origin", "none"})


class Role(StrEnum):
    """What a token allows."""

    VIEW = "view"
    OPERATE = "operate"


def new_token() -> str:
    """Return a random token of 256 bits."""
    return secrets.token_urlsafe(32)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def check_origin(headers: Mapping[str, str]) -> None:
    """Refuse a request that another site's page could have caused (403)."""
    host = headers.get("Host", "").lower()
    if _LOOPBACK.fullmatch(host) is None:
        raise forbidden("the Host must be localhost, 127.0.0.1 or [::1]")
    if headers.get("Sec-Fetch-Site", "none") not in _SAME_ORIGIN:
        raise forbidden("requests of other sites are not allowed")
    origin = headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{host}":
        raise forbidden("requests of other origins are not allowed")


def check_mutation(headers: Mapping[str, str], role: Role, *, read_only: bool) -> None:
    """Refuse a request that changes something, unless it is JSON and its role may (403)."""
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise forbidden("requests that change something need Content-Type: application/json")
    if read_only:
        raise forbidden("this console is read-only")
    if role is not Role.OPERATE:
        raise forbidden("the view token does not allow changes; use the operate token")


class _Grant(NamedTuple):
    """What a session or link allows until `ends`, while its role has the token of `token`."""

    role: Role
    ends: float
    token: bytes


class Access:
    """The tokens, sessions and login links of one listener. A role without a token is off."""

    def __init__(self, tokens: Callable[[], Mapping[Role, str]], time: TimeSource) -> None:
        """Accept what `tokens` returns at each moment; sessions end by `time`, or with the token
        that opened them.
        """
        self._tokens = tokens
        self._time = time
        self._sessions: dict[bytes, _Grant] = {}
        self._links: dict[bytes, _Grant] = {}

    def role(self, authorization: str | None, session: str | None) -> Role:
        """Return the role of a request, by its token, else by its session. Raises the 401."""
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            role = self.role_of_token(token.strip()) if scheme.lower() == "bearer" else None
        else:
            role = self._look_up(self._sessions, session or "")
        if role is None:
            raise unauthorized()
        return role

    def role_of_token(self, token: str) -> Role | None:
        """Return the role of a token, None of a wrong one."""
        given, found = _digest(token), None
        for role, known in self._tokens().items():  # all of them: constant time
            if hmac.compare_digest(given, _digest(known)):
                found = role
        return found

    def log_in(self, token: str) -> str:
        """Return the secret of a new session. Raises the 401 for a wrong token."""
        role = self.role_of_token(token)
        if role is None:
            raise Refusal("unauthorized", "the token is not valid")
        return self._add(self._sessions, role, SESSION_SECONDS)

    def log_out(self, session: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(session), None)

    def new_link(self, role: Role) -> str:
        """Return a code that opens one session of `role`, once, within an hour."""
        return self._add(self._links, role, LOGIN_LINK_SECONDS)

    def use_link(self, code: str) -> str | None:
        """Return the secret of the session that a code opens; None for an unknown or used one."""
        role = self._look_up(self._links, code)
        if role is None:
            return None
        del self._links[_digest(code)]
        return self._add(self._sessions, role, SESSION_SECONDS)

    def _look_up(self, known: dict[bytes, _Grant], secret: str) -> Role | None:
        grant = known.get(_digest(secret))
        if grant is None or self._time.monotonic() >= grant.ends:
            return None
        return grant.role if grant.token == self._token_digest(grant.role) else None

    def _token_digest(self, role: Role) -> bytes:
        token = self._tokens().get(role)
        return b"" if token is None else _digest(token)

    def _add(self, known: dict[bytes, _Grant], role: Role, seconds: float) -> str:
        now = self._time.monotonic()
        for old in [digest for digest, grant in known.items() if grant.ends <= now]:
            del known[old]
        while len(known) >= MAX_SESSIONS:
            del known[next(iter(known))]
        secret = new_token()
        known[_digest(secret)] = _Grant(role, now + seconds, self._token_digest(role))
        return secret
