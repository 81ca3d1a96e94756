"""MemoryStore: the store's protocol in the memory of one process; unfinished jobs end with it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.jobs.schedules import FireStatus
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.listing import ALL_JOBS, Inspected, JobFilter, Page
from asyncendpoints_core.store.memory import (
    actions,
    admission,
    claiming,
    client_verbs,
    listing,
    schedules,
    settling,
    sweeping,
)
from asyncendpoints_core.store.memory import workers as holding
from asyncendpoints_core.store.memory.doorbell import due_soon, read
from asyncendpoints_core.store.memory.owner_verbs import OwnerVerbs
from asyncendpoints_core.store.memory.record import decode_result
from asyncendpoints_core.store.memory.webhook_verbs import WebhookVerbs
from asyncendpoints_core.store.memory.webhooks import Webhooks
from asyncendpoints_core.store.replies import (
    Canceled,
    Cause,
    ClaimBatch,
    DeleteStatus,
    Enqueued,
    Event,
    Found,
    Health,
    Identity,
    LeaseRenewal,
    LeaseReply,
    PromoteStatus,
    Recovery,
    Redriven,
    RedriveStatus,
    Released,
    Settled,
    SettleStatus,
    Stats,
    Swept,
    WorkerInfo,
    WorkerState,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Claim, NewJob, Outcome, Progress, Result
    from asyncendpoints_core.jobs.schedules import Fired, Firing
    from asyncendpoints_core.store.actions import Action, Begun, NewAction
    from asyncendpoints_core.store.figures import Figures, FiguresWrite
    from asyncendpoints_core.store.job_logs import AttemptLog, LogWrite


class MemoryStore(WebhookVerbs, OwnerVerbs):
    """One endpoint's store, which is empty and has the default policy until `configure`.

    Leases, delays and waits go by `time`.
    """

    async def open(self) -> Health:
        """Report that nothing outlives the process."""
        self._open = True
        return Health("memory: jobs end with the process", durable=False, eviction="noeviction")

    async def close(self) -> None:
        """End every wait and watch."""
        self._open = False
        self._doorbell.close()
        self._watchers.close()

    async def configure(
        self, policy: Policy, identity: Identity | None = None, *, overwrite: bool = True
    ) -> Policy:
        now = self._now()
        data = self._data
        if identity is not None:
            if data.identity not in (None, identity):
                raise StoreError(f"the store belongs to {data.identity}, not {identity}")
            data.identity = identity
        if overwrite or data.policy is None:
            limits_before, data.policy = data.rules.limits, policy
            schedules.configure(data, now)
            data.configure_gate(now)
            if policy.limits != limits_before:  # those that they held back may start now
                self._wake(sum(each.get(State.QUEUED, 0) for each in data.counts.values()))
            data.webhooks.max_pending = policy.webhook_pending
            if not policy.webhooks:
                data.webhooks = Webhooks(data.totals)
        return data.policy

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        now = self._now()
        data = self._data
        answers = [admission.enqueue(data, new, now) for new in jobs]
        if data.gate.on:
            answers = [
                admission.with_position(data, new, answer, now)
                for new, answer in zip(jobs, answers, strict=True)
            ]
        waiting = [
            answer.job
            for answer in answers
            if answer.status in ("created", "replaced") and answer.job is not None
        ]
        soon = any(
            job.state is State.SCHEDULED and due_soon(job.not_before_ms - now) for job in waiting
        )
        self._wake(
            soon
            + sum(job.state is State.QUEUED and data.gate.may_start(job.id, now) for job in waiting)
        )
        return answers

    async def fire(self, firing: Firing) -> Fired:
        now = self._now()
        fired = schedules.fire(self._data, firing, now)
        created = fired.status is FireStatus.CREATED
        self._wake(created and self._data.gate.may_start(firing.job.id, now))
        return fired

    async def register(self, worker: WorkerInfo) -> None:
        holding.register(self._data, worker, self._now())

    async def claim(self, worker: str, request: int, limit: int) -> ClaimBatch:
        now = self._now()
        reserved_until = self._data.exclusive[1]
        batch = claiming.claim(self._data, worker, request, limit, now)
        woken = self._doorbell.busy(worker)
        full = len(batch.jobs) >= limit
        reserved = batch.stop_claiming and reserved_until <= now
        leaves_soon = full and due_soon(batch.next_due_ms)
        if batch.more or reserved or leaves_soon or (woken and batch.refused):
            self._wake(1)
        can_wait = not (full or batch.stop_claiming or batch.exclusive or batch.more)
        stopped = batch.refused in ("paused", "closed") and limit > 0
        if stopped or (can_wait and not batch.refused):
            self._doorbell.idle(worker)
        return batch

    async def wait_for_work(self, worker: str, timeout_ms: int) -> bool:
        if holding.refuses(self._data, worker, self._now()):
            await self._time.sleep(timeout_ms / 1000)  # it must not take a wake-up from others
            return False
        return await self._doorbell.wait(worker, timeout_ms)

    async def claim_next(
        self, worker: str, request: int, limit: int, timeout_ms: int
    ) -> ClaimBatch:
        await self.wait_for_work(worker, timeout_ms)
        return await self.claim(worker, request, limit)

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        now = self._now()
        answers = [settling.settle(self._data, outcome, now) for outcome in outcomes]
        freed = len(answers) if self._data.gate.limits else 0
        self._wake(freed or sum(map(settling.made_ready, outcomes, answers)))
        return answers

    async def progress(self, updates: Sequence[tuple[Claim, Progress]]) -> list[SettleStatus]:
        now = self._now()
        return [settling.progress(self._data, *update, now) for update in updates]

    async def write_logs(
        self, writes: Sequence[LogWrite], *, limit: int, budget: int
    ) -> list[bool]:
        now = self._now()
        applied = [settling.write_log(self._data, write, limit, now) for write in writes]
        self._data.logs.drop_surplus(budget)
        return applied

    async def read_logs(self, job_id: JobId) -> tuple[AttemptLog, ...]:
        self._now()
        return self._data.logs.read(job_id)

    async def heartbeat(self, beats: Sequence[LeaseRenewal]) -> list[LeaseReply]:
        now = self._now()
        return [holding.heartbeat(self._data, beat, now) for beat in beats]

    async def reconcile(self, worker: str, held: Sequence[Claim]) -> int:
        released = holding.reconcile(self._data, worker, held, self._now())
        self._wake(released)
        return released

    async def cordon(
        self, workers: Sequence[str], seconds: float, by: str
    ) -> list[WorkerState | None]:
        now = self._now()
        answers = [holding.cordon(self._data, worker, seconds, by, now) for worker in workers]
        for worker in workers:
            self._doorbell.busy(worker)
        self._wake(min(len(workers), self._ready(now)))
        return answers

    async def uncordon(self, workers: Sequence[str], by: str) -> None:
        now = self._now()
        for worker in workers:
            if known := self._data.workers.get(worker):
                known.cordons.pop(by, None)
        self._wake(self._ready(now))

    async def release_worker(
        self,
        worker: str,
        cause: Cause,
        started: Sequence[JobId] | None = None,
        how: str = "",
    ) -> Released:
        now = self._now()
        released = holding.release_worker(self._data, worker, cause, started, how, now)
        self._doorbell.busy(worker)
        # It may have been woken for a job that it did not claim: wake another worker for it.
        self._wake(max(released.requeued, self._ready(now) > 0))
        return released

    async def workers(self) -> list[WorkerState]:
        now = self._now()
        known = sorted(self._data.workers.items())[:10_000]
        return [holding.state_of(self._data, worker, now) for _, worker in known]

    async def recover(self) -> Recovery:
        self._now()
        return holding.recover(self._data, self._time.now_ms())

    async def sweep(self) -> Swept:
        swept = sweeping.sweep(self._data, self._now())
        self._wake(swept.promoted + self._data.gate.sweep(self._now()))
        return swept

    async def cancel(
        self, ids: Sequence[JobId], *, revisions: Collection[int] | None = None
    ) -> list[Canceled]:
        now = self._now()
        return [client_verbs.cancel(self._data, job_id, now, revisions) for job_id in ids]

    async def redrive(
        self, ids: Sequence[JobId], *, revisions: Collection[int] | None = None
    ) -> list[Redriven]:
        now = self._now()
        answers = [client_verbs.redrive(self._data, job_id, now, revisions) for job_id in ids]
        self._wake(sum(answer.status is RedriveStatus.REQUEUED for answer in answers))
        return answers

    async def promote(self, ids: Sequence[JobId]) -> list[PromoteStatus]:
        now = self._now()
        answers = [client_verbs.promote_now(self._data, job_id, now) for job_id in ids]
        self._wake(answers.count(PromoteStatus.PROMOTED))
        return answers

    async def delete(
        self, ids: Sequence[JobId], *, revisions: Collection[int] | None = None
    ) -> list[DeleteStatus]:
        now = self._now()
        return [client_verbs.delete(self._data, job_id, now, revisions) for job_id in ids]

    async def begin_action(self, new: NewAction) -> Begun:
        return actions.begin(self._data, new, self._now())

    async def step_action(self, action_id: JobId) -> Action | None:
        before = self._data.totals["redriven"]
        action = actions.step(self._data, action_id, self._now())
        self._wake(self._data.totals["redriven"] - before)
        return action

    async def abort_action(self, action_id: JobId) -> Action | None:
        return actions.abort(self._data, action_id, self._now())

    async def action(self, action_id: JobId | None) -> tuple[int, Action | None]:
        now, progress = self._now(), actions.find(self._data, action_id)
        return now, progress.view() if progress else None

    async def get(self, ids: Sequence[JobId]) -> list[Found]:
        now = self._now()
        return [client_verbs.find(self._data, job_id, now) for job_id in ids]

    async def result(self, job_id: JobId) -> tuple[Found, Result | None]:
        found = client_verbs.find(self._data, job_id, self._now())
        return found, decode_result(self._data.results.get(job_id))

    async def inspect(self, ids: Sequence[JobId], *, bodies: bool = False) -> list[Inspected]:
        now = self._now()
        return [client_verbs.inspect(self._data, job_id, now, body=bodies) for job_id in ids]

    async def list(
        self, state: State | None, limit: int, cursor: str | None, only: JobFilter = ALL_JOBS
    ) -> Page:
        return listing.page(self._data, state, limit, cursor, only, self._now())

    async def stats(self) -> Stats:
        return listing.stats(self._data, self._now())

    async def record_figures(self, write: FiguresWrite) -> None:
        self._now()
        self._data.figures.add(write)

    async def read_figures(self, step_s: int, since_ms: int = 0) -> Figures:
        return self._data.figures.read(step_s, since_ms, self._now())

    @asynccontextmanager
    async def _events(self) -> AsyncIterator[AsyncIterator[Event]]:
        self._now()
        queue = self._watchers.add()
        try:
            yield read(queue)
        finally:
            self._watchers.remove(queue)

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        return self._events()
