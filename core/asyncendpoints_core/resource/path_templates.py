"""Path templates: parsing, conflicts, and matching a request's path.

A segment of a template is a literal or a whole `{parameter}`. A raw path is split first, then each
segment is decoded once; there are no redirects.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

from asyncendpoints_core.errors import TemplateError

MAX_PATH_LENGTH = 512
"""Characters of a path template."""
MAX_SEGMENTS = 32
"""Segments of a path template."""

TEMPLATE_PATTERN = r"^(/(\{[A-Za-z_][A-Za-z0-9_]*\}|[A-Za-z0-9._~!$&'()*+,;=:@-]+))+$"
"""The syntax of a template as one linear-time expression, for the CRD."""

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LITERAL = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")  # RFC 3986 pchar without percent-encoding
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed path template.

    `shape` has the text of each literal and None for each parameter: templates of the same shape
    match the same paths.
    """

    text: str
    shape: tuple[str | None, ...]
    names: tuple[str, ...]


def parse_template(text: str) -> Template:
    """Parse a path such as `/reports/{customer}`; raises TemplateError with the reason."""
    if not text.startswith("/"):
        raise TemplateError(f'must start with "/"; write "/{text}"')
    if text == "/":
        raise TemplateError('must have at least one segment, such as "/reports"')
    if len(text) > MAX_PATH_LENGTH:
        raise TemplateError(f"must have at most {MAX_PATH_LENGTH} characters")
    segments = text[1:].split("/")
    if len(segments) > MAX_SEGMENTS:
        raise TemplateError(f"must have at most {MAX_SEGMENTS} segments")
    if segments[-1] == "":
        raise TemplateError(
            f'must not end with "/": a trailing slash never matches; write "{text[:-1]}"'
        )
    shape: list[str | None] = []
    names: list[str] = []
    for segment in segments:
        name = _parse_segment(segment)
        shape.append(None if name else segment)
        if name in names:
            raise TemplateError(f"duplicate parameter {{{name}}}; parameter names must be unique")
        if name:
            names.append(name)
    return Template(text, tuple(shape), tuple(names))


def _parse_segment(segment: str) -> str | None:
    """Return the name of a parameter segment, None for a literal; raises TemplateError."""
    if segment == "":
        raise TemplateError('"//" never matches; write a single "/" between segments')
    if parameter := _PARAMETER.fullmatch(segment):
        return parameter[1]
    if "{" in segment or "}" in segment:
        raise TemplateError(
            f'"{segment}": a parameter must be a whole segment, {{name}}, whose name has letters, '
            "digits and _ and does not start with a digit"
        )
    if segment in {".", ".."}:
        raise TemplateError(f'must not contain the segment "{segment}", which clients resolve')
    if "%" in segment:
        raise TemplateError(f'"{segment}": write literals decoded, without percent-encoding')
    if "?" in segment or "#" in segment:
        raise TemplateError(f'"{segment}": must not contain a query or a fragment')
    if not _LITERAL.fullmatch(segment):
        raise TemplateError(
            f'"{segment}": a literal may contain letters, digits and -._~!$&\'()*+,;=:@ (RFC 3986)'
        )
    return None


def reserved_by(template: Template) -> str | None:
    """Return which of the gateway's reserved paths the template could match, or None."""
    first = template.shape[0]
    if first is None:
        # Everything below /jobs is reserved, so a leading parameter can always match it.
        return "/jobs" if len(template.shape) > 1 else "/jobs, /docs and /openapi.json"
    if first == "jobs":
        return "/jobs"
    if len(template.shape) == 1 and first in {"docs", "openapi.json"}:
        return f"/{first}"
    return None


class Routed(Protocol):
    """The part of a route that a router needs; the resource's `Route` has it."""

    @property
    def path(self) -> str:
        """Return the path template."""
        ...

    @property
    def methods(self) -> Sequence[str]:
        """Return its HTTP methods, in upper case."""
        ...


