"""What the store's verbs for webhooks take and return: ends of jobs, deliveries, receivers.

The end of a job is written with it; a gateway replaces it by a delivery for each receiver, leases
those that are due, and settles them. A receiver is 8 bytes: 4 of its host, 4 of its webhook.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.jobs.records import Job

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST_BYTES: Final = 4
RECEIVER_BYTES: Final = 8
BROKEN_AFTER: Final = 5
"""Failures in a row after which a receiver gets one probe at a time."""
MAX_DEAD: Final = 10_000
MAX_RECEIVERS: Final = 1_000
"""Receivers of which failures are remembered."""
RESULT_KEPT_MS: Final = 3_600_000
"""How long beyond its retention a job is kept for a first try."""
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


class WebhookStatus(msgspec.Struct, frozen=True):
    """What waits for webhooks. `oldest_ms`: when the oldest event was made, 0 without one."""

    now_ms: int
    pending: int
    dead: int
    oldest_ms: int
    receivers: tuple[ReceiverState, ...]


def merged(
    known: Mapping[bytes, ReceiverState], pending: Mapping[bytes, int]
) -> tuple[ReceiverState, ...]:
    """Return receivers that fail and those with deliveries that wait, in one list."""
    return tuple(
        msgspec.structs.replace(
            known.get(receiver, ReceiverState(receiver)), pending=pending.get(receiver, 0)
        )
        for receiver in sorted({*known, *pending})
    )
