"""Path templates: how they are written, which overlap, and which of them a request's path matches.

Pure functions over text, used when a resource is validated and by the gateway for each request.
Templates and matching are those of the HTTP contract: segments that are a literal or a whole
`{identifier}`, the raw path split first and each segment decoded once, no redirects.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

from asyncendpoints_core.errors import TemplateError

MAX_PATH_LENGTH = 512
"""Characters of a path template."""
MAX_SEGMENTS = 32
"""Segments of a path template; more would be no path a person reads."""

TEMPLATE_PATTERN = r"^(/(\{[A-Za-z_][A-Za-z0-9_]*\}|[A-Za-z0-9._~!$&'()*+,;=:@-]+))+$"
"""The syntax of a template as one linear-time expression, for the schema of the resource."""

RESERVED = ("/jobs and everything below it", "/docs", "/openapi.json")
"""Paths that belong to the gateway itself."""

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LITERAL = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")  # RFC 3986 pchar without percent-encoding
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed path template.

    `shape` is the template with its parameters' names taken away: two templates of one shape match
    the same paths. In it a literal is its text and a parameter is None.
    """

    text: str
    shape: tuple[str | None, ...]
    names: tuple[str, ...]


def parse_template(text: str) -> Template:
    """Parse a path such as `/reports/{customer}`; raises TemplateError with the reason."""
    if not text.startswith("/"):
        raise TemplateError(f'a path begins with "/"; write "/{text}"')
    if text == "/":
        raise TemplateError('a path needs at least one segment, such as "/reports"')
    if len(text) > MAX_PATH_LENGTH:
        raise TemplateError(f"a path has at most {MAX_PATH_LENGTH} characters")
    segments = text[1:].split("/")
    if len(segments) > MAX_SEGMENTS:
        raise TemplateError(f"a path has at most {MAX_SEGMENTS} segments")
    if segments[-1] == "":
        raise TemplateError(
            f'a path does not end with "/": a trailing slash never matches; write "{text[:-1]}"'
        )
    shape: list[str | None] = []
    names: list[str] = []
    for segment in segments:
        name = _parse_segment(segment)
        shape.append(None if name else segment)
        if name in names:
            raise TemplateError(f"the parameter {{{name}}} appears twice; give each its own name")
        if name:
            names.append(name)
    return Template(text, tuple(shape), tuple(names))


def _parse_segment(segment: str) -> str | None:
    """Return the name of a parameter segment, None for a literal; raises TemplateError."""
    if segment == "":
        raise TemplateError('"//" never matches; write one "/" between two segments')
    if parameter := _PARAMETER.fullmatch(segment):
        return parameter[1]
    if "{" in segment or "}" in segment:
        raise TemplateError(
            f'"{segment}": a parameter is a whole segment, {{name}}, and its name has letters, '
            "digits and _ and does not begin with a digit"
        )
    if segment in {".", ".."}:
        raise TemplateError(f'"{segment}" is a segment that clients resolve away; name the path')
    if "%" in segment:
        raise TemplateError(f'"{segment}": a literal is written decoded, without percent signs')
    if "?" in segment or "#" in segment:
        raise TemplateError(f'"{segment}": a path has no query and no fragment')
    if not _LITERAL.fullmatch(segment):
        raise TemplateError(
            f'"{segment}": a literal has letters, digits and -._~!$&\'()*+,;=:@ only (RFC 3986)'
        )
    return None


def reserved_by(template: Template) -> str | None:
    """Return which of the gateway's own paths the template could match, or None."""
    first = template.shape[0]
    if first is None:
        # Everything below /jobs is the gateway's, so a parameter in front could always meet it.
        return "/jobs" if len(template.shape) > 1 else "/jobs, /docs and /openapi.json"
    if first == "jobs":
        return "/jobs"
    if len(template.shape) == 1 and first in {"docs", "openapi.json"}:
        return f"/{first}"
    return None


class Routed(Protocol):
    """What a router needs to know of a route; the resource's `Route` is one."""

    @property
    def path(self) -> str:
        """Return the path template."""
        ...

    @property
    def methods(self) -> Sequence[str]:
        """Return the HTTP methods it takes, in upper case."""
        ...


def find_conflicts(routes: Iterable[Routed]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield (earlier, later, methods) for every pair of routes that match the same requests.

    Routes whose path does not parse are passed over: they have a fault of their own.
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


@dataclass(frozen=True, slots=True)
class Match(Generic[R]):
    """The route that takes the request, and its parameters, decoded."""

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
    """The path is no percent-encoded UTF-8: 400, whether or not a route could have matched."""

    detail: str


Outcome = Match[R] | NotFound | MethodNotAllowed | Malformed

NOT_FOUND = NotFound()


@dataclass(slots=True)
class _Node(Generic[R]):
    """A place in the tree of segments: where literals and a parameter lead, and who ends here."""

    literals: dict[str, "_Node[R]"] = field(default_factory=dict)
    parameter: "_Node[R] | None" = None
    ends: dict[str, tuple[R, tuple[str, ...]]] = field(default_factory=dict)


class Router(Generic[R]):
    """Finds the route of a request in time that depends on the path's segments, not on the routes.

    A literal beats a parameter, leftmost segment first, among the routes that take the method.
    """

    def __init__(self, routes: Iterable[R]) -> None:
        """Build from valid routes; raises TemplateError for a bad path or for two that clash."""
        self._root: _Node[R] = _Node()
        # Without parameters a path has one spelling that needs no decoding, and beats all others.
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
                raise TemplateError(f"{method} {route.path} is taken by another route")
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
    """Walk the tree, literals first; collect in `allow` the methods of every path that fits.

    Each node is reached by one way only, so a walk visits at most all nodes once; the parameters'
    values come back last first.
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

    The path begins with "/"; the path "/" is one empty segment.
    Bytes that the server could not decode may be there as surrogate escapes (PEP 383).
    """
    segments = raw_path[1:].split("/")
    if "%" not in raw_path and raw_path.isascii():
        return segments
    if _BAD_ESCAPE.search(raw_path):
        return Malformed("the path has a percent sign that begins no escape")
    try:
        return [
            unquote_to_bytes(segment.encode("utf-8", "surrogateescape")).decode("utf-8")
            for segment in segments
        ]
    except UnicodeError:
        return Malformed("the path is not UTF-8")
