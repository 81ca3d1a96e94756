"""The body of an event, as receivers get it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncendpoints_core.jobs import ids, job_view
from asyncendpoints_core.resource.routes import is_json, media_type_of
from asyncendpoints_core.resource.webhooks import EVENT_OF

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import Job, Result

MAX_RESULT_BYTES: Final = 65_536

_encoder = msgspec.json.Encoder()


def message(endpoint: str, base: str, job: Job, result: Result | None, *, omitted: bool) -> bytes:
    """Return the body. `base` is the prefix of links; `omitted`: there is a result that is not
    sent, as it is gone or too large.
    """
    shown: dict[str, Any] = msgspec.to_builtins(
        job_view.view(job, f"{base}/jobs/{ids.text(job.id)}")
    )
    data: dict[str, Any] = {
        "endpoint": endpoint,
        "job": shown | {"revision": job.revision},
        "result": None if result is None else _result(result),
    }
    if omitted:
        data["resultOmitted"] = True
    event = {
        "type": EVENT_OF[job.state],
        "timestamp": job_view.timestamp(job.completed_ms),
        "data": data,
    }
    return _encoder.encode(event)


def may_be_sent(result: Result) -> bool:
    """Return whether a result is text or JSON, and small enough."""
    media_type = media_type_of(result.content_type)
    readable = is_json(media_type) or media_type.startswith("text/")
    return readable and len(result.body) <= MAX_RESULT_BYTES


def _result(result: Result) -> dict[str, str]:
    try:
        return {"contentType": result.content_type, "body": result.body.decode()}
    except UnicodeDecodeError:
        encoded = base64.b64encode(result.body).decode()
        return {"contentType": result.content_type, "base64": encoded}
