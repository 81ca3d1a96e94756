"""What an application's `before_enqueue` takes and raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asyncendpoints_core.common.problem_types import Kind
from asyncendpoints_gateway.http.messages import PHRASES
from asyncendpoints_gateway.http.problems import Problem


@dataclass(frozen=True, slots=True)
class Request:
    """A validated request that is about to become a job.

    `path` is raw (percent-encoded) and begins with the mount; `params` are the decoded parameters
    of the route. `headers` are all headers; their names may be looked up in any case. `client` is
    the address and port of the peer, None where the server does not know it. `scope` is the ASGI
    scope, with what middlewares put there, such as `scope["user"]`.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    params: Mapping[str, str]
    body: bytes
    client: tuple[str, int] | None
    scope: Mapping[str, Any]


class Refused(Problem):
    """Raised by `before_enqueue` to refuse a request: the response is a problem (RFC 9457)."""

    def __init__(
        self, status: int, detail: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with `status` (400 to 599), `detail` for humans, and these headers.

        Raises ValueError for a status that is not one of an error.
        """
        if status not in PHRASES or status < 400:
            raise ValueError(f"status must be that of an HTTP error, such as 403: {status}")
        super().__init__("refused", detail or PHRASES[status], headers=headers)
        self.kind = Kind(status, self.kind.title)
