"""`make chaos MINUTES=5 SEED=1`: load and faults on a real cluster, and the proof afterwards.

Prints each fault as it is injected, and in the end what was found; exits with 1 if a promise was
broken. The same seed injects the same faults in the same order. More in docs/reliability.md.
"""

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from faults.cluster_faults import FAULTS
from faults.cluster_system import ClusterSystem
from faults.load import Load
from faults.schedule import steps
from faults.soak import SETTLE_SECONDS, Report
from support.history.checker import Final, Violation, check
from support.history.events import Call, History, read
from support.kube import install
from support.kube.installed import Installed
from support.kube.provider import progress, session
from support.kube.provider.__main__ import PROVIDER_VARIABLE
from support.kube.provider.client import Cluster
from support.kube.provider.shell import ClusterError


async def chaos(
    system: ClusterSystem,
    seconds: float,
    seed: int,
    *,
    per_second: float = 8,
    names: tuple[str, ...] = (),
) -> Report:
    """Run load and faults for `seconds`, then wait for the end of every job and check."""
    report = Report()
    load = Load(system.urls, seed, per_second)
    submitting = asyncio.create_task(load.run())
    begun = time.monotonic()
    for step in steps(seed, names or tuple(FAULTS)):
        if time.monotonic() >= begun + seconds:
            break
        sys.stderr.write(f"{time.monotonic() - begun:6.1f} s: {step.number} {step.fault}\n")
        try:
            await asyncio.to_thread(FAULTS[step.fault], system, step.chance())
        except ClusterError as error:  # an earlier fault is not over yet
            sys.stderr.write(f"{step.number} {step.fault}: {str(error).splitlines()[0]}\n")
        else:
            report.injected.append(step)
        await asyncio.sleep(4 * step.pause)
    load.stop()
    await asyncio.wait_for(submitting, SETTLE_SECONDS)
    await asyncio.to_thread(system.whole)
    final, workers = await system.final(SETTLE_SECONDS)
    history = read(*await asyncio.to_thread(system.records))
    _complete(history, load.calls, workers)
    report.accepted, report.answers = len(load.accepted), load.answers
    report.states.update(job.state.value for job in final.jobs.values())
    report.runs = sum(map(len, history.runs.values()))
    report.violations = [*check(history, final), *completed_without_run(history, final)]
    missing = set(load.accepted.values()) - set(final.jobs)
    report.violations += [Violation("lost", job, "answered 202, not stored") for job in missing]
    return report


def _complete(history: History, calls: list[Call], workers: set[str]) -> None:
    """Add what clients know. Any worker that is not registered any more may have been released by
    the operator, whose calls are not recorded.
    """
    for call in calls:
        history.calls[call.job][call.verb].append(call)
    seen = {call.worker for verbs in history.calls.values() for call in verbs.get("claim", ())}
    history.released |= seen - workers


def completed_without_run(history: History, final: Final) -> Iterator[Violation]:
    """A job is completed by a run of its handler that ended, under its last claim."""
    for job, record in final.jobs.items():
        ended = {run.claim for run in history.runs.get(job, ()) if run.ended is not None}
        if record.state.value == "Completed" and record.claim not in ended:
            yield Violation("completed-without-run", job, f"claim {record.claim}, ended {ended}")


def installed() -> Installed:
    """Install the project on the cluster that is there, or on one that is started."""
    provider = session.choose(os.environ.get(PROVIDER_VARIABLE, "auto"))
    session.up(provider)
    cluster = Cluster(provider)
    images, redis = install.project_images(cluster), cluster.redis_image()
    install.install_chart(cluster, install.chart_values(images, redis))
    return Installed(cluster, images, images["worker"], redis)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=8, help="submissions per second")
    parser.add_argument("--faults", nargs="*", choices=sorted(FAULTS), default=[])
    parser.add_argument("--keep", type=Path, help="folder for the histories")
    options = parser.parse_args()
    progress.to_stream(sys.stderr)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    here = installed()
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as scratch,
        here.cluster.namespace("chaos") as namespace,
        ClusterSystem(here, namespace, options.keep or Path(scratch)) as system,
    ):
        report = asyncio.run(
            chaos(
                system,
                options.minutes * 60,
                options.seed,
                per_second=options.rate,
                names=tuple(options.faults),
            )
        )
    sys.stdout.write(f"{report}\n")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
