"""The query parameters of the operations API."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

from asyncendpoints_console.api.filters import EXAMPLE, Filter
from asyncendpoints_console.refusals import Refusal
from asyncendpoints_core.errors import InvalidCursor
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.deliveries import DeliveryState
from asyncendpoints_core.store.figures import RINGS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from multidict import MultiMapping

    from asyncendpoints_core.store.listing import JobFilter

MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 50
_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_ID_END: Final = re.compile(r"[0-9a-f-]{4,36}", re.ASCII)
_STATES: Final[Mapping[str, State]] = {state.value: state for state in State}
_FILTERS: Final = ("state", "job", "tag", "key", "schedule", "error", "since", "until")
OF_JOBS: Final = frozenset({*_FILTERS, "limit", "cursor"})
OF_FAILURES: Final = frozenset({"cursor"})
OF_FIGURES: Final = frozenset({"since", "step"})
OF_DELIVERIES: Final = frozenset({"state", "webhook", "limit", "cursor"})
OF_LOGS: Final = frozenset({"attempt"})
"""The parameters of the listings."""
_DELIVERY_STATES: Final = {state.value: state for state in DeliveryState}


def invalid(detail: str) -> Refusal:
    """Return the 400 for a query."""
    return Refusal("invalid-query", detail)


def check_known(query: MultiMapping[str], known: AbstractSet[str]) -> None:
    """Refuse a parameter that this version does not have, or that is repeated: a filter must not
    be ignored.
    """
    for name in query:
        if name not in known:
            raise invalid(f"unknown parameter {name[:40]!r}; known: {', '.join(sorted(known))}")
    check_once(query)


def check_once(query: MultiMapping[str]) -> None:
    """Refuse a repeated parameter other than `tag`."""
    for name in query:
        if name != "tag" and len(query.getall(name)) > 1:
            raise invalid(f"{name[:40]} is given more than once")


def filters(query: MultiMapping[str]) -> list[tuple[str, str]]:
    """Return the filters of a listing that are not empty; `tag` may be there repeatedly."""
    pairs = [(name, value) for name in _FILTERS for value in query.getall(name, ())]
    return [(name, value) for name, value in pairs if value]


def state(query: Mapping[str, str]) -> State | None:
    """Return the state of a listing, None for all."""
    value = query.get("state")
    if not value:
        return None
    found = _STATES.get(value)
    if found is None:
        raise invalid(f"state must be one of {', '.join(_STATES)}")
    return found


def delivery_state(query: Mapping[str, str]) -> DeliveryState:
    """Return the state of a listing of deliveries, pending without one."""
    found = _DELIVERY_STATES.get(query.get("state") or DeliveryState.PENDING)
    if found is None:
        raise invalid(f"state must be one of {', '.join(_DELIVERY_STATES)}")
    return found


def only(query: MultiMapping[str]) -> JobFilter:
    """Return which jobs a listing shows; `tag` may be repeated."""
    given = Filter(
        job=query.get("job", ""),
        tag=[tag for tag in query.getall("tag", ()) if tag],
        key=query.get("key", ""),
        error=query.get("error", ""),
        schedule=query.get("schedule", ""),
        since=_moment(query, "since"),
        until=_moment(query, "until"),
    )
    try:
        return given.checked()
    except ValueError as error:
        raise invalid(str(error)) from None


def id_end(query: Mapping[str, str]) -> str:
    """Return an id, or the end of one, that jobs are searched for; "" without one."""
    value = query.get("id", "").strip().lower()
    if value and _ID_END.fullmatch(value) is None:
        raise invalid("id must be the id of a job, or at least 4 characters of its end")
    return value


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    """Return a time of RFC 3339, None when it is not given."""
    value = query.get(name)
    if not value:
        return None
    try:
        # In a query a "+" is often sent as it is, and then means a space.
        return datetime.fromisoformat(value.replace(" ", "+"))
    except ValueError:
        raise invalid(f"{name}: must be a time with its zone, such as {EXAMPLE}") from None


def since_ms(query: Mapping[str, str]) -> int:
    """Return the time from which figures are wanted, 0 for all."""
    found = _moment(query, "since")
    if found is not None and found.tzinfo is None:
        raise invalid(f"since: must be a time with its zone, such as {EXAMPLE}")
    return 0 if found is None else round(found.timestamp() * 1_000)


def step(query: Mapping[str, str]) -> int:
    """Return the step of figures in seconds."""
    value = query.get("step", str(min(RINGS)))
    if value not in map(str, RINGS):
        raise invalid(f"step must be one of {', '.join(map(str, RINGS))}")
    return int(value)


def limit(query: Mapping[str, str]) -> int:
    """Return the size of a page."""
    value = query.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,3}", value, re.ASCII) or not 1 <= int(value) <= MAX_LIMIT:
        raise invalid(f"limit must be a number from 1 to {MAX_LIMIT}")
    return int(value)


def cursor(query: Mapping[str, str]) -> str | None:
    """Return where a listing goes on. Raises InvalidCursor."""
    value = query.get("cursor")
    if value is not None and _CURSOR.fullmatch(value) is None:
        raise InvalidCursor
    return value
