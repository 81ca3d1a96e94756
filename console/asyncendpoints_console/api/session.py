"""The requests that open and end a browser's session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from asyncendpoints_console.access import SESSION_SECONDS, Role, check_mutation
from asyncendpoints_console.api.call import json_response
from asyncendpoints_console.refusals import Refusal
from asyncendpoints_console.site import ROLE, cookie_name

if TYPE_CHECKING:
    from asyncendpoints_console.site import Site


class _Login(msgspec.Struct):
    token: str


async def log_in(site: Site, request: web.Request) -> web.Response:
    """POST session: open one with a token."""
    check_mutation(request.headers, Role.OPERATE, read_only=False)
    try:
        token = msgspec.json.decode(await request.read(), type=_Login).token
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal("malformed-body", 'the body must be {"token": "…"}') from None
    response = web.Response(status=204)
    set_session(response, request, site.access.log_in(token.strip()))
    return response


async def log_out(site: Site, request: web.Request) -> web.Response:
    """DELETE session: end this one."""
    check_mutation(request.headers, Role.OPERATE, read_only=False)
    return _end(site, request, web.Response(status=204))


async def log_out_by_form(site: Site, request: web.Request) -> web.Response:
    """POST /logout: end this session and show the login, for browsers without script.

    Nothing but the session of the browser that sends the form changes. Pages of other sites cannot
    send it: their requests have another Origin, and no cookie that is SameSite=Strict.
    """
    return _end(site, request, web.Response(status=303, headers={"Location": "/"}))


def _end(site: Site, request: web.Request, response: web.Response) -> web.Response:
    name = cookie_name(request)
    site.access.log_out(request.cookies.get(name, ""))
    response.del_cookie(name, httponly=True, samesite="Strict")
    return response


async def new_link(site: Site, request: web.Request) -> web.Response:
    """POST login-links: a path that opens one session of the caller's role, once."""
    role: Role = request[ROLE]
    check_mutation(request.headers, Role.OPERATE, read_only=False)
    return json_response({"path": f"/login?code={site.access.new_link(role)}"}, 201)


async def use_link(site: Site, request: web.Request) -> web.Response:
    """GET /login?code=…: open a session and show the overview."""
    session = site.access.use_link(request.query.get("code", ""))
    if session is None:
        raise Refusal("unauthorized", "this link was used before, or is older than an hour")
    response = web.Response(status=303, headers={"Location": "/"})
    set_session(response, request, session)
    return response


def set_session(response: web.Response, request: web.Request, session: str) -> None:
    """Give a browser its session."""
    response.set_cookie(
        cookie_name(request), session, max_age=SESSION_SECONDS, httponly=True, samesite="Strict"
    )
