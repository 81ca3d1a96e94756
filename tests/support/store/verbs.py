"""Every verb of the store once, on a store where each has something to do: for the fault tests."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Attributes, Claim, Progress
from asyncendpoints_core.jobs.schedules import Firing
from asyncendpoints_core.store.actions import ActionKind, NewAction
from asyncendpoints_core.store.deliveries import (
    DeliveryEnd,
    DeliveryOutcome,
    DeliveryState,
    FanOut,
    Leased,
    NewDelivery,
)
from asyncendpoints_core.store.figures import FiguresWrite, Point, ScalingState, ScalingStep
from asyncendpoints_core.store.job_logs import LogWrite
from asyncendpoints_core.store.listing import JobFilter
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import Cause, LeaseRenewal
from support.store.stores import DONE, ERROR, Hand, hand, new, policy, put

FIGURES = FiguresWrite(
    {10: (Point(1_000_000, (1,) * 6),), 600: (Point(1_200_000, (1,) * 6),)},
    (ScalingStep(1_000_000, 0, 1, 1, "ScaledUp", "0 → 1"),),
    ScalingState(1_000_000, 1, "Steady", "kept at 1"),
)
ACTION = NewAction(ids.new(1), ActionKind.PURGE, only=JobFilter(job="none"))
WITH_FEATURES = policy(schedules={"nightly": "a1" * 8}, webhooks=1, webhook_states=7)


class Scene:
    """A store with a job in every state, and a worker that holds some."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.fresh = new(key="fresh")
        self.ids: dict[str, JobId] = {}
        self.claims: list[Claim] = []
        self.worker = Hand(store, "w1")
        self.firing: Firing

    async def build(self) -> None:
        """Put everything in place."""
        store = self.store
        await store.configure(WITH_FEATURES)
        [schedule] = (await store.stats()).schedules
        self.firing = Firing(
            "nightly", schedule.hash, schedule.last_ms + 1, 0, schedule.last_ms, new()
        )
        self.worker = await hand(store)
        crashing = await hand(store, "crashing")
        ended = [new() for _ in range(3)]
        await put(store, *ended)
        completed, failed, _ = taken = await self.worker.take()
        await store.settle([jobs.complete(completed.claim, DONE), jobs.fail(failed.claim, ERROR)])
        await store.cancel([taken[2].job.id])
        await store.settle([jobs.canceled(taken[2].claim)])
        await put(store, new())
        await crashing.one()
        await store.release_worker("crashing", Cause.CRASH)
        lonely = await hand(store, "lonely")
        [suspect] = await lonely.take()
        await put(store, new(), new())
        self.claims = [job.claim for job in await self.worker.take(2)]
        waiting, delayed = new(), new(delay_ms=60_000)
        await put(store, waiting, delayed, new(), new(), new())
        self.ids = {
            "completed": completed.job.id,
            "failed": failed.job.id,
            "waiting": waiting.id,
            "delayed": delayed.id,
            "suspect": suspect.job.id,
        }
        await store.begin_action(ACTION)


Act = Callable[[Scene], Awaitable[Any]]


async def settle(scene: Scene) -> object:
    first, second, *_ = scene.claims
    return await scene.store.settle([jobs.complete(first, DONE), jobs.release(second)])


async def settle_with_children(scene: Scene) -> object:
    first = scene.claims[0]
    child = new(attributes=Attributes(parent=first.job_id))
    return await scene.store.settle([jobs.complete(first, DONE, (child,))])


async def configure(scene: Scene) -> object:
    return await scene.store.configure(WITH_FEATURES)


async def fan_out(scene: Scene) -> object:
    ends = await scene.store.webhook_events(10)
    receiver = NewDelivery(b"0" * 16, b"1" * 8, "billing")
    return await scene.store.fan_out(1, [FanOut(job, (receiver,)) for job in ends[:1]])


async def lease(scene: Scene) -> Leased:
    return await scene.store.lease_deliveries(
        1, 1_000, probes=1, per_host=4, busy=[], expiry_ms=10**9
    )


async def settle_delivery(scene: Scene) -> object:
    outcome = DeliveryOutcome(b"0" * 16, 1, DeliveryEnd.DEAD)
    return await scene.store.settle_deliveries([outcome], 60_000)


