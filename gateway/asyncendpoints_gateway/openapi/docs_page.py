"""The docs page: one self-contained HTML document, made from the OpenAPI description.

Its Content-Security-Policy allows only its own script and style and requests to this gateway.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_gateway.openapi.document import document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncendpoints_gateway.config import GatewayConfig

_METHODS: Final = ("get", "post", "put", "patch", "delete")


@cache
def _asset(name: str) -> str:
    return (files("asyncendpoints_gateway.openapi") / "static" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def page_headers() -> dict[str, str]:
    """Return the headers of the page."""
    policy = (
        "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; img-src data:; "
        f"script-src {_hash(_asset('docs.js'))}; style-src {_hash(_asset('docs.css'))}"
    )
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def docs_page(config: GatewayConfig, guarded: bool) -> bytes:
    """Return the page; `guarded`: requests need a bearer token."""
    described = document(config, guarded)
    title = escape(described["info"]["title"])
    schemas = described["components"]["schemas"]
    base = escape(config.base, quote=True)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{title}</title><link rel="icon" href="data:,">',
        f"<style>{_asset('docs.css')}</style></head>",
        f'<body data-base="{base}"><main><h1>{title}</h1>',
        f'<p class="lead">{escape(described["info"]["description"])} ',
        f'The OpenAPI description is <a href="{base}/openapi.json">openapi.json</a>.</p>',
    ]
    if guarded:
        parts.append(
            '<label for="token">Bearer token</label>'
            '<input id="token" type="password" autocomplete="off">'
        )
    for tag, heading in (("routes", "Routes"), ("jobs", "Jobs")):
        parts.append(f"<h2>{heading}</h2>")
        parts += _operations(described["paths"], schemas, tag)
    parts.append("<h2>Schemas</h2>")
    parts += [
        f'<details class="operation"><summary><span class="path">{escape(name)}</span></summary>'
        f'<div class="inside"><h3>JSON Schema</h3>{_code(schema)}</div></details>'
        for name, schema in schemas.items()
    ]
    parts.append(f"<footer>asyncendpoints {escape(described['info']['version'])}</footer></main>")
    parts.append(f"<script>{_asset('docs.js')}</script></body></html>")
    return "".join(parts).encode()


def _operations(paths: dict[str, Any], schemas: dict[str, Any], tag: str) -> Iterator[str]:
    for path, item in paths.items():
        for method in _METHODS:
            operation = item.get(method)
            if operation is not None and tag in operation["tags"]:
                parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
                yield _operation(path, method, operation, parameters, schemas)


def _operation(
    path: str,
    method: str,
    operation: dict[str, Any],
    parameters: list[dict[str, Any]],
    schemas: dict[str, Any],
) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{each['in']}</td>"
        f"<td>{escape(each.get('description', ''))}</td></tr>"
        for each in parameters
    )
    responses = "".join(
        f"<tr><td><code>{status}</code></td><td>{escape(each['description'])}</td></tr>"
        for status, each in sorted(operation["responses"].items())
    )
    about = operation.get("description", "")
    return (
        f'<details class="operation"><summary><span class="method {method}">{method.upper()}'
        f'</span><span class="path">{escape(path)}</span>'
        f'<span class="about">{escape(operation["summary"])}</span></summary><div class="inside">'
        + (f"<p>{escape(about)}</p>" if about else "")
        + (f"<h3>Parameters</h3><table>{rows}</table>" if rows else "")
        + _body_schema(operation, schemas)
        + f"<h3>Responses</h3><table>{responses}</table>"
        + _form(path, method, operation, parameters, schemas)
        + "</div></details>"
    )


def _body_schema(operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    schema = _schema_of(operation, schemas)
    return f"<h3>Body</h3>{_code(schema)}" if schema else ""


def _schema_of(operation: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        found: dict[str, Any] = schemas.get(name, {})
        return found
    return {}


def _form(
    path: str,
    method: str,
    operation: dict[str, Any],
    parameters: list[dict[str, Any]],
    schemas: dict[str, Any],
) -> str:
    fields = "".join(
        f"<div><label>{escape(each['name'])}"
        f'<input name="{escape(each["name"], quote=True)}" data-in="{each["in"]}"></label></div>'
        for each in parameters
    )
    body = ""
    if "requestBody" in operation:
        sample = json.dumps(_sample(_schema_of(operation, schemas)), indent=2, ensure_ascii=False)
        body = (
            '<label>Content-Type<input data-type value="application/json"></label>'
            f"<label>Body<textarea>{escape(sample)}</textarea></label>"
        )
    return (
        f'<h3>Try it</h3><form data-method="{method.upper()}" '
        f'data-path="{escape(path, quote=True)}"><div class="row">{fields}</div>{body}'
        '<div class="buttons"><button>Send</button>'
        '<button type="button" class="plain copy">Copy curl</button></div>'
        '<pre class="curl"></pre><h3>Response</h3><pre class="answer" hidden></pre></form>'
    )


def _sample(schema: dict[str, Any]) -> Any:
    """Return a sample body: the example in the schema, or one made from its properties."""
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    kind = schema.get("type")
    properties = schema.get("properties")
    if isinstance(properties, dict) and kind in {None, "object"}:
        return {
            name: _sample(each if isinstance(each, dict) else {})
            for name, each in properties.items()
        }
    kind = kind[0] if isinstance(kind, list) and kind else kind
    return {
        "string": "",
        "number": 0,
        "integer": 0,
        "boolean": False,
        "array": [],
        "null": None,
    }.get(str(kind), {})


def _code(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
