"""Every state with every verb, driven from states.TABLE: what is allowed and what is refused."""

from collections.abc import Awaitable, Callable

import pytest

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Attributes, Claim, Outcome
from asyncendpoints_core.jobs.retry import RetryPolicy
from asyncendpoints_core.jobs.states import TABLE, State, Verb
from asyncendpoints_core.store.replies import (
    CancelStatus,
    Cause,
    DeleteStatus,
    EnqueueStatus,
    RedriveStatus,
    SettleStatus,
)
from support.store.stores import DONE, ERROR, Backend, Hand, hand, look, new, policy, put, state_of

DAY = 86_400_000
DELAY = 60_000
STATES: list[State | None] = [None, *State]


class Case:
    """One job on its way into a state, with the worker and the claim that belong to it."""

    def __init__(self, backend: Backend, worker: Hand) -> None:
        self.backend = backend
        self.store = backend.store
        self.worker = worker
        self.new = new(priority=jobs.Priority.HIGH)
        self.id: JobId = self.new.id
        self.claim = Claim(self.id, 1, worker.id)

    async def reach(self, state: State | None) -> None:
        if state is None:
            return
        if state is State.SCHEDULED:
            self.new = new(job_id=self.id, delay_ms=DELAY)
        await put(self.store, self.new)
        if state in (State.IN_PROGRESS, State.COMPLETED, State.FAILED):
            self.claim = (await self.worker.one()).claim
        if state is State.COMPLETED:
            await self.settle(jobs.complete(self.claim, DONE))
        if state is State.FAILED:
            await self.settle(jobs.fail(self.claim, ERROR))
        if state is State.CANCELED:
            await self.store.cancel([self.id])
        assert await state_of(self.store, self.id) is state

    async def settle(self, outcome: Outcome) -> object:
        [settled] = await self.store.settle([outcome])
        return settled.status

    async def apply(self, verb: Verb) -> object:
        """Do `verb` and return the store's answer, in which a refusal shows."""
        return await VERBS[verb](self)

    async def enqueue(self) -> object:
        [answer] = await self.store.enqueue([self.new])
        return answer.status

    async def promote(self) -> object:
        await self.backend.advance(DELAY)
        return (await self.store.sweep()).promoted

    async def take(self) -> object:
        return [job.job.id for job in await self.worker.take(1)]

    async def recover(self) -> object:
        return await self.store.release_worker(self.worker.id, Cause.LOST)

    async def cancel(self) -> object:
        [answer] = await self.store.cancel([self.id])
        return answer.status

    async def expire(self) -> object:
        await self.backend.advance(DAY + DELAY)
        return (await self.store.sweep()).expired

    async def redrive(self) -> object:
        [answer] = await self.store.redrive([self.id])
        return answer.status

    async def delete(self) -> object:
        [answer] = await self.store.delete([self.id])
        return answer


VERBS: dict[Verb, Callable[[Case], Awaitable[object]]] = {
    Verb.ENQUEUE: Case.enqueue,
    Verb.PROMOTE: Case.promote,
    Verb.CLAIM: Case.take,
    Verb.COMPLETE: lambda case: case.settle(jobs.complete(case.claim, DONE)),
    Verb.RETRY: lambda case: case.settle(jobs.retry_later(case.claim, ERROR, DELAY)),
    Verb.FAIL: lambda case: case.settle(jobs.fail(case.claim, ERROR)),
    Verb.RELEASE: lambda case: case.settle(jobs.release(case.claim)),
    Verb.RECOVER: Case.recover,
    Verb.TIME_OUT: lambda case: case.settle(jobs.timed_out(case.claim, ERROR, DELAY)),
    Verb.CANCEL: Case.cancel,
    Verb.EXPIRE: Case.expire,
    Verb.REDRIVE: Case.redrive,
    Verb.DELETE: Case.delete,
}
FENCED = {Verb.COMPLETE, Verb.RETRY, Verb.FAIL, Verb.RELEASE, Verb.TIME_OUT}


def refusal(state: State | None, verb: Verb) -> object:
    """Return the answer that says `verb` did nothing to a job in `state`."""
    if verb in FENCED:
        if state is None:
            return SettleStatus.GONE
        settled = state in (State.COMPLETED, State.FAILED)
        return SettleStatus.ALREADY if settled else SettleStatus.STALE
    missing = state is None
    return {
        Verb.ENQUEUE: EnqueueStatus.CREATED,  # sent again: the answer is the job as it is
        Verb.PROMOTE: 0,
        Verb.CLAIM: [],
        Verb.EXPIRE: 0,
        Verb.CANCEL: CancelStatus.MISSING if missing else CancelStatus.FINAL,
        Verb.REDRIVE: RedriveStatus.MISSING if missing else RedriveStatus.NOT_RETRYABLE,
        Verb.DELETE: DeleteStatus.MISSING if missing else DeleteStatus.NOT_FINAL,
    }.get(verb)


