"""The raw path of a request, from a scope that servers and parent applications fill differently.

Some parents leave `path` as it is and extend `root_path` (Starlette), some cut `path` (Litestar);
some servers begin `path` with their own `root_path` (uvicorn), some do not (Hypercorn).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from asyncendpoints_gateway.server.asgi.types import Scope

SAFE: Final = "/:@!$&'()*+,;=~"
"""What RFC 3986 §3.3 allows in a path without escapes, in addition to letters and digits."""


Location: TypeAlias = tuple[str, str]
"""The root and the path below it, both percent-encoded; a URL's path is `root + path`."""


def locate(scope: Scope) -> Location:
    """Return the path below `root_path`, which is taken off only where the path begins with it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    raw: bytes | None = scope.get("raw_path")
    if not root and raw is not None and path.isascii() and path.encode() == raw:
        return "", path  # most requests
    root = root.rstrip("/")
    text = (
        quoted(path) if raw is None else raw.partition(b"?")[0].decode("utf-8", "surrogateescape")
    )
    if text != path and (whole := unquote(text)) != path:
        tail = path if whole.endswith(path) else path.removesuffix("/")  # which Litestar adds
        if not tail or not whole.endswith(tail):
            return _below(root, path, quoted(path))  # rewritten
        start = whole[: -len(tail)]  # a parent cut it off
        root = start if _begins(start, root) else root + start
        return quoted(root), _rest(text, start, tail)
    return _below(root, path, text)


def _below(root: str, path: str, text: str) -> Location:
    """Return the location for a path and its raw `text`."""
    if not root:
        return "", text
    rest = _rest(text, root, path[len(root) :]) if _begins(path, root) else text
    return quoted(root), rest


def _begins(path: str, root: str) -> bool:
    return path.startswith(root) and (len(path) == len(root) or path[len(root)] == "/")


def _rest(text: str, start: str, rest: str) -> str:
    """Return what follows `start` in the raw `text`; `rest` is the same, decoded."""
    encoded = quoted(start)
    if _begins(text, encoded):
        return text[len(encoded) :]
    count = start.count("/") + 1
    steps = text.split("/", count)  # the client may have used other escapes
    if unquote("/".join(steps[:count])) != start:
        return quoted(rest)
    return "".join(["/" + step for step in steps[count:]])


@lru_cache(maxsize=256)
def quoted(path: str) -> str:
    """Return a decoded path with escapes. A `/` that was escaped is lost."""
    return quote(path, safe=SAFE, errors="surrogateescape")