def find_conflicts(routes: Iterable[Routed]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield (earlier, later, methods) for every pair of routes that match the same requests.

    Routes with an invalid path are skipped.
    """
    seen: dict[tuple[tuple[str | None, ...], str], int] = {}
    for index, route in enumerate(routes):
        try:
            shape = parse_template(route.path).shape
        except TemplateError:
            continue
        clashes: dict[int, list[str]] = {}
        for method in dict.fromkeys(route.methods):
            earlier = seen.setdefault((shape, method), index)
            if earlier != index:
                clashes.setdefault(earlier, []).append(method)
        for earlier, methods in clashes.items():
            yield earlier, index, tuple(methods)


R = TypeVar("R", bound=Routed)


class Match(NamedTuple, Generic[R]):
    """The route that matches the request, and its decoded parameters."""

    route: R
    params: dict[str, str]


@dataclass(frozen=True, slots=True)
class NotFound:
    """No route has this path: 404."""


@dataclass(frozen=True, slots=True)
class MethodNotAllowed:
    """Routes have this path but not this method: 405. `allow` is sorted, for the Allow header."""

    allow: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Malformed:
    """The path is not percent-encoded UTF-8: 400, whether or not a route could have matched."""

    detail: str


Outcome = Match[R] | NotFound | MethodNotAllowed | Malformed

NOT_FOUND = NotFound()


@dataclass(slots=True)
class _Node(Generic[R]):
    """A node of the segment tree: its children, and the routes that end here by method."""

    literals: dict[str, "_Node[R]"] = field(default_factory=dict)
    parameter: "_Node[R] | None" = None
    ends: dict[str, tuple[R, tuple[str, ...]]] = field(default_factory=dict)


class Router(Generic[R]):
    """Finds the route of a request, in time independent of the number of routes.

    Literals take precedence over parameters, leftmost segment first, among the routes with the
    request's method.
    """

    def __init__(self, routes: Iterable[R]) -> None:
        """Build from valid routes; raises TemplateError for an invalid path or a conflict."""
        self._root: _Node[R] = _Node()
        # Paths without parameters: their plain spelling takes precedence and needs no decoding.
        self._literal: dict[tuple[str, str], R] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: R) -> None:
        template = parse_template(route.path)
        node = self._root
        for segment in template.shape:
            if segment is None:
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        for method in route.methods:
            if method in node.ends:
                raise TemplateError(f"{method} {route.path} conflicts with another route")
            node.ends[method] = (route, template.names)
            if not template.names:
                self._literal[method, route.path] = route

    def match(self, method: str, raw_path: str) -> "Outcome[R]":
        """Find the route for a method (upper case) and a raw path (still encoded, no query)."""
        literal = self._literal.get((method, raw_path))
        if literal is not None:  # the commonest kind of path needs no walk
            return Match(literal, {})
        if not raw_path.startswith("/"):  # the "*" of OPTIONS, the authority of CONNECT
            return NOT_FOUND
        segments = split_raw_path(raw_path)
        if isinstance(segments, Malformed):
            return segments
        allow: set[str] = set()
        found = _find(self._root, segments, 0, method, allow)
        if found is not None:
            (route, names), values = found
            return Match(route, dict(zip(names, reversed(values), strict=True)))
        return MethodNotAllowed(tuple(sorted(allow))) if allow else NOT_FOUND


def _find(
    node: _Node[R], segments: Sequence[str], depth: int, method: str, allow: set[str]
) -> tuple[tuple[R, tuple[str, ...]], list[str]] | None:
    """Walk the tree, literals first; collect in `allow` the methods of every matching path.

    Each node has one parent, so a walk visits every node at most once. The parameters' values are
    returned in reverse order.
    """
    if depth == len(segments):
        allow.update(node.ends)
        end = node.ends.get(method)
        return None if end is None else (end, [])
    segment = segments[depth]
    child = node.literals.get(segment)
    if child is not None:
        found = _find(child, segments, depth + 1, method, allow)
        if found is not None:
            return found
    if node.parameter is not None and segment != "":
        found = _find(node.parameter, segments, depth + 1, method, allow)
        if found is not None:
            found[1].append(segment)
        return found
    return None


def split_raw_path(raw_path: str) -> list[str] | Malformed:
    """Split a raw path at "/" and decode each segment once, so that %2F stays in its segment.

    The path starts with "/"; the path "/" is one empty segment. Undecodable bytes may be surrogate
    escapes (PEP 383).
    """
    segments = raw_path[1:].split("/")
    if "%" not in raw_path and raw_path.isascii():
        return segments
    if _BAD_ESCAPE.search(raw_path):
        return Malformed("the path has an invalid percent-encoding")
    try:
        return [
            unquote_to_bytes(segment.encode("utf-8", "surrogateescape")).decode("utf-8")
            for segment in segments
        ]
    except UnicodeError:
        return Malformed("the path is not UTF-8")
