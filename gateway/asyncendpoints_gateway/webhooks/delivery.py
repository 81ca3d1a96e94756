"""The delivery loop of a gateway: events to deliveries, and deliveries to receivers.

Any number of gateways run it at the same time. What one of them has leased when it dies is due
again when the lease ends, with the same id.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asyncendpoints_core import __version__
from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import RecordError, StoreError
from asyncendpoints_core.jobs.policy import CLIENTS
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.deliveries import (
    SECRET_INVALID,
    DeliveryEnd,
    DeliveryOutcome,
    FanOut,
    webhook_id,
)
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Found
from asyncendpoints_gateway.webhooks.messages import may_be_sent, message
from asyncendpoints_gateway.webhooks.receivers import NotAllowed, Unusable
from asyncendpoints_gateway.webhooks.schedule import DELAYS, delay_after
from asyncendpoints_gateway.webhooks.signing import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.deliveries import Delivery, WebhookStatus
    from asyncendpoints_gateway.webhooks.receivers import Receivers
    from asyncendpoints_gateway.webhooks.sending import Answer, Sender

log = logging.getLogger("asyncendpoints.gateway")

SLOTS: Final = 16
PER_HOST: Final = 4
PROBES: Final = 4
LEASE_MARGIN_SECONDS: Final = 10
PROBE_MS: Final = 1_800_000
"""The longest time between two probes of a failing receiver."""
EXPIRY_MS: Final = int(1_000 * sum(DELAYS) * 1.1)
"""How long a delivery may wait for a failing receiver: as long as all of its tries."""
WAIT_MS: Final = 30_000
"""Until a delivery that cannot be sent is looked at again: no secret, or an unknown webhook."""
POLL_SECONDS: Final = 0.5
STATUS_SECONDS: Final = 5.0
BATCH: Final = 100
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Source:
    """The endpoint whose events are sent; `base` is the prefix of links in them."""

    endpoint: AsyncEndpoint
    base: str
    store: Store


def lease_ms(receivers: Sequence[Receivers]) -> int:
    """Return how long a delivery may take: the longest timeout of these receivers, and a margin."""
    longest = max((each.timeout_seconds for each in receivers), default=0)
    return int((longest + LEASE_MARGIN_SECONDS) * 1_000)


class Deliveries:
    """Sends the events of one endpoint until cancelled."""

    def __init__(
        self,
        source: Source,
        receivers: Sequence[Receivers],
        sender: Sender,
        time: TimeSource,
        count: Callable[[str, str], None],
        on_status: Callable[[WebhookStatus | None], None],
    ) -> None:
        """`count` is called with a webhook and the outcome of a try, `on_status` every few
        seconds.
        """
        self._key = source.endpoint.key
        self._base = source.base
        self._store = source.store
        self._webhooks = source.endpoint.spec.webhooks_digest
        self._receivers = {receiver.name: receiver for receiver in receivers}
        self._lease_ms = lease_ms(receivers)
        self._sender = sender
        self._time = time
        self._count = count
        self._on_status = on_status
        self._tasks: dict[asyncio.Task[None], Delivery] = {}
        self._freed = asyncio.Event()
        self._reported: set[str] = set()

    async def run(self) -> None:
        """Deliver until cancelled; deliveries in progress are then left to their leases."""
        backoff = Backoff(0.1, 5.0)
        status_at = 0.0
        try:
            while True:
                try:
                    more = await self._fan_out()
                    due = await self._start_due()
                    if self._time.monotonic() >= status_at:
                        self._on_status(await self._store.webhook_status())
                        status_at = self._time.monotonic() + STATUS_SECONDS
                    backoff.reset()
                except StoreError as error:
                    log.debug("webhooks wait for the store: %s", error)
                    self._on_status(None)
                    await self._time.sleep(backoff.next())
                except Exception:
                    log.exception("delivering webhooks failed")
                    await self._time.sleep(backoff.next())
                else:
                    if not more:
                        await self._wait(due)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wait(self, due_ms: int | None) -> None:
        """Wait for the next delivery, for the next look, or for a slot if there is none."""
        seconds = POLL_SECONDS if due_ms is None else min(POLL_SECONDS, due_ms / 1_000)
        if seconds > 0 and len(self._tasks) < SLOTS:
            await self._time.sleep(seconds)
            return
        self._freed.clear()
        with suppress(TimeoutError):
            async with self._time.timeout(POLL_SECONDS):
                await self._freed.wait()

    async def _fan_out(self) -> bool:
        """Make deliveries of a batch of events; return whether there may be more."""
        jobs = await self._store.webhook_events(BATCH)
        if not jobs:
            return False
        receivers = self._receivers.values()
        ends = [
            FanOut(job, tuple(new for each in receivers for new in each.deliveries(self._key, job)))
            for job in jobs
        ]
        done = await self._store.fan_out(self._webhooks, ends)
        # None: the policy is of another version of the resource, whose gateways do it.
        return done is not None and len(jobs) == BATCH

    async def _is_current(self) -> bool:
        """Return whether these receivers are those of the policy, so that others are removed."""
        return await self._store.fan_out(self._webhooks, ()) is not None

    async def _start_due(self) -> int | None:
        """Start what is due and has a slot; return the ms until the next is due."""
        free = SLOTS - len(self._tasks)
        if free <= 0:
            return 0
        running = self._tasks.values()
        leased = await self._store.lease_deliveries(
            free,
            self._lease_ms,
            probes=PROBES - sum(each.probe for each in running),
            per_host=PER_HOST,
            busy=[each.receiver for each in running],
            expiry_ms=EXPIRY_MS,
        )
        for each in leased.deliveries:
            task = asyncio.get_running_loop().create_task(self._deliver(each))
            self._tasks[task] = each
            task.add_done_callback(self._ended)
        return leased.next_due_ms

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._freed.set()

    async def _deliver(self, delivery: Delivery) -> None:
        """Try once, and settle; without an outcome the lease ends and the delivery is due again."""
        try:
            try:
                outcome, probe_ms = await self._try(delivery), PROBE_MS
            except NotAllowed:
                self._count(delivery.webhook, "dead")
                outcome = DeliveryOutcome(delivery.id, delivery.token, DeliveryEnd.DEAD)
                probe_ms = 0  # those behind it end the same way: they wait for no probe
            await self._store.settle_deliveries([outcome], probe_ms)
        except StoreError as error:
            log.debug("a delivery waits for the end of its lease: %s", error)
        except Exception:
            log.exception("webhook %s: the delivery failed", delivery.webhook)

    async def _try(self, delivery: Delivery) -> DeliveryOutcome:
        """Return how a try ended. Raises NotAllowed when the resource has no such receiver."""
        receivers = self._receivers.get(delivery.webhook)
        if receivers is None:
            old = self._time.now_ms() - delivery.job.completed_ms > EXPIRY_MS
            if old or await self._is_current():
                raise NotAllowed
            # Of another version of the resource, whose gateways send it if there are any.
            return DeliveryOutcome(delivery.id, delivery.token, DeliveryEnd.RETURNED, WAIT_MS)
        try:
            target = receivers.target(delivery)
        except Unusable as error:
            self._report(receivers.name, f"{error}; deliveries wait")
            self._count(receivers.name, "waiting")
            return DeliveryOutcome(
                delivery.id, delivery.token, DeliveryEnd.RETURNED, WAIT_MS, SECRET_INVALID
            )
        body = await self._body(delivery.job, with_result=target.include_result)
        name, seconds = webhook_id(delivery.id), self._time.now_ms() // 1_000
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"asyncendpoints/{__version__}",
            "webhook-id": name,
            "webhook-timestamp": str(seconds),
            "webhook-signature": signature(target.secrets, name, seconds, body),
        }
        answer = await self._sender.post(target.url, headers, body, target.timeout_seconds)
        return self._outcome(delivery, target.url.host, answer)

    async def _body(self, event: Job, *, with_result: bool) -> bytes:
        """Return the body: the job with its history while it is as it was when it ended."""
        job, result, omitted = event, None, False
        if event.state is State.COMPLETED and with_result:
            try:
                found, stored = await self._store.result(event.id)
            except RecordError:  # it cannot be read, by no later try either
                found, stored = Found(), None
            current = found.job is not None and found.job.revision == event.revision
            result = stored if current and stored is not None and may_be_sent(stored) else None
            omitted = result is None
        else:
            [found] = await self._store.get([event.id])
        if found.job is not None and found.job.revision == event.revision:
            job = found.job
        return message(self._key, self._base, job, result, omitted=omitted)

    def _outcome(self, delivery: Delivery, host: str, answer: Answer) -> DeliveryOutcome:
        name, delay_ms = delivery.webhook, 0
        if answer.delivered:
            end = DeliveryEnd.DELIVERED
            if name in self._reported:
                self._reported.discard(name)
                log.info("webhook %s: %s accepts deliveries again", name, host)
        elif answer.status == GONE:
            # A client's receiver is one of many: this delivery alone ends.
            end = DeliveryEnd.DEAD if name == CLIENTS else DeliveryEnd.GONE
            self._failed(name, f"{host} answered 410: it gets no more events until it changes")
        else:
            why = answer.problem or f"status {answer.status}"
            delay = delay_after(delivery.tries + 1, answer.retry_after, random.random)
            end = DeliveryEnd.DEAD if delay is None else DeliveryEnd.FAILED
            delay_ms = 0 if delay is None else round(delay * 1_000)
            self._failed(name, f"{host} did not accept a delivery: {why}; it is tried again")
            if end is DeliveryEnd.DEAD and name != CLIENTS:
                log.warning("webhook %s: a delivery was given up: %s", name, why)
        self._count(name, "gone" if answer.status == GONE else end.name.lower())
        return DeliveryOutcome(delivery.id, delivery.token, end, delay_ms, answer.status)

    def _failed(self, name: str, text: str) -> None:
        """Log the first failure of a webhook; what clients' receivers do is for the metrics."""
        if name != CLIENTS:
            self._report(name, text)

    def _report(self, name: str, text: str) -> None:
        """Log what a webhook has for the first time."""
        if name not in self._reported:
            self._reported.add(name)
            log.warning("webhook %s: %s", name, text)
