"""Makes docs/resource.md and docs/settings.md from the code that they describe."""

import json
from collections.abc import Iterator
from typing import Any

from asyncendpoints_core.process.settings import all_settings
from asyncendpoints_core.resource import (
    API_VERSION,
    AsyncEndpoint,
    EndpointSpec,
    Metadata,
    PodOptions,
    WorkerSpec,
)
from asyncendpoints_core.resource.base import PATTERNS, Record
from asyncendpoints_core.resource.fields import Field, is_list, names_of, walk

_NOTE = "<!-- Written by `make generate`; change the descriptions in {source} instead. -->\n"


def resource_md(_: str) -> str:
    """Return docs/resource.md: every field of the resource with type, default and meaning."""
    lines = [
        "# The AsyncEndpoint resource\n",
        _NOTE.format(source="core/asyncendpoints_core/resource"),
        f"`apiVersion: {API_VERSION}`, `kind: AsyncEndpoint`, short name `aep`, namespaced. The "
        "same file is read by `asyncendpoints run` on a laptop, `asyncendpoints validate` and "
        "a cluster. Unknown fields are refused. Sizes are in bytes and times in seconds, with "
        "fractions; numbers and `true` or `false` are written without quotes, paths with braces "
        "in quotes.\n",
        "Needed on one machine: `spec.routes` and one of `spec.worker.handlers` and "
        "`spec.worker.http`. A cluster also needs `spec.worker.image`, and a name of at most 50 "
        "characters that begins with a letter and has no dots.\n",
        "The smallest resource:\n",
        "```yaml",
        f"apiVersion: {API_VERSION}",
        "kind: AsyncEndpoint",
        "metadata: {name: reports}",
        "spec:",
        "  routes:",
        '    - {path: "/reports/{customer}", job: build-report}',
        "  worker: {handlers: reports.jobs}",
        "```\n",
    ]
    schemas = AsyncEndpoint.model_json_schema()["$defs"]
    for path, record, fields in _sections():
        lines += [f"## `{path}`\n", " ".join((record.__doc__ or "").split()) + "\n"]
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
        lines += [_row(field, schemas) for field in fields]
        if path == "spec.worker":
            lines.append(f"\nAnd what is said of pods in [spec.gateway](#{_anchor(_PODS)}).")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


_PODS = "spec.gateway"  # where the fields of PodOptions are described, for the workers too


def _sections() -> Iterator[tuple[str, type[Record], list[Field]]]:
    """Yield each record once, at the first place where it is used, with its fields."""
    yield "metadata", Metadata, [f for f in walk() if f.path in _METADATA]
    yield "spec", EndpointSpec, [f for f in walk() if _parent(f) == "spec"]
    for record, path in _homes().items():
        if record is not None:
            fields = [f for f in walk() if _parent(f) == path]
            if record is WorkerSpec:
                fields = [f for f in fields if f.path.split(".")[-1].strip("[]") not in _SHARED]
            yield path, record, fields


_METADATA = ("metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations")
_SHARED = names_of(PodOptions)


def _homes() -> dict[type[Record] | None, str]:
    """Return the first place of each record."""
    places: dict[type[Record] | None, str] = {}
    for field in walk():
        places.setdefault(field.record, field.path)
    return places


def _parent(field: Field) -> str:
    return field.path.removesuffix("[]").rpartition(".")[0]


def _row(field: Field, schemas: dict[str, Any]) -> str:
    schema = schemas[field.owner.__name__]["properties"][field.name]
    required = field.info.is_required()
    meaning = field.info.description or ""
    if rule := _rule(schema):
        meaning += f" Must be {rule}."
    default = "**required**" if required else _default(field)
    return f"| `{field.name}` | {_type(field, schema)} | {default} | {_cell(meaning)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _default(field: Field) -> str:
    default = field.info.default
    if default is None or default in ((), {}):
        return "—"
    if field.record is not None:
        return "see below"
    value = list(default) if isinstance(default, tuple) else default
    return f"`{json.dumps(value)}`"


def _type(field: Field, schema: dict[str, Any]) -> str:
    if field.record is not None:
        kind = "list of " if is_list(field.info.annotation) else ""
        return f"{kind}[{field.record.__name__}](#{_anchor(_homes()[field.record])})"
    return _plain_type(schema)


def _anchor(path: str) -> str:
    """Return the anchor that GitHub gives the heading of a path."""
    return "".join(c for c in path.lower() if c.isalnum() or c in "-_")


def _plain_type(schema: dict[str, Any]) -> str:
    options = [o for o in schema.get("anyOf", []) if o.get("type") != "null"]
    if "x-kubernetes-int-or-string" in schema:
        return "number or text"
    if options:
        return _plain_type(options[0])
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" if value else '`""`' for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_plain_type(schema['items'])}{_limits(schema, 'minItems', 'maxItems')}"
    if kind == "object":
        below = schema.get("additionalProperties")
        text = isinstance(below, dict) and below.get("type") == "string"
        return "map of text" if text else "object"
    if kind in ("integer", "number"):
        return f"{'whole number' if kind == 'integer' else 'number'}{_limits(schema)}"
    return {"boolean": "true or false"}.get(str(kind), "text")


def _limits(schema: dict[str, Any], low: str = "minimum", high: str = "maximum") -> str:
    least, most = schema.get(low), schema.get(high)
    if most is None:
        return ""
    return f", {least:g} to {most:.15g}" if least is not None else f", at most {most}"


def _rule(schema: dict[str, Any]) -> str | None:
    found = [schema, *schema.get("anyOf", []), schema.get("items", {})]
    return next((PATTERNS[s["pattern"]] for s in found if s.get("pattern") in PATTERNS), None)


def settings_md(_: str) -> str:
    """Return docs/settings.md: every setting with its flag, variable, default and readers."""
    lines = [
        "# Settings of a process\n",
        _NOTE.format(source="core/asyncendpoints_core/process/settings.py"),
        "What belongs to an endpoint is in its [resource](resource.md). What differs from one "
        "process to the next is set by a flag, else by an environment variable, else by a default. "
        "An empty variable counts as not set. Passwords in URLs are printed as `***`.\n",
        "| flag | variable | value | default | read by | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for one in all_settings():
        about = one.about
        flag = f"`{about.flag}`" if about.flag else "—"
        kind = about.unit or " \\| ".join(f"`{c}`" for c in about.choices) or about.kind
        kind = {"switch": "`true` \\| `false`", "objects": "JSON list"}.get(kind, kind)
        if about.kind == "number":
            kind += f", {about.low} to {about.high}"
        readers = ", ".join(f"`{reader}`" for reader in about.readers.split())
        lines.append(
            f"| {flag} | `{one.env}` | {kind} | {_cell(one.default_text)} | {readers} "
            f"| {_cell(about.description)} |"
        )
    return "\n".join(lines) + "\n"
