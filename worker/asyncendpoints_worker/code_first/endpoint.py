"""`Endpoint`: an endpoint whose routes are declared by decorators over their handlers.

Importing this loads nothing heavy: schemas and the resource are made when they are needed.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncendpoints_core.errors import UsageError
from asyncendpoints_worker.code_first.declared import CodeRoute, Declared
from asyncendpoints_worker.handlers.isolated import plain_name
from asyncendpoints_worker.handlers.registry import (
    HANDLER,
    Registry,
    declare,
    declared_in,
    refuse_yield,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncendpoints_core.resource import AsyncEndpoint

    F = TypeVar("F", bound=Callable[..., Any])

_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class Endpoint:
    """An AsyncEndpoint in code: its routes are decorators over their handlers.

        ep = Endpoint("reports", worker={"concurrency": 4}, retry={"max_retries": 5})

        @ep.post("/reports/{customer}")
        async def build_report(body: Order, job: JobContext) -> Report: ...

    `name` is that of the resource; `namespace` its namespace (default: none given). `spec`: the
    fields of `spec` in snake_case or as in YAML, but for `routes`; `worker.handlers` is the module
    that makes the Endpoint. Fields are checked when the endpoint is used; UsageError names them.
    """

    def __init__(self, name: str, *, namespace: str | None = None, **spec: Any) -> None:
        if "routes" in spec:
            raise UsageError('routes: declare them by decorators: @ep.post("/path")')
        caller = sys._getframe(1)
        location = f"{caller.f_code.co_filename}:{caller.f_lineno}"
        module = _module_of(caller.f_globals)
        self._declared = Declared(name, namespace, module, location, spec)
        self._module_name = str(caller.f_globals.get("__name__", ""))

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r}, {len(self._declared.routes)} routes)"

    @property
    def name(self) -> str:
        """The name of the resource."""
        return self._declared.name

    def declared(self) -> Declared:
        """Return what is declared; it grows with what is declared later."""
        return self._declared

    def post(
        self, path: str, *, name: str | None = None, methods: Sequence[str] = (), **route: Any
    ) -> Callable[[F], F]:
        """Make the decorated function run the jobs of POST requests to `path`.

        `name` is the job's, by default the function's with "_" as "-". `methods` replaces POST.
        `route`: other fields of the route, such as `headers=["X-Tenant"]`, `result={"check": True}`
        or a `schema` in place of that of the annotation. The function is returned unchanged.

        Raises UsageError for a path or a job name that another function has, and for a function
        that takes a path parameter: these are in `job.route_params`.
        """
        return self._route(path, tuple(methods) or ("POST",), name, route)

    def put(self, path: str, *, name: str | None = None, **route: Any) -> Callable[[F], F]:
        """Make the decorated function run the jobs of PUT requests to `path`; see `post`."""
        return self._route(path, ("PUT",), name, route)

    def patch(self, path: str, *, name: str | None = None, **route: Any) -> Callable[[F], F]:
        """Make the decorated function run the jobs of PATCH requests to `path`; see `post`."""
        return self._route(path, ("PATCH",), name, route)

    def delete(self, path: str, *, name: str | None = None, **route: Any) -> Callable[[F], F]:
        """Make the decorated function run the jobs of DELETE requests to `path`; see `post`."""
        return self._route(path, ("DELETE",), name, route)

    def _route(
        self, path: str, methods: tuple[str, ...], name: str | None, options: Mapping[str, Any]
    ) -> Callable[[F], F]:
        if not isinstance(path, str):
            raise UsageError('write @ep.post("/path"): the path of the route is missing')

        def decorate(function: F) -> F:
            job = name or getattr(function, "__name__", "").strip("_").replace("_", "-")
            if not job:
                raise UsageError(f"{path}: this function has no name; write name=…")
            refuse_yield(job, function)
            caller = sys._getframe(1)
            self._refuse(path, job, function, f"{caller.f_code.co_filename}:{caller.f_lineno}")
            declared = declare(caller, HANDLER, job, function, by_annotation=True)
            self._declared.routes.append(CodeRoute(path, methods, declared, dict(options)))
            return function

        return decorate

    def _refuse(self, path: str, job: str, function: object, location: str) -> None:
        for route in self._declared.routes:
            there = route.declaration
            if route.path == path:
                raise UsageError(
                    f"two functions have the path {path}: {there.location} and {location}; one "
                    "path has one function, with methods=[…] for several methods"
                )
            if there.name == job and there.function is not function:
                raise UsageError(
                    f'job "{job}" has two handlers: {there.location} and {location}; write name=…'
                )
        for parameter in sorted(_PARAMETER.findall(path)):
            if parameter in _parameters(function):
                raise UsageError(
                    f'handler "{job}" ({location}) takes {parameter}, a parameter of its path: a '
                    f'handler takes (body, job); read job.route_params["{parameter}"]'
                )

    def registry(self) -> Registry:
        """Return the handlers of the routes, with the start-up and shut-down functions of their
        modules.
        """
        declared = [route.declaration for route in self._declared.routes]
        names = [self._module_name, *(_home(each.function) for each in declared)]
        hooks = [
            hook
            for module in dict.fromkeys(names)
            for hook in declared_in(sys.modules.get(module))
            if hook.kind != HANDLER
        ]
        return Registry.of([*declared, *sorted(hooks, key=lambda each: each.declared_ns)])

    def document(self) -> dict[str, Any]:
        """Return the resource as YAML would say it: what the code gives, without default values.

        Raises UsageError for annotations and schemas that cannot be used.
        """
        from asyncendpoints_worker.code_first.document import document_of  # imports pydantic

        return document_of(self.declared())

    def resource(self) -> AsyncEndpoint:
        """Return the checked resource. Raises UsageError with every fault, one a line."""
        from asyncendpoints_worker.code_first.document import resource_of  # imports pydantic

        return resource_of(self.declared())


def _module_of(module: Mapping[str, Any]) -> str:
    """Return the name by which a worker imports a module that may run as a script now."""
    name = str(module.get("__name__", ""))
    if name != "__main__":
        return plain_name(name)
    spec = module.get("__spec__")
    return spec.name if spec is not None else Path(str(module.get("__file__", name))).stem


def _home(function: object) -> str:
    return str(getattr(function, "__module__", ""))


def _parameters(function: object) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(function).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # reported, with the reason, when the endpoint is used
        return frozenset()
