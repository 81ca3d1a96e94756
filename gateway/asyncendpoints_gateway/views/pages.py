"""The endpoint's description: /openapi.json and the page at /docs, rendered once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from asyncendpoints_gateway.http.messages import JSON, Response
from asyncendpoints_gateway.http.problems import method_not_allowed
from asyncendpoints_gateway.openapi.docs_page import docs_page, page_headers
from asyncendpoints_gateway.openapi.document import openapi_json

if TYPE_CHECKING:
    from asyncendpoints_gateway.config import GatewayConfig


class Pages:
    """The pages of one endpoint."""

    def __init__(self, config: GatewayConfig, *, guarded: bool) -> None:
        """Describe the endpoint of `config`; `guarded`: it requires a bearer token."""
        self._config = config
        self._guarded = guarded

    @cached_property
    def docs(self) -> Response:
        """The response to GET /docs."""
        page = docs_page(self._config.base, guarded=self._guarded)
        return Response(200, page_headers(), page)

    @cached_property
    def openapi(self) -> Response:
        """The response to GET /openapi.json."""
        headers = {"Content-Type": JSON, "Cache-Control": "no-cache"}
        return Response(200, headers, openapi_json(self._config, self._guarded))


async def ready(response: Response) -> Response:
    """Return a response that exists already, as a view does."""
    return response


async def options_response(method: str, allow: str) -> Response:
    """Answer OPTIONS, or refuse a method that the path does not support."""
    if method != "OPTIONS":
        raise method_not_allowed(allow)
    return Response(204, {"Allow": allow})
