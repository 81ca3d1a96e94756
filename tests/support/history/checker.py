"""Proves from histories and the final store that the promises were kept, or names what was not.

Only what must hold whatever is unknown counts as a violation: calls overlap, replies get lost, and
a killed process leaves no line about its last call. Two calls are in order only if one ended
before the other began.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from asyncendpoints_core.jobs.ids import text
from asyncendpoints_core.jobs.records import MAX_ATTEMPTS_KEPT, Job
from asyncendpoints_core.jobs.states import FINAL, State
from support.history.events import Call, History, Run

FINAL_STATES = {state.value for state in FINAL}
ACCEPTED = {"created", "replayed"}
REVISION_OF_ONE_CLAIM = 3
SOON_NS = 500_000_000
# Outcomes that count as an attempt.
CHARGED = {"RETRY", "TIME_OUT", "COMPLETE", "FAIL"}


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """A promise that was broken, by the name of the rule, and the job about which."""

    rule: str
    job: str
    detail: str


@dataclass(frozen=True, slots=True)
class Final:
    """What the store holds in the end: every job's record by its id, and what workers hold."""

    jobs: dict[str, Job]
    held: int = 0
    # Job and revision of each event that a receiver of all webhooks got; None without one.
    delivered: set[tuple[str, int]] | None = None
    # Names of jobs of which no webhook is sent.
    silent: frozenset[str] = frozenset()

    @classmethod
    def of(cls, jobs: Iterable[Job], held: int) -> "Final":
        """Make one of the store's jobs."""
        return cls({text(job.id): job for job in jobs}, held)


Rule = Callable[[History, Final], Iterator[Violation]]
RULES: dict[str, Rule] = {}


def rule(check: Rule) -> Rule:
    """Register a rule under its function's name."""
    RULES[check.__name__.removeprefix("_").replace("_", "-")] = check
    return check


def check(history: History, final: Final) -> list[Violation]:
    """Return every violation of every rule."""
    return sorted(found for each in RULES.values() for found in each(history, final))


def _before(first: Call, then: Call) -> bool:
    return first.ended < then.begun


def _accepted(history: History, job: str) -> list[Call]:
    return [call for call in history.of(job, "enqueue") if call.status in ACCEPTED]


def _finals(history: History, job: str) -> list[Call]:
    """Calls that made the job final by themselves."""
    settled = [
        call
        for call in history.of(job, "settle")
        if call.status == "applied" and call.state in FINAL_STATES
    ]
    canceled = [call for call in history.of(job, "cancel") if call.status == "canceled"]
    return sorted([*settled, *canceled], key=lambda call: call.ended)


def _redrives(history: History, job: str) -> list[Call]:
    """Redrives that queued the job again, or may have."""
    return [call for call in history.of(job, "redrive") if call.status in {"requeued", None}]


@rule
def _lost(history: History, final: Final) -> Iterator[Violation]:
    """P1: every accepted job ends in a final state (or was deleted on request)."""
    for job in history.calls:
        if not _accepted(history, job) or any(
            call.status in {"deleted", None} for call in history.of(job, "delete")
        ):
            continue
        record = final.jobs.get(job)
        if record is None:
            yield Violation("lost", job, "accepted, and not in the store")
        elif not record.final:
            yield Violation("lost", job, f"accepted, and {record.state.value} in the end")


@rule
def _two_jobs_of_one_key(history: History, _: Final) -> Iterator[Violation]:
    """An idempotency key made one job."""
    jobs: dict[str, set[str]] = defaultdict(set)
    for job in history.calls:
        for call in _accepted(history, job):
            if call.fields.get("key"):
                jobs[call.fields["key"]].add(job)
    for key, made in jobs.items():
        if len(made) > 1:
            yield Violation("two-jobs-of-one-key", min(made), f"key {key} made {sorted(made)}")


@rule
def _claim_given_twice(history: History, _: Final) -> Iterator[Violation]:
    """P2: a claim's number belongs to one job and one worker."""
    owners: dict[int, tuple[str, str]] = {}
    for job in history.calls:
        for call in history.of(job, "claim"):
            owner = owners.setdefault(call.claim, (job, call.worker))
            if owner != (job, call.worker):
                yield Violation("claim-given-twice", job, f"claim {call.claim} is {owner}'s too")


@rule
def _settled_twice(history: History, _: Final) -> Iterator[Violation]:
    """P2: one claim is settled once; sent again, its outcome is answered with `already`."""
    for job in history.calls:
        applied: dict[int, int] = defaultdict(int)
        for call in history.of(job, "settle"):
            applied[call.claim] += call.status == "applied"
        for claim, count in applied.items():
            if count > 1:
                yield Violation("settled-twice", job, f"claim {claim} was applied {count} times")


@rule
def _final_twice(history: History, _: Final) -> Iterator[Violation]:
    """P2: a job becomes final once, and once more for each redrive."""
    for job in history.calls:
        ends = _finals(history, job)
        if len(ends) > 1 + len(_redrives(history, job)):
            how = [f"{call.verb} {call.state or call.status}" for call in ends]
            yield Violation("final-twice", job, ", ".join(how))


