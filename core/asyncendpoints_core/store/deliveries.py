"""What the store's verbs for webhooks take and return: ends of jobs, deliveries, receivers.

The end of a job is written with it; a gateway replaces it by a delivery for each receiver, leases
those that are due, and settles them. A receiver is 8 bytes: 4 of its host, 4 of its webhook.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.errors import InvalidCursor
from asyncendpoints_core.jobs.records import Job
from asyncendpoints_core.store.listing import decode_cursor

if TYPE_CHECKING:
    from collections.abc import Mapping

DELIVERY_ID_BYTES: Final = 16
MAX_DELIVERIES_EXAMINED: Final = 250
"""How many deliveries a call of `list_deliveries` looks at."""
DUE_BYTES: Final = 30
"""Of a member of `deliveries:due`."""
HOST_BYTES: Final = 4
BROKEN_AFTER: Final = 5
"""Failures in a row after which a receiver gets one probe at a time."""
MAX_DEAD: Final = 10_000
MAX_DROPPED: Final = 2_000
"""How many of those that are too many a call drops: more than it can add, and a few ms of Redis."""
MAX_RECEIVERS: Final = 1_000
"""Receivers named by clients of which failures are remembered; with webhooks twice as many."""
RESULT_KEPT_MS: Final = 3_600_000
"""How long beyond its retention a job is kept for a first try."""
MAX_EVENT_BYTES: Final = 1_024
"""Of the job in an event: its error has what the rest leaves."""
MAX_EVENT_ERROR_BYTES: Final = 300
SECRET_INVALID: Final = 1
"""The status of a delivery that is returned because the secrets or the URL cannot be used."""


class NewDelivery(msgspec.Struct, frozen=True):
    """A delivery to create. `url` only of a receiver that a client named."""

    id: bytes
    receiver: bytes
    webhook: str
    url: str = ""


class FanOut(msgspec.Struct, frozen=True):
    """The end of a job and its deliveries."""

    job: Job
    deliveries: tuple[NewDelivery, ...]


class Delivery(msgspec.Struct, frozen=True):
    """A leased delivery: `tries` have failed, `token` fences its outcome, `probe` finds out whether
    a failing receiver works again. `job` is as it was when it ended.
    """

    id: bytes
    receiver: bytes
    webhook: str
    url: str
    job: Job
    tries: int
    token: int
    probe: bool


class Leased(msgspec.Struct, frozen=True):
    """Leased deliveries, and the ms until the next are due (None: none wait)."""

    deliveries: tuple[Delivery, ...]
    next_due_ms: int | None


class DeliveryEnd(IntEnum):
    """The outcome of a try."""

    DELIVERED = 0
    FAILED = 1  # tried again after `delay_ms`
    DEAD = 2
    GONE = 3  # the receiver wants no more of this webhook
    RETURNED = 4  # not tried; due again after `delay_ms`


class DeliveryOutcome(msgspec.Struct, frozen=True):
    """The end of a lease. `status`: the receiver's, 0 without an answer."""

    id: bytes
    token: int
    end: DeliveryEnd
    delay_ms: int = 0
    status: int = 0


class DeliveryState(StrEnum):
    """Which deliveries there are: delivered ones are not kept."""

    PENDING = "pending"
    DEAD = "dead"


class ListedDelivery(msgspec.Struct, frozen=True):
    """A delivery in a listing. Times in ms since the epoch.

    `due_ms`: when its next try is due, while it is tried the end of the lease. `dead_ms`: when it
    was given up, 0 for a pending one. `status`: the last answer's, 0 without one.
    """

    id: bytes
    webhook: str
    url: str
    job: Job
    created_ms: int
    due_ms: int
    dead_ms: int
    tries: int
    status: int


class DeliveryPage(msgspec.Struct, frozen=True):
    """One page of a listing; `cursor` continues it, None on the last page."""

    deliveries: tuple[ListedDelivery, ...]
    cursor: str | None


class DeliveryCursor(msgspec.Struct, array_like=True, frozen=True):
    """Where a page of a listing goes on: after a member of `deliveries:due`, or after a dead
    delivery and when it died. `listing` is its state and webhook.
    """

    listing: str
    number: int
    member: bytes


def cursor_of(cursor: str | None, state: DeliveryState, webhook: str) -> DeliveryCursor:
    """Return where a page begins. Raises InvalidCursor for a cursor of another listing."""
    listing = f"{state}:{webhook}"
    if cursor is None:
        return DeliveryCursor(listing, 0, b"")
    found = decode_cursor(cursor, DeliveryCursor)
    size = DELIVERY_ID_BYTES if state is DeliveryState.DEAD else DUE_BYTES
    numeric = 0 <= found.number < 2**53
    whole = len(found.member) == size
    if not (whole and numeric and found.listing == listing):
        raise InvalidCursor
    return found


class ReplayStatus(StrEnum):
    """What became of a request to replay a delivery."""

    REPLAYED = "replayed"
    PENDING = "pending"  # it is not dead
    MISSING = "missing"
    UNKNOWN = "unknown"  # the resource does not have its webhook any more
    GONE = "gone"  # its receiver wants no more


class ReceiverHealth(StrEnum):
    """How a receiver is, the values in the order in which they concern."""

    SECRET_INVALID = "SecretInvalid"  # noqa: S105 # a reason
    GONE = "Gone"
    FAILING = "Failing"
    DELIVERING = "Delivering"


class ReceiverState(msgspec.Struct, frozen=True):
    """A receiver that has deliveries or fails. `probe_ms`: the earliest time of its next probe."""

    receiver: bytes
    webhook: str = ""
    pending: int = 0
    failures: int = 0
    gone: bool = False
    status: int = 0
    since_ms: int = 0
    probe_ms: int = 0

    @property
    def health(self) -> ReceiverHealth:
        """What concerns most."""
        if self.status == SECRET_INVALID:
            return ReceiverHealth.SECRET_INVALID
        if self.gone:
            return ReceiverHealth.GONE
        return ReceiverHealth.FAILING if self.failures else ReceiverHealth.DELIVERING


class WebhookStatus(msgspec.Struct, frozen=True):
    """What waits for webhooks. `oldest_ms`: when the oldest event was made, 0 without one."""

    now_ms: int
    pending: int
    dead: int
    oldest_ms: int
    receivers: tuple[ReceiverState, ...]


def merged(
    known: Mapping[bytes, ReceiverState], pending: Mapping[bytes, tuple[int, str]]
) -> tuple[ReceiverState, ...]:
    """Return receivers that fail and those with deliveries that wait, in one list. `pending`: how
    many wait, and for which webhook.
    """
    found = []
    for receiver in sorted({*known, *pending}):
        count, webhook = pending.get(receiver, (0, ""))
        state = known.get(receiver, ReceiverState(receiver, webhook))
        found.append(msgspec.structs.replace(state, pending=count))
    return tuple(found)


def webhook_id(delivery: bytes) -> str:
    """Return the header webhook-id of a delivery."""
    return f"msg_{delivery.hex()}"


def delivery_of(text: str) -> bytes | None:
    """Return the delivery with that webhook-id, None for what is none."""
    digits = text.removeprefix("msg_")
    if len(digits) != 2 * DELIVERY_ID_BYTES or text == digits:
        return None
    try:
        found = bytes.fromhex(digits)
    except ValueError:
        return None
    return found if webhook_id(found) == text else None
