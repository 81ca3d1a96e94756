"""What an application may name an endpoint by: the resource, a file, or an Endpoint in code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.manifest.loader import Loaded, Manifest, load
from asyncendpoints_core.resource import AsyncEndpoint


class CodeEndpoint(Protocol):
    """An endpoint declared in code."""

    def resource(self) -> AsyncEndpoint:
        """Return the checked resource. Raises UsageError."""
        ...

    def registry(self) -> Any:
        """Return the registry of its handlers."""
        ...


Source = AsyncEndpoint | CodeEndpoint | Loaded | Manifest | str | Path


@dataclass(frozen=True, slots=True)
class Resolved:
    """An endpoint with where its handlers are: their registry, or folders to import from."""

    endpoint: AsyncEndpoint
    registry: Any = None
    folders: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path | None:
        """The folder of the endpoint's file, if it has one."""
        return self.folders[0] if self.folders else None


def resolve_source(source: Source) -> Resolved:
    """Return the one endpoint of `source`. Raises UsageError, with every fault of a file."""
    if isinstance(source, AsyncEndpoint):
        return Resolved(source)
    if isinstance(source, str | Path):
        source = load([source])
    if isinstance(source, Manifest):
        if source.faults:
            raise UsageError("\n".join(fault.render() for fault in source.faults))
        if len(source.loaded) != 1:
            names = ", ".join(item.endpoint.name for item in source.loaded)
            raise UsageError(f"one endpoint is needed, but there are {len(source.loaded)}: {names}")
        source = source.loaded[0]
    if isinstance(source, Loaded):
        return Resolved(source.endpoint, folders=(source.folder,))
    if not (hasattr(source, "resource") and hasattr(source, "registry")):
        raise UsageError(
            f"an Endpoint, a file or what load() returned is needed, not {type(source).__name__}"
        )
    return Resolved(source.resource(), source.registry())