async def case_for(backend: Backend, **changes: object) -> Case:
    await backend.store.configure(
        policy(completed_ms=10 * DAY, failed_ms=10 * DAY, **changes)  # nothing is removed here
    )
    return Case(backend, await hand(backend.store))


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("state", STATES)
async def test_a_verb_does_what_the_table_says(
    backend: Backend, state: State | None, verb: Verb
) -> None:
    case = await case_for(backend)
    await case.reach(state)
    before = (await backend.store.get([case.id]))[0].job

    answer = await case.apply(verb)

    after = (await backend.store.get([case.id]))[0].job
    if (state, verb) in TABLE:
        target = TABLE[(state, verb)][0]
        assert (after.state if after else None) is target
        assert answer != refusal(state, verb) or verb is Verb.ENQUEUE
        if before and after:
            assert after.revision > before.revision
    else:
        assert after == before
        if verb is not Verb.RECOVER:
            assert answer == refusal(state, verb)


async def ask_cancel(case: Case) -> None:
    assert await case.cancel() is CancelStatus.REQUESTED


async def spend_releases(case: Case) -> None:
    for _ in range(jobs.MAX_RELEASES):
        await case.settle(jobs.release(case.claim))
        case.claim = (await case.worker.one()).claim


async def crash(case: Case) -> None:
    await case.store.release_worker(case.worker.id, Cause.CRASH)


# How each exit is taken: what happens first, and the verb where it is not the usual one.
Step = Callable[[Case], Awaitable[object]]


async def nothing(_: Case) -> None:
    return None


def settling(make: Callable[[Case], Outcome]) -> Step:
    return lambda case: case.settle(make(case))


async def close(case: Case) -> None:
    await case.store.close_queue()


def completed_with_child(case: Case) -> Outcome:
    return jobs.complete(case.claim, DONE, (new(attributes=Attributes(parent=case.id)),))


async def delayed(case: Case) -> None:
    case.new = new(job_id=case.id, delay_ms=DELAY)
    await case.enqueue()


P = State.IN_PROGRESS
EXITS: dict[tuple[State | None, Verb, State], tuple[Step, Step]] = {
    (None, Verb.ENQUEUE, State.SCHEDULED): (nothing, delayed),
    (P, Verb.COMPLETE, State.FAILED): (close, settling(completed_with_child)),
    (P, Verb.RETRY, State.CANCELED): (ask_cancel, VERBS[Verb.RETRY]),
    (P, Verb.RELEASE, State.SCHEDULED): (
        nothing,
        settling(lambda case: jobs.release(case.claim, delay_ms=DELAY)),
    ),
    (P, Verb.RELEASE, State.CANCELED): (ask_cancel, VERBS[Verb.RELEASE]),
    (P, Verb.RELEASE, State.FAILED): (spend_releases, VERBS[Verb.RELEASE]),
    (P, Verb.RECOVER, State.CANCELED): (ask_cancel, VERBS[Verb.RECOVER]),
    (P, Verb.RECOVER, State.FAILED): (nothing, crash),
    (P, Verb.TIME_OUT, State.FAILED): (
        nothing,
        settling(lambda case: jobs.timed_out(case.claim, ERROR, None)),
    ),
    (P, Verb.TIME_OUT, State.CANCELED): (ask_cancel, VERBS[Verb.TIME_OUT]),
    (P, Verb.CANCEL, State.CANCELED): (
        ask_cancel,
        settling(lambda case: jobs.canceled(case.claim)),
    ),
}
TABLED = [
    (state, verb, target)
    for (state, verb), targets in TABLE.items()
    for target in targets[1:]
    if target is not None
]


@pytest.mark.parametrize(("state", "verb", "target"), TABLED)
async def test_every_exit_of_the_table_is_taken(
    backend: Backend, state: State | None, verb: Verb, target: State
) -> None:
    case = await case_for(backend, retry=RetryPolicy(max_crashes=0))
    await case.reach(state)
    prepare, act = EXITS[(state, verb, target)]
    await prepare(case)

    await act(case)

    assert await state_of(backend.store, case.id) is target


@pytest.mark.parametrize("state", list(State))
async def test_a_verb_sent_twice_changes_nothing_more(backend: Backend, state: State) -> None:
    for verb in Verb:
        case = await case_for(backend)
        case.worker = await hand(backend.store, f"{state}-{verb}")
        await case.reach(state)
        if (state, verb) not in TABLE or verb is Verb.CLAIM:
            continue
        await case.apply(verb)
        once = (await backend.store.get([case.id]))[0].job
        if verb is Verb.REDRIVE:
            await backend.store.cancel([case.id])  # so that the next case claims its own job
            continue
        await case.apply(verb)
        assert (await backend.store.get([case.id]))[0].job == once
        await backend.store.cancel([case.id])


async def test_the_record_keeps_what_a_verb_does_not_touch(backend: Backend) -> None:
    case = await case_for(backend)
    await case.reach(State.IN_PROGRESS)
    await case.settle(jobs.release(case.claim))
    job = await look(backend.store, case.id)
    assert (job.name, job.priority, job.max_attempts) == ("report", jobs.Priority.HIGH, 4)
    assert job.created_ms == await backend.now()
