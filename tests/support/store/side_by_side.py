"""A random walk in which memory and Redis get the same commands at the same moved time.

Time is frozen on both, so that even claim numbers agree and answers are compared as they are. After
every command all figures and every job are compared too, and at the end the full scans.
"""

import hashlib
from collections.abc import Awaitable
from typing import TypeVar

import msgspec
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
)

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.records import (
    NO_ATTRIBUTES,
    Attributes,
    Claim,
    JobError,
    Lock,
    NewJob,
    OnConflict,
    Outcome,
    OutcomeKind,
    Priority,
)
from asyncendpoints_core.jobs.retry import RetryPolicy
from asyncendpoints_core.jobs.schedules import Concurrency, Firing
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.figures import RINGS, FiguresWrite, Point, ScalingStep
from asyncendpoints_core.store.job_logs import LogWrite
from asyncendpoints_core.store.listing import ALL_JOBS, JobFilter
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import (
    Cause,
    ClaimBatch,
    LeaseRenewal,
    WorkerInfo,
)
from support.store.stores import new, sweep_all
from support.store.twins import Twins

T = TypeVar("T")

WORKERS = ("w", "w1", "w11", "other")
ERRORS = (
    None,
    JobError("handler-error", "it went wrong", retryable=True),
    JobError("handler-missing", "no handler"),
    JobError("permanent", "snow ☃"),
)
# One time to live for all: a shorter one counts at once for jobs in line, but on Redis only from
# their due time for jobs that a worker gave back with a delay.
TTL = 30_000
HASHES = ("a1" * 8, "b2" * 8)
POLICIES = (
    Policy(ttl_ms=TTL, retry=RetryPolicy(jitter="none", max_crashes=1, initial_ms=500)),
    Policy(ttl_ms=TTL, max_depth=12, retry=RetryPolicy(max_crashes=0), schedules={"a": HASHES[0]}),
    Policy(
        ttl_ms=TTL,
        max_bytes=6_000,
        completed_ms=3_000,
        failed_ms=7_000,
        schedules={"a": HASHES[1], "ab": HASHES[0]},
    ),
    Policy(ttl_ms=TTL, lease_ms=2_000, execution_ms=3_000, grace_ms=500, idempotency_ms=2_000),
    Policy(ttl_ms=TTL, max_finished=2, retry=RetryPolicy(multiplier=1.7, initial_ms=333)),
)
STEPS = st.sampled_from([1, 7, 499, 500, 1_000, 2_001, 3_000, 4_999])
JUMPS = st.sampled_from([5_001, 15_000, 60_000, 3_600_000, 90_000_000])
names = st.sampled_from(WORKERS)
some = st.integers(0, 2**16)
named = st.none() | st.sets(st.integers(1, 5), max_size=3)  # revisions
rarely = st.sampled_from([False, False, False, True])
CARRIED = (
    NO_ATTRIBUTES,
    NO_ATTRIBUTES,
    Attributes(tags=("blue",)),
    Attributes(tags=("green", "blue"), key="acme", parent=JobId(bytes(16))),
    Attributes(lock=Lock(b"first lock, long", 20_000)),
    Attributes(lock=Lock(b"first lock, long", 20_000), tags=("blue",)),
    Attributes(lock=Lock(b"second, short  1", 2_000, until_started=True)),
)
Submission = tuple[Priority, int, int, int, str, bytes, str, Attributes, OnConflict]
submissions: st.SearchStrategy[list[Submission]] = st.lists(
    st.tuples(
        st.sampled_from(Priority),
        st.sampled_from([0, 0, 0, 1, 1_000, 8_000]),
        st.sampled_from([0, 0, 0, 1_500, 20_000]),
        st.sampled_from([0, 10, 1_024, 1_100]),
        st.sampled_from(["", "", "", "k1", "k2"]),
        st.sampled_from([b"f", b"g"]),
        st.sampled_from(["report", "image"]),
        st.sampled_from(CARRIED),
        st.sampled_from(OnConflict),
    ),
    min_size=1,
    max_size=5,
)
Settlement = tuple[int, OutcomeKind, int, JobError | None, bool, bool]
settlements: st.SearchStrategy[list[Settlement]] = st.lists(
    st.tuples(
        some,
        st.sampled_from(OutcomeKind),
        st.sampled_from([0, 0, 400, 3_000]),
        st.sampled_from(ERRORS),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


class SideBySide(Twins):
    """Two stores, one command at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.news: dict[JobId, NewJob] = {}
        self.claims: list[Claim] = []
        self.requests = dict.fromkeys(WORKERS, 0)
        self.incarnation = dict.fromkeys(WORKERS, 0)

    def name(self, worker: str) -> str:
        return f"{worker}.{self.incarnation[worker]}"

    def next_id(self) -> JobId:
        """Return a new id; their order has nothing to do with the order of creation."""
        job_id = JobId(hashlib.sha256(b"%d" % len(self.ids)).digest()[:16])
        self.ids.append(job_id)
        return job_id

    def pick(self, seeds: list[int]) -> list[JobId]:
        """Return some ids, each once: of claimed jobs and of any, perhaps one nobody knows."""
        known = [
            self.recent(seed).job_id
            if seed % 2 and self.claims
            else self.ids[seed // 2 % len(self.ids)]
            for seed in seeds
            if self.ids
        ]
        return list(dict.fromkeys([*known, JobId(bytes(16))] if len(seeds) > 3 else known))

    @initialize(policy=st.sampled_from(POLICIES))
    def configure_first(self, policy: Policy) -> None:
        self.configure(policy)
        for worker in WORKERS[:3]:
            self.register(worker)

    @rule(policy=st.sampled_from(POLICIES))
    def configure(self, policy: Policy) -> None:
        self.both(lambda store: store.configure(self.adapt(policy)))

    def adapt(self, policy: Policy) -> Policy:
        """Return the policy that is put in force."""
        return policy

    @rule(items=submissions)
    def enqueue(self, items: list[Submission]) -> None:
        news: list[NewJob] = []
        for priority, delay, expires, size, key, fingerprint, name, carried, conflict in items:
            job_id = self.next_id()
            news.append(
                new(
                    name,
                    priority=priority,
                    delay_ms=delay,
                    ttl_ms=expires,
                    body=b"x" * size,
                    key=key,
                    fingerprint=fingerprint,
                    job_id=job_id,
                    attributes=carried,
                    on_conflict=conflict,
                )
            )
        self.news |= {one.id: one for one in news}
        self.both(lambda store: store.enqueue(news))

    @rule(items=submissions)
    def enqueue_more(self, items: list[Submission]) -> None:
        self.enqueue(items)

    @rule(
        schedule=st.sampled_from(["a", "a", "ab", "b"]),
        hash_=st.sampled_from(HASHES),
        ms=STEPS,
        late=st.sampled_from([-1, 0, 0, 1, 500]),
        deadline=st.sampled_from([0, 0, 1, 1_000]),
        missed=st.sampled_from([0, 0, 3]),
        concurrency=st.sampled_from(Concurrency),
        size=st.sampled_from([10, 1_100]),
        again=st.booleans(),
    )
    def fire(
        self,
        schedule: str,
        hash_: str,
        ms: int,
        late: int,
        deadline: int,
        missed: int,
        concurrency: Concurrency,
        size: int,
        again: bool,
    ) -> None:
        """Let a time of a schedule come, and fire it once or twice."""
        self.advance(ms)
        stats = self.both(lambda store: store.stats())
        assert stats is not None
        seen = next((s.last_ms for s in stats.schedules if s.name == schedule), 0)
        due = stats.now_ms - late
        job_id = JobId(hashlib.sha256(b"%d" % len(self.ids)).digest()[:16])
        self.ids.append(job_id)
        job = msgspec.structs.replace(
            new(body=b"x" * size, job_id=job_id),
            attributes=Attributes(schedule=schedule, scheduled_ms=due),
        )
        firing = Firing(
            schedule,
            hash_,
            due,
            due + 400 if late else 0,
            seen,
            job,
            missed,
            due + deadline if deadline else 0,
            concurrency,
        )
        for _ in range(1 + again):
            self.both(lambda store: store.fire(firing))

    @precondition(lambda self: self.ids)
    @rule(seed=some)
    def enqueue_again(self, seed: int) -> None:
        """Send a submission once more, as a gateway does that got no answer."""
        [job_id] = self.pick([seed])
        assume(job_id in self.news)
        self.both(lambda store: store.enqueue([self.news[job_id]]))

    @rule(worker=names)
    def register(self, worker: str) -> None:
        info = WorkerInfo(self.name(worker), "pod", "n", 2, ("report",), "1")
        self.both(lambda store: store.register(info))

    @rule(worker=names)
    def start_anew(self, worker: str) -> None:
        self.incarnation[worker] += 1
        self.requests[worker] = 0
        self.register(worker)

    @rule(
        worker=names,
        limit=st.integers(1, 6),
        back=st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2]),
    )
    def claim(self, worker: str, limit: int, back: int) -> None:
        """Claim anew, send the last claim again, or one before it; when gone, begin anew."""
        if back == 0:
            self.requests[worker] += 1
        number = max(0, self.requests[worker] - max(0, back - 1))
        batch: ClaimBatch | None = self.both(
            lambda store: store.claim(self.name(worker), number, limit)
        )
        if batch is None:
            self.start_anew(worker)
        else:
            self.claims += [job.claim for job in batch.jobs]

    @rule(worker=names, limit=st.integers(1, 6))
    def claim_more(self, worker: str, limit: int) -> None:
        self.claim(worker, limit, 0)

    @rule(worker=names)
    def claim_one(self, worker: str) -> None:
        self.claim(worker, 1, 0)

    @precondition(lambda self: self.claims)
    @rule(items=settlements)
    def settle(self, items: list[Settlement]) -> None:
        self.both(lambda store: store.settle([self.outcome(*item) for item in items]))

    @precondition(lambda self: self.claims)
    @rule(items=settlements)
    def settle_more(self, items: list[Settlement]) -> None:
        self.settle(items)

    @precondition(lambda self: self.claims)
    @rule(
        seeds=st.lists(some, min_size=1, max_size=3),
        children=st.lists(
            st.tuples(
                st.sampled_from(Priority),
                st.sampled_from([0, 0, 1, 1_000]),
                st.sampled_from([0, 10, 1_100]),
            ),
            min_size=1,
            max_size=6,
        ),
    )
    def settle_with_children(
        self, seeds: list[int], children: list[tuple[Priority, int, int]]
    ) -> None:
        """Complete jobs that have enqueued others, the first of them the most."""
        outcomes = []
        for skipped, seed in enumerate(seeds):
            claim, made = self.recent(seed), []
            for priority, delay, size in children[skipped:] or children[:1]:
                job_id = self.next_id()
                made.append(
                    new(
                        priority=priority,
                        delay_ms=delay,
                        body=b"x" * size,
                        job_id=job_id,
                        attributes=Attributes(parent=claim.job_id),
                    )
                )
            outcomes.append(jobs.complete(claim, jobs.Result("text/plain", b"1"), tuple(made)))
        self.both(lambda store: store.settle(outcomes))

    def outcome(
        self,
        seed: int,
        kind: OutcomeKind,
        delay: int,
        error: JobError | None,
        started: bool,
        final: bool,
    ) -> Outcome:
        if kind in (OutcomeKind.RETRY, OutcomeKind.FAIL, OutcomeKind.TIME_OUT):
            error = error or ERRORS[1]
        elif kind is not OutcomeKind.RELEASE:
            error = None
        done = jobs.Result("text/plain", b"%d" % seed) if kind is OutcomeKind.COMPLETE else None
        return Outcome(
            self.recent(seed),
            kind,
            delay_ms=delay,
            error=error,
            result=done,
            started=started or kind is not OutcomeKind.RELEASE,
            final=final and kind is OutcomeKind.TIME_OUT,
        )

    def recent(self, seed: int) -> Claim:
        """Return a claim, more often a late one: it is the likelier to be held still."""
        return self.claims[-1 - min(seed % len(self.claims), seed % 7)]

    @precondition(lambda self: self.claims)
    @rule(seeds=st.lists(some, min_size=1, max_size=3), fraction=st.floats(0, 1))
    def progress(self, seeds: list[int], fraction: float) -> None:
        updates = [(self.recent(seed), jobs.Progress(fraction, "on it ☃")) for seed in seeds]
        self.both(lambda store: store.progress(updates))

    @precondition(lambda self: self.claims)
    @rule(seeds=st.lists(some, min_size=1, max_size=3), lines=st.integers(0, 30), last=rarely)
    def write_logs(self, seeds: list[int], lines: int, last: bool) -> None:
        claims = [self.recent(seed) for seed in seeds]
        text = "".join(f"{line} ☃\n" for line in range(lines)).encode()
        writes = [LogWrite(claim, 1, 7 * (lines % 3), text, last) for claim in claims]
        self.both(lambda store: store.write_logs(writes, limit=100, budget=350))
        self.both(lambda store: store.read_logs(claims[0].job_id))

    @rule(step_s=st.sampled_from(sorted(RINGS)), slots=st.lists(st.integers(0, 400), max_size=4))
    def record_figures(self, step_s: int, slots: list[int]) -> None:
        now = 4_102_444_800_000
        points = tuple(Point(now - 1_000 * step_s * slot, (slot,) * 6) for slot in slots)
        steps = tuple(ScalingStep(now - slot, 0, slot, slot, "ScaledUp", "☃") for slot in slots)
        self.both(lambda store: store.record_figures(FiguresWrite({step_s: points}, steps)))
        self.both(lambda store: store.read_figures(step_s))

    @rule(beating=st.lists(names, max_size=4, unique=True), draining=rarely)
    def heartbeat(self, beating: list[str], draining: bool) -> None:
        beats = [LeaseRenewal(self.name(worker), draining=draining) for worker in beating]
        self.both(lambda store: store.heartbeat(beats))

    @rule(worker=names, keep=st.integers(0, 3), limit=st.integers(0, 3))
    def reconcile(self, worker: str, keep: int, limit: int) -> None:
        if limit:
            self.claim(worker, limit, 0)
        known = [claim for claim in self.claims if claim.worker == self.name(worker)]
        known = known[: len(known) - keep]
        self.both(lambda store: store.reconcile(self.name(worker), known))

    @rule(worker=names, seconds=st.sampled_from([0.5, 3, 60]), by=st.sampled_from("ab"))
    def cordon(self, worker: str, seconds: float, by: str) -> None:
        self.both(lambda store: store.cordon([self.name(worker), "nobody"], seconds, by))

    @rule(worker=names, by=st.sampled_from("ab"))
    def uncordon(self, worker: str, by: str) -> None:
        self.both(lambda store: store.uncordon([self.name(worker)], by))

    @rule(
        worker=names,
        limit=st.sampled_from([0, 1, 1, 3]),
        cause=st.sampled_from(Cause),
        reported=st.one_of(st.none(), st.none(), st.lists(some)),
    )
    def release_worker(
        self, worker: str, limit: int, cause: Cause, reported: list[int] | None
    ) -> None:
        if limit:
            self.claim(worker, limit, 0)
        started = None if reported is None else self.pick(reported[:3])
        how = "killed by SIGKILL" if limit == 1 else ""
        self.both(lambda store: store.release_worker(self.name(worker), cause, started, how))

    @rule()
    def recover(self) -> None:
        def in_order(store: Store) -> Awaitable[object]:
            async def ask() -> object:
                found = await store.recover()
                return (
                    sorted(found.expired),
                    sorted(found.overdue, key=lambda over: over.claim.number),
                    sorted(found.orphaned, key=lambda claim: claim.number),
                    found.leases_extended,
                )

            return ask()

        self.both(in_order)

    @rule()
    def sweep(self) -> None:
        """How much one call does is each store's own; what all of them do is not."""
        self.both(sweep_all)

    @rule(seeds=st.lists(some, min_size=1, max_size=4), revisions=named)
    def cancel(self, seeds: list[int], revisions: set[int] | None = None) -> None:
        self.both(lambda store: store.cancel(self.pick(seeds), revisions=revisions))

    @rule(seeds=st.lists(some, min_size=1, max_size=4), revisions=named)
    def redrive(self, seeds: list[int], revisions: set[int] | None = None) -> None:
        self.both(lambda store: store.redrive(self.pick(seeds), revisions=revisions))

    @rule(seeds=st.lists(some, min_size=1, max_size=4))
    def promote(self, seeds: list[int]) -> None:
        self.both(lambda store: store.promote(self.pick(seeds)))

    @rule(seeds=st.lists(some, min_size=1, max_size=4), revisions=named)
    def delete(self, seeds: list[int], revisions: set[int] | None = None) -> None:
        self.both(lambda store: store.delete(self.pick(seeds), revisions=revisions))

    @precondition(lambda self: self.ids)
    @rule(seed=some)
    def result(self, seed: int) -> None:
        [job_id] = self.pick([seed])
        self.both(lambda store: store.result(job_id))

    @rule(
        state=st.sampled_from([None, *State]),
        limit=st.integers(1, 5),
        only=st.sampled_from([ALL_JOBS, JobFilter("image"), JobFilter(tags=("blue",))]),
    )
    def list_all(self, state: State | None, limit: int, only: JobFilter) -> None:
        async def pages(store: Store) -> object:
            found, cursor = [], None
            while True:
                page = await store.list(state, limit, cursor, only)
                found.append(page.jobs)
                cursor = page.cursor
                if cursor is None:
                    return found

        self.both(pages)

    @rule()
    def workers(self) -> None:
        async def known(store: Store) -> object:
            return sorted(await store.workers(), key=lambda worker: worker.info.id)

        self.both(known)

    @rule(ms=STEPS, stay=rarely)
    def pause(self, ms: int, stay: bool) -> None:
        self.both(lambda store: store.pause())
        self.leap(ms)
        if not stay:
            self.both(lambda store: store.resume())

    @rule(ms=STEPS, job=st.sampled_from(["report", "image"]), stay=st.booleans(), worker=names)
    def pause_job(self, ms: int, job: str, stay: bool, worker: str) -> None:
        self.both(lambda store: store.pause(job))
        self.claim(worker, 2, 0)
        self.leap(ms)
        if not stay:
            self.both(lambda store: store.resume(job))

    @rule(ms=STEPS, stay=rarely)
    def suspend(self, ms: int, stay: bool) -> None:
        self.both(lambda store: store.suspend(True))
        self.leap(ms)
        if not stay:
            self.both(lambda store: store.suspend(False))

    @rule(items=submissions, worker=names, stay=rarely)
    def close_queue(self, items: list[Submission], worker: str, stay: bool) -> None:
        self.both(lambda store: store.close_queue())
        self.enqueue(items)
        self.claim(worker, 2, 0)
        if not stay:
            self.both(lambda store: store.reopen_queue())

    @rule()
    def clear_the_way(self) -> None:
        """Let every worker claim again, whatever forbade it."""
        self.both(lambda store: store.resume())
        self.both(lambda store: store.suspend(False))
        for job in ("report", "image"):
            self.both(lambda store, job=job: store.resume(job))  # type: ignore[misc]
        self.both(lambda store: store.reopen_queue())
        for by in "ab":
            self.both(lambda store, by=by: store.uncordon([self.name(w) for w in WORKERS], by))  # type: ignore[misc]
        self.heartbeat(list(WORKERS), draining=False)

    @rule(worker=names, items=settlements)
    def work(self, worker: str, items: list[Settlement]) -> None:
        """Claim and settle as a worker in good order does."""
        self.clear_the_way()
        self.claim(worker, len(items), 0)
        if self.claims:
            self.settle([(place, *item[1:]) for place, item in enumerate(items)])

    @rule(
        worker=names, witness=names, items=submissions, cause=st.sampled_from([Cause.CRASH, *Cause])
    )
    def end_badly(self, worker: str, witness: str, items: list[Submission], cause: Cause) -> None:
        """Claim some jobs and die with them, while another holds one and then asks for more."""
        self.clear_the_way()
        self.enqueue([(item[0], 0, 0, *item[3:]) for item in items])
        self.claim(witness, 1, 0)
        self.claim(worker, len(items), 0)
        self.release_worker(worker, 0, cause, None)
        self.claim(witness, 2, 0)

    @rule(ms=STEPS)
    def advance(self, ms: int) -> None:
        """Let time pass, with everybody alive."""
        self.leap(ms)
        self.heartbeat(list(WORKERS), draining=False)

    @rule(
        ms=st.sampled_from([1_000, 400_000]),
        stay=st.booleans(),
        items=submissions,
        seeds=st.lists(some, max_size=3),
    )
    def rest(self, ms: int, stay: bool, items: list[Submission], seeds: list[int]) -> None:
        """End whatever is unfinished; after a time there is work again."""
        self.clear_the_way()
        for worker in WORKERS[: 3 if stay else 4]:
            self.release_worker(worker, 0, Cause.LOST, None)
        self.both(lambda store: store.cancel(self.ids))
        self.leap(ms)
        self.sweep()
        self.enqueue(items)
        self.both(lambda store: store.cancel(self.ids))
        self.leap(ms)
        self.sweep()
        self.redrive(seeds)

    @rule(rounds=st.integers(1, 3))
    def keep_alive(self, rounds: int) -> None:
        """Let jobs run into their deadlines under live leases, with recovery looking on."""
        for _ in range(rounds):
            self.advance(1_900)
            self.recover()

    @rule(ms=st.one_of(STEPS, JUMPS))
    def leap(self, ms: int) -> None:
        """Let time pass with nobody showing a sign of life."""
        for backend in self.backends:
            self.run(backend.advance(ms))

    @rule(ms=st.one_of(STEPS, JUMPS))
    def outage(self, ms: int) -> None:
        """Let time pass with the store away."""
        assume(ms < 60_000_000)
        for backend in self.backends:
            self.run(backend.outage(ms))