@rule
def _stale_write(history: History, _: Final) -> Iterator[Violation]:
    """P2: no write of a claim takes effect after another claim was given."""
    for job in history.calls:
        claims = history.of(job, "claim")
        for verb in ("settle", "progress"):
            for call in history.of(job, verb):
                if call.status != "applied":
                    continue
                later = [c for c in claims if c.claim > call.claim and _before(c, call)]
                if later:
                    detail = f"{verb} of claim {call.claim} after claim {later[0].claim}"
                    yield Violation("stale-write", job, detail)


@rule
def _refused(history: History, _: Final) -> Iterator[Violation]:
    """P2: the outcome of the last claim counts, unless something else ended that claim.

    Only soon after the claim: later, a lease or a timeout may have ended it, and who noticed may
    have been killed before that was recorded.
    """
    lost = history.released | history.reconciled
    for job, calls in history.calls.items():
        given = {call.claim: call for call in calls.get("claim", ())}
        for call in calls.get("settle", ()):
            claim = given.get(call.claim)
            if call.status != "stale" or claim is None or call.worker in lost:
                continue
            others = (
                each
                for verb in ("claim", "settle", "cancel", "delete", "recover")
                for each in calls.get(verb, ())
                if not (verb == "claim" and each.claim <= call.claim)
                and not (verb == "settle" and (each.claim != call.claim or each.status == "stale"))
            )
            ended = any(not _before(each, claim) and not _before(call, each) for each in others)
            if not ended and call.ended - claim.ended < SOON_NS:
                yield Violation("refused", job, f"the outcome of claim {call.claim}, the last one")


@rule
def _foreign_write(history: History, _: Final) -> Iterator[Violation]:
    """P2: only the worker that was given a claim can use it."""
    for job in history.calls:
        owners = {call.claim: call.worker for call in history.of(job, "claim")}
        for verb in ("settle", "progress"):
            for call in history.of(job, verb):
                owner = owners.get(call.claim, call.worker)
                if call.status == "applied" and owner != call.worker:
                    yield Violation("foreign-write", job, f"{call.worker} used {owner}'s claim")


@rule
def _write_after_end(history: History, _: Final) -> Iterator[Violation]:
    """P2: nothing changes a job after it became final, unless a redrive came between."""
    for job in history.calls:
        redrives = _redrives(history, job)
        for end in _finals(history, job):
            for verb in ("settle", "progress"):
                for call in history.of(job, verb):
                    between = any(not _before(r, end) and not _before(call, r) for r in redrives)
                    if call.status == "applied" and _before(end, call) and not between:
                        yield Violation("write-after-end", job, f"{verb} of claim {call.claim}")


@rule
def _run_after_end(history: History, _: Final) -> Iterator[Violation]:
    """No run begins under a claim that was given after the job had become final."""
    for job in history.calls:
        redrives = _redrives(history, job)
        for end in _finals(history, job):
            for claim in history.of(job, "claim"):
                between = any(not _before(r, end) and not _before(claim, r) for r in redrives)
                if _before(end, claim) and not between:
                    yield Violation("run-after-end", job, f"claim {claim.claim} was given")


@rule
def _run_without_claim(history: History, final: Final) -> Iterator[Violation]:
    """A handler runs once under one claim, of a number that the store gave."""
    for job, runs in history.runs.items():
        numbers = [run.claim for run in runs]
        if len(set(numbers)) < len(numbers):
            yield Violation("run-without-claim", job, f"claims run twice: {numbers}")
        record = final.jobs.get(job)
        if record is not None and numbers and max(numbers) > record.claim:
            detail = f"ran under {max(numbers)}, the store's last is {record.claim}"
            yield Violation("run-without-claim", job, detail)


@rule
def _overlap(history: History, _: Final) -> Iterator[Violation]:
    """Two runs of a job overlap only past a lost lease, and then the earlier one wrote nothing."""
    for job, runs in history.runs.items():
        for first, second in pairwise(sorted(runs, key=lambda run: run.claim)):
            if not _overlaps(first, second):
                continue
            settled = history.of(job, "settle")
            wrote = [c for c in settled if c.claim == first.claim and c.status == "applied"]
            # A release by recovery is applied under the claim too; the run's own outcome is not.
            if any(call.kind not in {"RELEASE", "TIME_OUT"} for call in wrote):
                yield Violation(
                    "overlap", job, f"runs {first.claim} and {second.claim}: both wrote"
                )
            elif not wrote and not _was_lost(history, job, first):
                yield Violation("overlap", job, f"runs {first.claim} and {second.claim}")


def _overlaps(first: Run, second: Run) -> bool:
    return first.ended is not None and second.begun < first.ended


