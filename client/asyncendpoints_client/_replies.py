"""From a reply to a job, a problem or a value."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import is_dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from asyncendpoints_client.errors import PROBLEMS, URN, ClientError, Problem, UnexpectedResponse
from asyncendpoints_client.jobs import Job

if TYPE_CHECKING:
    from asyncendpoints_client._steps import Reply

EXCERPT = 200


def retry_after(reply: Reply, now: float) -> float | None:
    """Return the seconds of Retry-After, None without a valid one (RFC 9110 §10.2.3).

    A date is compared with the reply's own Date, or else with `now` (seconds since the epoch).
    """
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    then, here = _date(text), _date(reply.headers.get("date", ""))
    if then is None:
        return None
    return max(0.0, then.timestamp() - (here.timestamp() if here else now))


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def media_type(reply: Reply) -> str:
    """Return the media type in lower case, without parameters."""
    return reply.headers.get("content-type", "").partition(";")[0].strip().lower()


def error(
    reply: Reply, now: float, *, id: str | None = None, key: str | None = None
) -> ClientError:
    """Return what to raise for a reply that is not a success."""
    members: Any = None
    if media_type(reply) == "application/problem+json":
        try:
            members = json.loads(reply.body)
        except ValueError:
            members = None
    kind = members.get("type") if isinstance(members, dict) else None
    if not isinstance(kind, str) or not kind.startswith(URN):
        return unexpected(reply, id=id, key=key)
    name = kind.removeprefix(URN)
    return PROBLEMS.get(name, Problem)(
        name,
        reply.status,
        str(members.get("detail", "")),
        retry_after=retry_after(reply, now),
        members=members,
        id=(job_id(reply) if name == "duplicate-job" else None) or id,
        idempotency_key=key,
    )


def unexpected(
    reply: Reply, *, id: str | None = None, key: str | None = None
) -> UnexpectedResponse:
    """Return the error for a response that a gateway does not send."""
    shown = reply.body[:EXCERPT].decode(errors="replace")
    where = reply.headers.get("location")
    text = f"{reply.status}" + (f" to {where}" if where else "") + f": {shown!r}"
    return UnexpectedResponse(
        f"not the response of a gateway; check the URL and proxies: {text}",
        reply.status,
        id=id,
        idempotency_key=key,
    )


def job_id(reply: Reply) -> str | None:
    """Return the id of the job in the Location."""
    return reply.headers.get("location", "").rpartition("/")[2] or None


def job(reply: Reply, *, key: str | None = None) -> Job:
    """Return the job in the body; UnexpectedResponse if there is none."""
    try:
        return Job.parse(json.loads(reply.body), reply.headers.get("etag", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise unexpected(reply, key=key) from None


def value(reply: Reply, into: Any = None) -> Any:
    """Return a result: JSON decoded, text as str, anything else as bytes; or as `into`.

    `into` is a pydantic model, a msgspec Struct, a dataclass, or any type if pydantic is installed.
    """
    if into is not None:
        return _model(reply.body, into)
    kind = media_type(reply)
    if kind == "application/json" or kind.endswith("+json"):
        return json.loads(reply.body)
    if kind.startswith("text/"):
        return reply.body.decode(_charset(reply), errors="replace")
    return reply.body


def _charset(reply: Reply) -> str:
    for part in reply.headers["content-type"].split(";")[1:]:
        name, _, text = part.strip().partition("=")
        if name.lower() == "charset":
            try:
                "".encode(text.strip('"'))
            except LookupError:
                break
            return text.strip('"')
    return "utf-8"


def _model(body: bytes, into: Any) -> Any:
    if hasattr(into, "model_validate_json"):
        return into.model_validate_json(body)
    if hasattr(into, "__struct_fields__"):
        import msgspec

        return msgspec.json.decode(body, type=into)
    if importlib.util.find_spec("pydantic") is not None:
        from pydantic import TypeAdapter

        return TypeAdapter(into).validate_json(body)
    if is_dataclass(into) and isinstance(into, type):
        return into(**json.loads(body))
    raise TypeError(f"into={into!r} needs pydantic: pip install pydantic")
