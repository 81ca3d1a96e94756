"""The verbs for webhooks: ends of jobs, deliveries and their outcomes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.store import deliveries as values
from asyncendpoints_core.store import message_layout as messages
from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.deliveries import (
    Delivery,
    DeliveryCursor,
    DeliveryEnd,
    DeliveryOutcome,
    DeliveryPage,
    DeliveryState,
    Leased,
    ListedDelivery,
    ReceiverState,
    ReplayStatus,
    WebhookStatus,
)
from asyncendpoints_core.store.listing import encode_cursor
from asyncendpoints_core.store.redis.codec import Context
from asyncendpoints_core.store.redis.python_layout import CorruptRecord, NewerRecord, packer, reader
from asyncendpoints_core.store.redis.records import read_job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.deliveries import FanOut
    from asyncendpoints_core.store.redis.caller import Caller

_ID_SIZE: Final = tables.IDS.size
_pack_fan_out = packer(messages.FAN_OUT, "id revision count")
_pack_outcome = packer(messages.DELIVERY_OUTCOME, "delivery token kind delay_ms status")
_pack_delivery = packer(
    tables.DELIVERY,
    "receiver id revision created_at due_at tries token status webhook_size url_size",
)
_read_delivery = reader(tables.DELIVERY, "receiver id tries token webhook url job")
_read_listed = reader(tables.DELIVERY, "id created_at due_at tries status webhook url job")
_read_token = reader(tables.DELIVERY, "token")
_read_receiver = reader(tables.RECEIVER, "failures gone status since probe_at webhook")
_REPLAYED: Final = {
    ord("r"): ReplayStatus.REPLAYED,
    ord("p"): ReplayStatus.PENDING,
    ord("m"): ReplayStatus.MISSING,
    ord("u"): ReplayStatus.UNKNOWN,
    ord("g"): ReplayStatus.GONE,
}


class WebhookVerbs:
    """Part of RedisStore."""

    _caller: Caller
    # Heads of ended jobs as they are stored, until their deliveries are made.
    _heads: dict[tuple[JobId, int], bytes]

    async def webhook_events(self, limit: int) -> list[Job]:
        raw, *entries = await self._caller.run("webhook_events", b"%d" % limit)
        context = Context.read(raw)
        self._heads = {}
        jobs = []
        for end, head, urls in zip(*(entries[i::3] for i in range(3)), strict=True):
            job_id = JobId(end[:_ID_SIZE])
            try:
                job = read_job(job_id, head, context)
            except CorruptRecord:
                revision = int.from_bytes(end[_ID_SIZE:])
                await self._caller.run("fan_out", b"", _pack_fan_out(job_id, revision, 0))
                continue
            except NewerRecord:
                continue  # left to a program that reads it
            self._heads[job_id, job.revision] = head
            jobs.append(_with_receivers(job, urls))
        return jobs

    async def fan_out(self, webhooks: int, ends: Sequence[FanOut]) -> int | None:
        items, args = [], []
        for end in ends:
            job = end.job
            head = self._heads.get((job.id, job.revision))
            if head is None:
                continue
            items.append(_pack_fan_out(job.id, job.revision, len(end.deliveries)))
            for new in end.deliveries:
                webhook, url = new.webhook.encode(), new.url.encode()
                fixed = _pack_delivery(
                    new.receiver, job.id, job.revision, 0, 0, 0, 0, 0, len(webhook), len(url)
                )
                args += [new.id, fixed + webhook + url + head]
        done = await self._caller.run("fan_out", b"%d" % webhooks, b"".join(items), *args)
        return None if done < 0 else int(done)

    async def lease_deliveries(
        self,
        limit: int,
        lease_ms: int,
        *,
        probes: int,
        per_host: int,
        busy: Sequence[bytes],
        expiry_ms: int,
    ) -> Leased:
        numbers = (limit, lease_ms, probes, per_host)
        raw, due, *entries = await self._caller.run(
            "lease_deliveries",
            *(b"%d" % number for number in numbers),
            b"".join(receiver[: values.HOST_BYTES] for receiver in busy),
            b"%d" % expiry_ms,
        )
        context = Context.read(raw)
        found, unreadable = [], []
        for delivery_id, probe, value in zip(*(entries[i::3] for i in range(3)), strict=True):
            try:
                found.append(_leased(delivery_id, value, context, probe=probe == b"1"))
            except NewerRecord:
                pass  # leased again later, by a program that reads it
            except (CorruptRecord, ValueError):
                (token,) = _read_token(value)
                unreadable.append(DeliveryOutcome(delivery_id, token, DeliveryEnd.DEAD))
        await self.settle_deliveries(unreadable, lease_ms)
        return Leased(tuple(found), int(due) if int(due) >= 0 else None)

    async def settle_deliveries(
        self, outcomes: Sequence[DeliveryOutcome], probe_ms: int
    ) -> list[bool]:
        if not outcomes:
            return []
        items = b"".join(
            _pack_outcome(each.id, each.token, each.end, each.delay_ms, each.status)
            for each in outcomes
        )
        letters = await self._caller.run("settle_deliveries", items, b"%d" % probe_ms)
        return [letter == ord("a") for letter in letters]

    async def list_deliveries(
        self, state: DeliveryState, limit: int, cursor: str | None, webhook: str = ""
    ) -> DeliveryPage:
        begin = values.cursor_of(cursor, state, webhook)
        raw, number, member, *entries = await self._caller.run(
            "list_deliveries",
            state.value.encode(),
            b"%d" % limit,
            b"%d" % begin.number if begin.member else b"",
            begin.member,
            b"%d" % values.MAX_DELIVERIES_EXAMINED,
            webhook.encode(),
        )
        context = Context.read(raw)
        found = []
        for delivery_id, dead, value in zip(*(entries[i::3] for i in range(3)), strict=True):
            with suppress(CorruptRecord, NewerRecord, ValueError):
                found.append(_listed(delivery_id, value, int(dead), context))
        if not member:
            return DeliveryPage(tuple(found), None)
        following = DeliveryCursor(begin.listing, int(number), member)
        return DeliveryPage(tuple(found), encode_cursor(following))

    async def replay_deliveries(
        self, ids: Sequence[bytes], receivers: Mapping[str, bytes]
    ) -> list[ReplayStatus]:
        if not ids:
            return []
        pairs = [part for name, receiver in receivers.items() for part in (name.encode(), receiver)]
        letters = await self._caller.run("replay_deliveries", b"%d" % len(receivers), *pairs, *ids)
        return [_REPLAYED[letter] for letter in letters]

    async def webhook_status(self) -> WebhookStatus:
        numbers, waiting, states = await self._caller.run("webhook_status", b"100")
        known = {
            receiver: _receiver(receiver, value)
            for receiver, value in zip(states[::2], states[1::2], strict=True)
            if len(value) >= tables.RECEIVER.size
        }
        pending = {
            receiver: (int(count), webhook.decode(errors="replace"))
            for receiver, count, webhook in zip(*(waiting[i::3] for i in range(3)), strict=True)
        }
        now, waiting_in_all, dead, oldest = numbers
        return WebhookStatus(now, waiting_in_all, dead, oldest, values.merged(known, pending))


def _with_receivers(job: Job, urls: bytes) -> Job:
    """Return the job with the receivers that clients named, which its event does not have."""
    if not urls:
        return job
    webhooks = tuple(urls.decode(errors="replace").split("\n"))
    attributes = msgspec.structs.replace(job.attributes, webhooks=webhooks)
    return msgspec.structs.replace(job, attributes=attributes)


def _leased(delivery_id: bytes, value: bytes, context: Context, *, probe: bool) -> Delivery:
    """Read a delivery. Raises CorruptRecord, ValueError or NewerRecord."""
    receiver, job_id, tries, token, webhook, url, head = _read_delivery(value)
    job = read_job(JobId(job_id), head, context)
    return Delivery(delivery_id, receiver, webhook.decode(), url.decode(), job, tries, token, probe)


def _listed(delivery_id: bytes, value: bytes, dead_ms: int, context: Context) -> ListedDelivery:
    """Read a delivery. Raises CorruptRecord, ValueError or NewerRecord."""
    job_id, created, due, tries, status, name, url, head = _read_listed(value)
    job = read_job(JobId(job_id), head, context)
    times = (created, due, dead_ms)
    return ListedDelivery(delivery_id, name.decode(), url.decode(), job, *times, tries, status)


def _receiver(receiver: bytes, value: bytes) -> ReceiverState:
    failures, gone, status, since, probe, webhook = _read_receiver(value)
    name = webhook.decode(errors="replace")
    return ReceiverState(receiver, name, 0, failures, bool(gone), status, since, probe)
