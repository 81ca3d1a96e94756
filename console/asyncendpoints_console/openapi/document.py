"""Puts the OpenAPI 3.1 document of the operations API together."""

from __future__ import annotations

import re
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from asyncendpoints_console.openapi.operations import (
    ENDPOINT,
    OPERATIONS,
    PARAMETERS,
    PROBLEM,
    ROOT,
    Operation,
)
from asyncendpoints_console.openapi.schemas import SCHEMAS, ref
from asyncendpoints_core import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_console.site import Site


async def show(_: Site, __: web.Request) -> web.Response:
    """GET openapi.json."""
    return web.Response(body=_encoded(), content_type="application/json")


@cache
def _encoded() -> bytes:
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, Any] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "asyncendpoints operations",
            "version": __version__,
            "description": "Shows queues and manages their jobs. Requests that change something "
            "need the operate token and Content-Type: application/json.",
        },
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "responses": {"Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(each: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _name(each),
        "summary": each.summary,
        "parameters": [
            *(
                _parameter("path", name, PARAMETERS[name])
                for name in re.findall(r"{(\w+)}", each.path)
            ),
            *(_parameter("query", name, schema) for name, schema in each.query.items()),
        ],
        "responses": {
            **{str(status): _answer(status, content) for status, content in each.answers.items()},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
    if each.body is not None:
        found["requestBody"] = {"content": _content(each.body)}
    if each.open:
        found["security"] = []
    return found


def _name(each: Operation) -> str:
    """Return a name such as getJobsLogs."""
    below = each.path.removeprefix(ENDPOINT).removeprefix(ROOT)
    words = re.findall(r"[a-z]+", re.sub(r"{\w+}", "", below))
    words = words or ["endpoint" if each.path == ENDPOINT else "listener"]
    one = "One" if below.endswith("{id}") else ""
    return each.method.lower() + "".join(map(str.title, words)) + one


def _parameter(where: str, name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"in": where, "name": name, "required": where == "path", "schema": schema}


def _answer(status: int, content: str | Mapping[str, Any] | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    return answer if content is None else answer | {"content": _content(content)}


def _content(content: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(content, str):
        return {"application/json": {"schema": ref(content)}}
    return content
