"""What an Endpoint in code has declared, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asyncendpoints_worker.handlers.registry import Declaration


@dataclass(frozen=True, slots=True)
class CodeRoute:
    """One use of a route's decorator. `options`: the other fields of the route that code gives."""

    path: str
    methods: tuple[str, ...]
    declaration: Declaration
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Declared:
    """An Endpoint: `module` is imported by workers, `location` is `file:line` of its creation.

    `spec` has the fields of the resource as code gives them, in snake_case or as in YAML. `routes`
    are those until now.
    """

    name: str
    namespace: str | None
    module: str
    location: str
    spec: Mapping[str, Any]
    routes: list[CodeRoute] = field(default_factory=list)