# By the name of the script each runs.
VERBS: dict[str, Act] = {
    "configure": configure,
    "enqueue": lambda s: s.store.enqueue([s.fresh]),
    "fire": lambda s: s.store.fire(s.firing),
    "register": lambda s: hand(s.store, "w9"),
    "claim": lambda s: s.store.claim("w1", 50, 2),
    "settle": settle,
    "settle_with_children": settle_with_children,
    "progress": lambda s: s.store.progress([(s.claims[0], Progress(0.5, "half"))]),
    "write_logs": lambda s: s.store.write_logs(
        [LogWrite(s.claims[0], 1, 0, b"a line\n")], limit=4_096, budget=100_000
    ),
    "read_logs": lambda s: s.store.read_logs(s.claims[0].job_id),
    "record_figures": lambda s: s.store.record_figures(FIGURES),
    "read_figures": lambda s: s.store.read_figures(10),
    "heartbeat": lambda s: s.store.heartbeat([LeaseRenewal("w1"), LeaseRenewal("nobody")]),
    "reconcile": lambda s: s.store.reconcile("w1", s.claims[:1]),
    "cordon": lambda s: s.store.cordon(["w1"], 30, "operator"),
    "uncordon": lambda s: s.store.uncordon(["w1"], "operator"),
    "release_worker": lambda s: s.store.release_worker("w1", Cause.LOST),
    "workers": lambda s: s.store.workers(),
    "recover": lambda s: s.store.recover(),
    "sweep": lambda s: s.store.sweep(),
    "cancel": lambda s: s.store.cancel([s.ids["waiting"], s.claims[0].job_id]),
    "redrive": lambda s: s.store.redrive([s.ids["failed"]]),
    "promote": lambda s: s.store.promote([s.ids.get("delayed", s.ids["waiting"])]),
    "delete": lambda s: s.store.delete([s.ids["completed"]]),
    "begin_action": lambda s: s.store.begin_action(msgspec.structs.replace(ACTION, id=s.fresh.id)),
    "step_action": lambda s: s.store.step_action(ACTION.id),
    "abort_action": lambda s: s.store.abort_action(ACTION.id),
    "read_action": lambda s: s.store.action(None),
    "get": lambda s: s.store.get(list(s.ids.values())),
    "result": lambda s: s.store.result(s.ids["completed"]),
    "inspect": lambda s: s.store.inspect(list(s.ids.values()), bodies=True),
    "list": lambda s: s.store.list(None, 100, None),
    "stats": lambda s: s.store.stats(),
    "webhook_events": lambda s: s.store.webhook_events(10),
    "fan_out": fan_out,
    "lease_deliveries": lease,
    "settle_deliveries": settle_delivery,
    "list_deliveries": lambda s: s.store.list_deliveries(DeliveryState.PENDING, 10, None),
    "replay_deliveries": lambda s: s.store.replay_deliveries([b"0" * 16], {"billing": b"1" * 8}),
    "webhook_status": lambda s: s.store.webhook_status(),
    "pause": lambda s: s.store.pause(),
    "resume": lambda s: s.store.resume(),
    "pause_job": lambda s: s.store.pause("report"),
    "resume_job": lambda s: s.store.resume("report"),
    "close_queue": lambda s: s.store.close_queue(),
    "reopen_queue": lambda s: s.store.reopen_queue(),
    "wait": lambda s: s.store.wait_for_work("w1", 20),
}


async def use_everything(store: RedisStore) -> None:
    """Run every verb, a wait that is rung, and a watch that sees a change."""
    scene = Scene(store)
    await scene.build()
    for verb in VERBS.values():
        await verb(scene)
    worker = await hand(store, "waiter")
    while taken := await worker.take():
        await store.settle([jobs.complete(job.claim, DONE) for job in taken])
    waiting = asyncio.ensure_future(store.wait_for_work(worker.id, 20_000))
    async with store.events() as events:
        assert (await anext(events)).job_id is None
        [job_id] = await put(store, new())
        event = await asyncio.wait_for(anext(events), 20)
        assert (event.job_id, event.revision) == (job_id, 1)
    assert await asyncio.wait_for(waiting, 20)
