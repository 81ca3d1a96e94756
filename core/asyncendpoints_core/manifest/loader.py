"""Loads endpoints from files, or returns every fault with its field, file, line and column."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from asyncendpoints_core.common.faults import Fault, Location
from asyncendpoints_core.manifest.messages import explain, guess
from asyncendpoints_core.manifest.yaml_reader import Document, read_documents
from asyncendpoints_core.resource import API_VERSION, KIND, AsyncEndpoint, Route, cluster_faults
from asyncendpoints_core.resource.routes import conflicts

MAX_FILE_BYTES: Final = 4_194_304
"""Larger than any resource that a cluster accepts, and small enough to read at once."""

# The fields of metav1.ObjectMeta, to detect misspelled ones.
_METADATA: Final = (
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """An endpoint and its source."""

    endpoint: AsyncEndpoint
    file: Path
    document: Document

    @property
    def folder(self) -> Path:
        """The folder of its file, links resolved: handlers are imported from there."""
        return self.file.resolve().parent

    def fault(self, location: Location, message: str) -> Fault:
        """Return a fault of a later check with its position: ("spec", "worker"), "…"."""
        return self.document.fault(location, message)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The loaded endpoints, without the ones that have faults."""

    loaded: tuple[Loaded, ...]
    faults: tuple[Fault, ...]

    @property
    def endpoints(self) -> tuple[AsyncEndpoint, ...]:
        """The endpoints, in the order of the files."""
        return tuple(item.endpoint for item in self.loaded)


def load(paths: str | Path | Iterable[str | Path], *, cluster: bool = False) -> Manifest:
    """Load every endpoint of one or more files; `cluster` adds the requirements of a cluster.

    A file has one or more YAML documents (JSON is YAML), each an AsyncEndpoint. Invalid files do
    not raise: their faults are returned in the order of files and lines.
    """
    loaded: list[Loaded] = []
    faults: list[Fault] = []
    first: dict[tuple[str, str], Fault] = {}
    for path in (paths,) if isinstance(paths, str | Path) else paths:
        text = _read(Path(path))
        if isinstance(text, Fault):
            faults.append(text)
            continue
        here: list[Fault] = []
        documents = [d for d in read_documents(text, str(path)) if d.faults or d.value is not None]
        for document in documents:
            endpoint, found = check(document, cluster=cluster)
            found = (*found, *_named_twice(document, first))
            here += found
            if endpoint is not None and not found:
                loaded.append(Loaded(endpoint, Path(path), document))
        if not documents:
            here.append(Fault((), f"does not contain an {KIND}", str(path)))
        faults += sorted(here, key=lambda fault: (fault.line, fault.column))
    return Manifest(tuple(loaded), tuple(faults))


def _read(path: Path) -> str | Fault:
    """Return the text of a file, or why it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return Fault((), "no such file", str(path))
    except IsADirectoryError:
        files = sorted(each.name for each in path.glob("*.y*ml"))
        hint = f"name its files, such as {path / files[0]}" if files else "it has no YAML files"
        return Fault((), f"is a directory; {hint}", str(path))
    except OSError as error:
        return Fault((), (error.strerror or "cannot be read").lower(), str(path))
    if path.suffix == ".py":
        message = f"is Python; name the YAML file with worker: {{handlers: {path.stem}}}"
        return Fault((), message, str(path))
    if len(data) > MAX_FILE_BYTES:
        return Fault((), f"must be at most {MAX_FILE_BYTES} bytes", str(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - before.rfind(b"\n")
        message = "is not UTF-8 text; save it as UTF-8"
        return Fault((), message, str(path), before.count(b"\n") + 1, column)


def check(
    document: Document, *, cluster: bool = False
) -> tuple[AsyncEndpoint | None, tuple[Fault, ...]]:
    """Return the endpoint in a document (None if invalid) and its faults, one per field."""
    if document.value is None:
        return None, tuple(document.faults)
    faults = [*document.faults, *_kind_faults(document)]
    if any(not fault.location or fault.location[0] in ("kind", "apiVersion") for fault in faults):
        return None, tuple(faults)
    faults += _metadata_faults(document)
    endpoint = None
    try:
        endpoint = AsyncEndpoint.parse(document.value)
    except ValidationError as error:
        errors = [line for line in error.errors(include_url=False) if not _of_items(line)]
        faults += [explain(document, line) for line in errors]
        faults += _conflicts_beside(document, {tuple(line["loc"]) for line in errors})
    if endpoint is not None and cluster:
        faults += [document.fault(f.location, f.message) for f in cluster_faults(endpoint)]
    # Of several faults of one field the first is the cause.
    ordered = sorted(faults, key=lambda fault: fault.path)
    once = [next(group) for _, group in groupby(ordered, key=lambda fault: fault.path)]
    return endpoint, tuple(once)


def _of_items(error: ErrorDetails) -> bool:
    """Whether a list is too short only because some of its items are invalid."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _kind_faults(document: Document) -> Iterator[Fault]:
    """Check that a document is an AsyncEndpoint."""
    value = document.value
    if not isinstance(value, dict):
        yield document.fault(
            (), f"must be an {KIND}: a mapping with apiVersion, kind, metadata and spec"
        )
        return
    for name, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if name not in value:
            yield document.fault((name,), f'required field is missing; write "{name}: {wanted}"')
        elif value[name] != wanted:
            yield document.fault((name,), f"must be {wanted}")


def _metadata_faults(document: Document) -> Iterator[Fault]:
    metadata = document.value.get("metadata")
    for name in metadata if isinstance(metadata, dict) else ():
        if name not in _METADATA:
            message = "unknown field" + guess(name, _METADATA)
            yield document.fault(("metadata", name), message, at_key=True)


def _conflicts_beside(document: Document, faulty: set[Location]) -> Iterator[Fault]:
    """Find conflicts among the valid routes if other routes are invalid.

    The model compares routes only if all of them are valid, but users want all faults at once.
    """
    bad = {where[2] for where in faulty if where[:2] == ("spec", "routes") and len(where) > 2}
    spec = document.value.get("spec")
    raw = spec.get("routes") if isinstance(spec, dict) else None
    if not bad or not isinstance(raw, list):
        return
    good = [index for index in range(len(raw)) if index not in bad]
    routes = [Route.model_validate(raw[index], by_alias=True, by_name=False) for index in good]
    for later, message in conflicts(routes, good):
        yield document.fault(("spec", "routes", good[later], "path"), message)


def _named_twice(document: Document, first: dict[tuple[str, str], Fault]) -> Iterator[Fault]:
    """Report a second endpoint of the same namespace and name, in this file or an earlier one."""
    value: Any = document.value
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict) or value.get("kind") != KIND:
        return
    name, namespace = metadata.get("name"), metadata.get("namespace", "default")
    if not isinstance(name, str) or not isinstance(namespace, str):
        return
    here = document.fault(("metadata", "name"), "")
    earlier = first.setdefault((namespace, name), here)
    if earlier is not here:
        where = f"{earlier.file}:{earlier.line}"
        yield document.fault(
            ("metadata", "name"),
            f'duplicate endpoint "{namespace}/{name}", first defined in {where}',
        )