def _was_lost(history: History, job: str, run: Run) -> bool:
    """Whether somebody released the worker of that run, or it gave up what it did not know of."""
    workers = {call.worker for call in history.of(job, "claim") if call.claim == run.claim}
    lost = history.released | history.reconciled
    return not workers or not workers.isdisjoint(lost)


@rule
def _order(history: History, final: Final) -> Iterator[Violation]:
    """Jobs of one priority, key and name are first claimed in the order in which they were accepted
    (where limits hold; without limits and keys, jobs of any name are).

    Compared are jobs that were created, claimed and settled, with no other change (a claim whose
    reply was lost is one) and no delay. Claim numbers grow.
    """
    lines: dict[tuple[int, str, str], list[tuple[Call, int, str]]] = defaultdict(list)
    for job, record in final.jobs.items():
        claims = {call.claim for call in history.of(job, "claim")}
        once = record.revision == REVISION_OF_ONE_CLAIM
        # A call whose reply was lost may be the one that created it.
        created = [c for c in history.of(job, "enqueue") if c.status in {"created", None}]
        if len(claims) == 1 and once and len(created) == 1 and not created[0].fields["delay_ms"]:
            line = lines[created[0].fields["priority"], record.attributes.key, record.name]
            line.append((created[0], claims.pop(), job))
    for line in lines.values():
        yield from _out_of_order(line)


def _out_of_order(line: list[tuple[Call, int, str]]) -> Iterator[Violation]:
    """Yield a violation for each job claimed before one that was accepted before its submission."""
    by_end = sorted(line, key=lambda each: each[0].ended)
    at, highest, by = 0, 0, ""
    for call, claim, job in sorted(line, key=lambda each: each[0].begun):
        while at < len(by_end) and by_end[at][0].ended < call.begun:
            if by_end[at][1] > highest:
                highest, by = by_end[at][1], by_end[at][2]
            at += 1
        if claim < highest:
            yield Violation("order", job, f"claimed before {by}, which was accepted before it")


@rule
def _counts(history: History, final: Final) -> Iterator[Violation]:
    """Attempts, crashes and releases of the record add up with the history."""
    for job, record in final.jobs.items():
        if history.of(job, "redrive") or job not in history.calls:
            continue
        settled = {c.claim: c.kind for c in history.of(job, "settle") if c.status == "applied"}
        charged = sum(
            kind in {"RETRY", "TIME_OUT", "COMPLETE", "FAIL"} for kind in settled.values()
        )
        if charged > record.attempt:
            detail = f"{charged} outcomes of runs were applied, the record has {record.attempt}"
            yield Violation("counts", job, detail)
        if record.attempt > record.max_attempts:
            yield Violation("counts", job, f"{record.attempt} of {record.max_attempts} attempts")
        # A run that ended before its process died, but was not settled, leaves no trace.
        runs = [r for r in history.runs.get(job, ()) if r.ended is None or r.claim in settled]
        kept = len(record.attempts)
        if record.final and kept < MAX_ATTEMPTS_KEPT and len(runs) > kept:
            yield Violation("counts", job, f"{len(runs)} runs, the record has {kept}")


@rule
def _children(history: History, final: Final) -> Iterator[Violation]:
    """The jobs that an attempt enqueued exist if and only if it completed."""
    present: dict[str, set[str]] = defaultdict(set)
    for job, record in final.jobs.items():
        if record.attributes.parent is not None:
            present[text(record.attributes.parent)].add(job)
    for parent, jobs in present.items():
        of = final.jobs.get(parent)
        if of is not None and of.state is not State.COMPLETED:
            detail = f"enqueued {len(jobs)} jobs, and is {of.state.value}"
            yield Violation("children", parent, detail)
    for parent in history.calls:
        for call in history.of(parent, "settle"):
            made = {*call.fields.get("children", ())}
            completed = call.status == "applied" and call.state == State.COMPLETED
            if completed and made != present[parent]:
                detail = f"enqueued {len(made)} jobs, the store has {len(present[parent])}"
                yield Violation("children", parent, detail)


@rule
def _fired_twice(_: History, final: Final) -> Iterator[Violation]:
    """A schedule makes at most one job for a time."""
    seen: dict[tuple[str, int], str] = {}
    for job, record in final.jobs.items():
        if record.attributes.schedule:
            time = record.attributes.schedule, record.attributes.scheduled_ms
            first = seen.setdefault(time, job)
            if first != job:
                yield Violation("fired-twice", job, f"{time} made {first} too")


@rule
def _webhooks(_: History, final: Final) -> Iterator[Violation]:
    """The end of every job was delivered."""
    if final.delivered is None:
        return
    for job, record in final.jobs.items():
        event = job, record.revision
        expected = record.final and record.name not in final.silent
        if expected and event not in final.delivered:
            yield Violation("webhooks", job, f"the end in revision {record.revision} is missing")


@rule
def _held(_: History, final: Final) -> Iterator[Violation]:
    """No claim is held in the end."""
    if final.held:
        yield Violation("held", "", f"{final.held} claims are still held")
