"""The gateway's configuration: the parts of an endpoint that it needs, computed once at start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from asyncendpoints_core.resource.schemas import CompiledSchema, compile_schema, is_valid
from asyncendpoints_gateway.http.cors import serialized
from asyncendpoints_gateway.http.headers import KEPT
from asyncendpoints_gateway.http.named_values import source_of
from asyncendpoints_gateway.http.uniqueness import UniqueConfig
from asyncendpoints_gateway.http.webhook_requests import AllowedReceivers

if TYPE_CHECKING:
    from asyncendpoints_core.resource import AsyncEndpoint, Route


@dataclass(frozen=True, slots=True)
class ResultConfig:
    """What a route declares about its result: a media type without parameters, and a schema."""

    media_type: str
    schema: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """One route. `keep`: the headers to store, in lower case; `schema`: of the JSON body.

    `body_optional`: the schema accepts null, which an empty request stands for.
    """

    path: str
    methods: Sequence[str]
    job: str
    keep: frozenset[str]
    schema: CompiledSchema | None
    result: ResultConfig | None = None
    unique: UniqueConfig | None = None
    key: tuple[str, str] | None = None
    body_optional: bool = False

    @property
    def pointers(self) -> list[str]:
        """The JSON pointers to the values of a body that `key` and `unique` need."""
        values = [*(self.unique.values if self.unique else ()), *([self.key] if self.key else ())]
        return [name for kind, name in values if kind == "pointer"]


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The endpoint as the gateway needs it. Sizes in bytes.

    `mount` is the path below which an application serves it. `base` is the prefix of every link:
    the path that a proxy removes, then the mount.
    """

    name: str
    routes: tuple[RouteConfig, ...]
    mount: str
    base: str
    max_body: int
    max_head: int
    max_waiters: int
    may_list: bool
    origins: frozenset[str]
    receivers: AllowedReceivers

    @classmethod
    def of(cls, endpoint: AsyncEndpoint, mount: str = "") -> GatewayConfig:
        """Return the configuration of `endpoint`, mounted below `mount`."""
        spec, gateway = endpoint.spec, endpoint.spec.gateway
        routes = tuple(_route(route) for route in spec.routes)
        return cls(
            name=endpoint.name,
            routes=routes,
            mount=mount,
            base=gateway.base_path + mount,
            max_body=gateway.max_body_bytes,
            max_head=gateway.max_header_bytes,
            max_waiters=gateway.max_waiters,
            may_list=gateway.list_,
            origins=frozenset(map(serialized, gateway.cors.allow_origins if gateway.cors else ())),
            receivers=AllowedReceivers.of(spec.webhook_requests),
        )

    def below(self, root: str) -> GatewayConfig:
        """Return the same configuration for requests whose paths begin with `root` as well."""
        outer = self.base.removesuffix(self.mount)
        return replace(self, mount=root + self.mount, base=outer + root + self.mount)


def _route(route: Route) -> RouteConfig:
    schema = None if route.schema_ is None else compile_schema(route.schema_)
    result = route.result
    return RouteConfig(
        path=route.path,
        methods=tuple(route.methods),
        job=route.job,
        keep=KEPT.union(
            # Those that say something of a job are ours alone, also where a route lists them.
            name.lower()
            for name in route.headers
            if not name.lower().startswith("job-")
        ),
        schema=schema,
        result=None if result is None else ResultConfig(result.media_type, result.schema_),
        unique=UniqueConfig.of(route),
        key=None if route.key is None else source_of(route.key),
        body_optional=schema is not None and is_valid(schema, None),
    )
