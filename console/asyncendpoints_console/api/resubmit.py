"""The request that submits a job's input again, edited or as it was, as a new job."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from asyncendpoints_console.api.jobs import accepted, queue_full
from asyncendpoints_console.reading import jobs
from asyncendpoints_console.refusals import Refusal, store_unavailable
from asyncendpoints_core.errors import MalformedBody
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Attributes, NewJob
from asyncendpoints_core.resource.schemas import compile_schema, parse_json, validate
from asyncendpoints_core.store.replies import EnqueueStatus

if TYPE_CHECKING:
    from aiohttp import web

    from asyncendpoints_console.api.call import Call
    from asyncendpoints_console.target import Target
    from asyncendpoints_core.jobs.records import Request


class Edited(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What replaces parts of the input: a text or bytes, and their media type."""

    text: str | None = None
    base64: str | None = None
    content_type: str | None = None


async def resubmit(call: Call) -> web.Response:
    """POST jobs/{id}/resubmit: 202 with the new job, whose parent is this one."""
    call.may_change()
    try:
        edited = msgspec.convert(await call.json(), Edited)
    except msgspec.ValidationError as error:
        raise Refusal("malformed-body", f"the body is not valid: {error}") from None
    old, request = await jobs.body(call.target, call.job_id)
    request = _edit(request, edited)
    _check(call.target, old.name, request)
    new = NewJob(
        ids.new(call.site.time.now_ms()),
        old.name,
        request,
        old.max_attempts,
        old.priority,
        attributes=Attributes(tags=old.attributes.tags, key=old.attributes.key, parent=old.id),
    )
    [answer] = await call.target.store.enqueue([new])
    if answer.status in (EnqueueStatus.FULL, EnqueueStatus.KEY_FULL):
        raise queue_full()
    if answer.status is EnqueueStatus.CLOSED or answer.job is None:
        raise store_unavailable()
    call.record("resubmit", job=ids.text(old.id), created=ids.text(new.id))
    return await accepted(call, new.id)


def _edit(request: Request, edited: Edited) -> Request:
    changes: dict[str, Any] = {}
    if edited.text is not None and edited.base64 is not None:
        raise Refusal("malformed-body", "give text or base64, not both")
    if edited.text is not None:
        changes["body"] = edited.text.encode("utf-8", "surrogatepass")
    if edited.base64 is not None:
        try:
            changes["body"] = base64.b64decode(edited.base64, validate=True)
        except (binascii.Error, ValueError):
            raise Refusal("malformed-body", "base64 is not valid") from None
    if edited.content_type is not None:
        if len(edited.content_type) > 255 or not edited.content_type.isprintable():
            raise Refusal("malformed-body", "contentType is not a media type")
        changes["content_type"] = edited.content_type
    return msgspec.structs.replace(request, **changes) if changes else request


def _check(target: Target, job: str, request: Request) -> None:
    """Refuse a body that the endpoint would refuse: too large, or unlike its route's schema."""
    limit = target.endpoint.spec.gateway.max_body_bytes
    if len(request.body) > limit:
        raise Refusal("body-too-large", f"the body exceeds {limit} bytes")
    schemas = [
        route.schema_
        for route in target.endpoint.spec.routes
        if route.job == job and request.method in route.methods
    ]
    if not schemas or None in schemas:
        return
    try:
        value = parse_json(request.body)
    except MalformedBody as error:
        raise Refusal("malformed-body", str(error)) from None
    faults = [validate(compile_schema(schema), value) for schema in schemas if schema is not None]
    if all(faults):
        errors = [{"pointer": pointer, "detail": text} for pointer, text in faults[0]]
        detail = "the body does not match the route's schema"
        raise Refusal("invalid-body", detail, members={"errors": errors})
