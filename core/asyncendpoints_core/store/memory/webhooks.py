"""Webhooks in memory: ends of jobs, deliveries, and what is known of receivers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.jobs.policy import CLIENT_RECEIVERS, CLIENTS
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.deliveries import (
    BROKEN_AFTER,
    HOST_BYTES,
    MAX_DEAD,
    MAX_DROPPED,
    MAX_RECEIVERS,
    RESULT_KEPT_MS,
    Delivery,
    DeliveryEnd,
    DeliveryState,
    Leased,
    ReceiverState,
    ReplayStatus,
    WebhookStatus,
    cursor_of,
    merged,
)
from asyncendpoints_core.store.memory.deliveries import Entry, page
from asyncendpoints_core.store.memory.events import as_event
from asyncendpoints_core.store.memory.ordered import Ordered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.deliveries import DeliveryOutcome, DeliveryPage, FanOut

_FINAL: Final = (State.COMPLETED, State.FAILED, State.CANCELED)
_LATER_MS: Final = 200
_LOOK_AT: Final = 64
_GIVE_UP_BOUND: Final = 100


class Webhooks:
    """All of one endpoint."""

    def __init__(self, totals: dict[str, int]) -> None:
        """Count in `totals`."""
        self._totals = totals
        self.max_pending = 0
        self.ends: dict[tuple[JobId, int], tuple[Job, int]] = {}
        self._waiting: dict[bytes, Entry] = {}
        self._dead: dict[bytes, Entry] = {}
        self._due: dict[bytes, Ordered] = {}
        self._looks: dict[bytes, int] = {}
        self._receivers: dict[bytes, ReceiverState] = {}
        self._untried: Counter[tuple[JobId, int]] = Counter()

    def ended(self, job: Job, rules: Policy, now: int) -> None:
        """Write the end of a job, if `rules` say that it is sent."""
        states = rules.webhook_states
        named = states & CLIENT_RECEIVERS and job.attributes.webhooks
        wanted = not rules.webhook_jobs or job.name in rules.webhook_jobs
        if not (states >> _FINAL.index(job.state) & 1 and wanted) and not named:
            return
        self.ends[job.id, job.revision] = (as_event(job), now)
        self._drop_surplus()

    def _set_due(self, key: bytes, entry: Entry, due_ms: int) -> None:
        """Let a delivery wait until `due_ms`."""
        if key in self._waiting:
            self._due[entry.receiver].remove((entry.due_ms, key))
        entry.due_ms = due_ms
        self._waiting[key] = entry
        self._due.setdefault(entry.receiver, Ordered()).add((due_ms, key))

    def _take(self, key: bytes) -> Entry:
        """Let a delivery wait no more."""
        entry = self._waiting.pop(key)
        due = self._due[entry.receiver]
        due.remove((entry.due_ms, key))
        if not len(due):
            del self._due[entry.receiver]
        return entry

    def _drop_surplus(self) -> None:
        over = len(self.ends) + len(self._waiting) - self.max_pending
        for _ in range(min(over, MAX_DROPPED)):
            most = max(self._due, key=lambda each: (len(self._due[each]), each), default=b"")
            if most and len(self._due[most]) >= len(self.ends):
                self._tried(self._take(self._due[most].first(1)[0][-1]))
            elif self.ends:
                del self.ends[next(iter(self.ends))]
            else:
                break
            self._totals["webhooks_dropped"] += 1

    def _tried(self, entry: Entry) -> None:
        """Count a first try, or that there will be none: a result need not wait for it."""
        if entry.tries == 0:
            self._untried[entry.end] -= 1
            if self._untried[entry.end] <= 0:
                del self._untried[entry.end]

    def _look_now(self, receiver: bytes, now: int) -> None:
        """Look at a receiver at once, or when it gets its next probe."""
        start = max(now, self._probe_ms(receiver))
        self._looks[receiver] = min(start, self._looks.get(receiver, start))

    def _probe_ms(self, receiver: bytes) -> int:
        state = self._receivers.get(receiver)
        return 0 if state is None else state.probe_ms

    def _look_again(self, receiver: bytes, at: int) -> None:
        if receiver in self._due:
            due = self._due[receiver].first(1)[0][0]
            self._looks[receiver] = max(due, at, self._probe_ms(receiver))
        else:
            self._looks.pop(receiver, None)

    def awaits(self, job_id: JobId, revision: int, overdue_ms: int) -> bool:
        """Return whether a job is kept for a first try, `overdue_ms` after its retention."""
        if overdue_ms > RESULT_KEPT_MS:
            return False
        return (job_id, revision) in self.ends or self._untried[job_id, revision] > 0

    def sweep(self, now: int, kept_ms: int) -> None:
        """Forget dead deliveries, and failing receivers that get none, once a failed job would be.

        A receiver that is gone stays: it is to get nothing more.
        """
        for key in [key for key, e in self._dead.items() if e.dead_ms <= now - kept_ms]:
            del self._dead[key]
        for receiver, state in list(self._receivers.items()):
            idle = receiver not in self._due and not state.gone
            if idle and max(state.since_ms, state.probe_ms) <= now - kept_ms:
                del self._receivers[receiver]

    def events(self, limit: int) -> list[Job]:
        """See Store.webhook_events."""
        return [job for job, _ in list(self.ends.values())[:limit]]

    def fan_out(self, ends: Sequence[FanOut], now: int) -> int:
        """See Store.fan_out."""
        done = 0
        for end in ends:
            key = (end.job.id, end.job.revision)
            if self.ends.pop(key, None) is None:
                continue
            done += 1
            carried = msgspec.structs.replace(end.job.attributes, webhooks=())  # its own alone
            job = msgspec.structs.replace(end.job, attributes=carried)
            for new in end.deliveries:
                self._set_due(new.id, Entry(new, job, now), now)
                self._untried[key] += 1
                self._look_now(new.receiver, now)
        self._drop_surplus()
        return done

    def lease(
        self,
        limit: int,
        lease_ms: int,
        probes: int,
        per_host: int,
        busy: Sequence[bytes],
        expiry_ms: int,
        now: int,
    ) -> Leased:
        """See Store.lease_deliveries."""
        hosts = Counter(receiver[:HOST_BYTES] for receiver in busy)
        leased: list[Delivery] = []
        looks = sorted((at, receiver) for receiver, at in self._looks.items() if at <= now)
        for _, receiver in looks[:_LOOK_AT]:
            state = self._receivers.get(receiver, ReceiverState(receiver))
            host, broken, again = receiver[:HOST_BYTES], state.failures >= BROKEN_AFTER, now
            room = min(limit - len(leased), per_host - hosts[host])
            if state.gone:
                self._give_up_waiting(receiver, now, 0)
            elif room <= 0 or (broken and probes <= 0):
                again = now + _LATER_MS
            else:
                if broken:
                    self._give_up_waiting(receiver, now, expiry_ms)
                for key in self._due_now(receiver, now, 1 if broken else room):
                    leased.append(self._lease(key, now + lease_ms, probe=broken))
                    hosts[host] += 1
                    if broken:
                        probes -= 1
                        self._receivers[receiver] = msgspec.structs.replace(
                            state, probe_ms=now + lease_ms
                        )
            self._look_again(receiver, again)
            if len(leased) >= limit:
                break
        following = min(self._looks.values(), default=None)
        return Leased(tuple(leased), None if following is None else max(0, following - now))

    def _due_now(self, receiver: bytes, now: int, limit: int) -> list[bytes]:
        due = self._due[receiver].first(limit) if receiver in self._due else []
        return [key for at, key in due if at <= now]

    def _lease(self, key: bytes, until: int, *, probe: bool) -> Delivery:
        entry, new = self._waiting[key], self._waiting[key].new
        self._set_due(key, entry, until)
        entry.token += 1
        return Delivery(
            key, entry.receiver, new.webhook, new.url, entry.job, entry.tries, entry.token, probe
        )

    def _give_up_waiting(self, receiver: bytes, now: int, expiry_ms: int) -> None:
        for key in self._due_now(receiver, now, _GIVE_UP_BOUND):
            entry = self._waiting[key]
            if now - entry.created_ms < expiry_ms:
                return
            self._tried(entry)
            self._give_up(key, now)

    def _give_up(self, key: bytes, now: int) -> None:
        entry = self._dead[key] = self._take(key)
        entry.dead_ms = now
        self._totals["webhooks_dead"] += 1
        if len(self._dead) > MAX_DEAD:
            del self._dead[next(iter(self._dead))]

    def settle(self, outcome: DeliveryOutcome, probe_ms: int, now: int) -> bool:
        """Apply one outcome; see Store.settle_deliveries."""
        entry = self._waiting.get(outcome.id)
        if entry is None or entry.token != outcome.token:
            return False
        if outcome.end is DeliveryEnd.DELIVERED:
            self._tried(self._take(outcome.id))
            # What was sent before the receiver answered 410 does not bring it back.
            if not self._state(entry).gone:
                self._receivers.pop(entry.receiver, None)
            self._totals["webhooks_delivered"] += 1
        elif outcome.end is DeliveryEnd.RETURNED:
            self._set_due(outcome.id, entry, now + outcome.delay_ms)
            # Nothing can be sent to it: its other deliveries wait as well.
            if not outcome.status:
                self._look_again(entry.receiver, now + outcome.delay_ms)
                return True
            self._save(
                msgspec.structs.replace(
                    self._state(entry),
                    webhook=entry.new.webhook,
                    status=outcome.status,
                    probe_ms=now + outcome.delay_ms,
                )
            )
        else:
            again = outcome.end is DeliveryEnd.FAILED
            wait_ms = min(outcome.delay_ms, probe_ms) if again else probe_ms
            self._failed(entry, outcome, now, now + wait_ms)
            if again:
                self._set_due(outcome.id, entry, now + outcome.delay_ms)
            else:
                self._give_up(outcome.id, now)
        self._look_again(entry.receiver, now)
        return True

    def _failed(self, entry: Entry, outcome: DeliveryOutcome, now: int, probe_ms: int) -> None:
        """Count a failed try; `probe_ms` is when its receiver may have a probe, if it needs one."""
        state = self._state(entry)
        failures = state.failures + 1
        self._save(
            ReceiverState(
                entry.receiver,
                entry.new.webhook,
                0,
                failures,
                state.gone or outcome.end is DeliveryEnd.GONE,
                outcome.status,
                state.since_ms or now,
                probe_ms if failures >= BROKEN_AFTER else 0,
            )
        )
        self._totals["webhooks_failed"] += 1
        self._tried(entry)
        entry.tries += 1
        entry.status = outcome.status

    def _state(self, entry: Entry) -> ReceiverState:
        return self._receivers.get(entry.receiver, ReceiverState(entry.receiver))

    def _save(self, state: ReceiverState) -> None:
        """Remember what is known of a receiver. Those that clients name leave room to others."""
        most = MAX_RECEIVERS if state.webhook == CLIENTS else 2 * MAX_RECEIVERS
        if state.receiver in self._receivers or len(self._receivers) < most:
            self._receivers[state.receiver] = state

    def listing(
        self, state: DeliveryState, limit: int, cursor: str | None, webhook: str
    ) -> DeliveryPage:
        """See Store.list_deliveries."""
        entries = self._dead if state is DeliveryState.DEAD else self._waiting
        return page(entries, state, cursor_of(cursor, state, webhook), limit, webhook)

    def replay(
        self, ids: Sequence[bytes], receivers: Mapping[str, bytes], now: int
    ) -> list[ReplayStatus]:
        """See Store.replay_deliveries."""
        done = [self._replay(key, receivers, now) for key in ids]
        self._drop_surplus()
        return done

    def _replay(self, key: bytes, receivers: Mapping[str, bytes], now: int) -> ReplayStatus:
        if (entry := self._dead.get(key)) is None:
            return ReplayStatus.PENDING if key in self._waiting else ReplayStatus.MISSING
        if (ending := receivers.get(entry.new.webhook)) is None:
            return ReplayStatus.UNKNOWN
        receiver = entry.receiver[: len(entry.receiver) - len(ending)] + ending
        if (state := self._receivers.get(receiver)) is not None and state.gone:
            return ReplayStatus.GONE
        del self._dead[key]
        entry.receiver, entry.tries, entry.dead_ms, entry.created_ms = receiver, 0, 0, now
        self._set_due(key, entry, now)
        self._untried[entry.end] += 1
        self._look_now(receiver, now)
        return ReplayStatus.REPLAYED

    def status(self, now: int) -> WebhookStatus:
        """See Store.webhook_status."""
        times = [at for _, at in list(self.ends.values())[:1]]
        times += [entry.created_ms for entry in self._waiting.values()]
        return WebhookStatus(
            now,
            len(self.ends) + len(self._waiting),
            len(self._dead),
            min(times, default=0),
            merged(
                self._receivers,
                {
                    key: (len(due), self._waiting[due.first(1)[0][-1]].new.webhook)
                    for key, due in self._due.items()
                },
            ),
        )
