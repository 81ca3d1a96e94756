"""What the commands under `jobs` and `queue` show, with an endpoint and the options given."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_cli.remote import failed
from asyncendpoints_cli.remote.client import endpoint_of
from asyncendpoints_cli.remote.output import (
    Column,
    console,
    details,
    in_order,
    show,
    table,
    write,
)
from asyncendpoints_cli.remote.text import age, escaped, progress, ran, reason, waits
from asyncendpoints_console.pages import sorting
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.states import FINAL

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from asyncendpoints_cli.remote.client import Client, Endpoint

SEARCHED: Final = 10_000
"""How many of the newest jobs of each state are searched for the end of an id."""
REFRESH_SECONDS: Final = 1.0
FILTERS: Final = ("state", "job", "tag", "key", "error", "schedule", "since", "until")


def _jobs_in(state: str, item: Mapping[str, Any]) -> object:
    return item.get("jobs", {}).get(state)


JOBS: Final = (
    Column("ID", lambda job: job["id"][-ids.SHORT :]),
    Column("JOB", lambda job: job["name"], flexible=True),
    Column("STATE", lambda job: job["state"]),
    Column("AGE", lambda job: age(job["createdAt"]), right=True, spare=1),
    Column("RAN", ran, right=True, spare=2),
    Column("ATTEMPT", lambda job: f"{job['attempt']}/{job['maxAttempts']}", right=True, spare=3),
    Column("FULL ID", lambda job: job["id"], wide=True),
    Column("PRIORITY", lambda job: job["priority"], wide=True),
    Column("WORKER", lambda job: job["worker"], wide=True, flexible=True),
    Column("TAGS", lambda job: ",".join(job["tags"]), wide=True, flexible=True),
    Column("KEY", lambda job: job["key"], wide=True, flexible=True),
    Column("DETAIL", lambda job: _detail(job), flexible=True),
)
ENDPOINTS: Final = (
    Column("ENDPOINT", lambda item: f"{item['namespace']}/{item['name']}", flexible=True),
    Column("QUEUED", partial(_jobs_in, "Queued"), right=True),
    Column("SCHED", partial(_jobs_in, "Scheduled"), right=True, spare=4),
    Column("RUNNING", partial(_jobs_in, "InProgress"), right=True),
    Column("DONE", partial(_jobs_in, "Completed"), right=True, spare=3),
    Column("FAILED", partial(_jobs_in, "Failed"), right=True),
    Column("CANCELED", partial(_jobs_in, "Canceled"), wide=True, right=True),
    Column("OLDEST", lambda item: age(item.get("oldestQueuedAt")), right=True, spare=1),
    Column("WORKERS", lambda item: item.get("workers"), wide=True, right=True),
    Column(
        *("SLOTS", lambda item: f"{item['used']}/{item['slots']}" if "slots" in item else ""),
        spare=2,
    ),
    Column("STARTS/S", lambda item: _rate(item.get("startsPerSecond")), wide=True, right=True),
    Column("ENDS/S", lambda item: _rate(item.get("finishesPerSecond")), wide=True, right=True),
    Column("STATUS", lambda item: _status(item), flexible=True),
)
WORKERS: Final = (
    Column("WORKER", lambda item: item["id"], flexible=True),
    Column("SLOTS", lambda item: f"{item['held']}/{item['slots']}", right=True),
    Column("HEARTBEAT", lambda item: age(item["lastHeartbeatAt"]), right=True, spare=1),
    Column("STATUS", lambda item: _worker_status(item)),
    Column(
        *("RUNS", lambda item: ", ".join(_running(job) for job in item["running"])),
        flexible=True,
    ),
    Column("HOST", lambda item: item["host"] or "", wide=True),
    Column("POD", lambda item: item["pod"], wide=True),
    Column("VERSION", lambda item: item["version"], wide=True),
    Column("LAST CRASH", lambda item: item["lastCrash"], wide=True, flexible=True),
)
FAILURES: Final = (
    Column("COUNT", lambda item: item["count"], right=True),
    Column("JOB", lambda item: item["job"], flexible=True),
    Column("ERROR", lambda item: item["error"], flexible=True),
    Column("NEWEST", lambda item: age(item["newest"]["completedAt"]), right=True, spare=1),
    Column("ID", lambda item: item["newest"]["id"][-ids.SHORT :]),
    Column("MESSAGE", lambda item: item["newest"]["message"], flexible=True),
)


def _detail(job: Mapping[str, Any]) -> str:
    parts = waits(job), reason(job) or progress(job)
    return "; ".join(part for part in parts if part)


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


ALL_JOBS: Final = "*"
"""Among what is paused: the whole endpoint."""


def _status(item: Mapping[str, Any]) -> str:
    if not item.get("reachable", True):
        return str(item.get("message", "unreachable"))
    warnings = [each["reason"] for each in item.get("warnings", ())]
    stopped = "suspended" if item["suspended"] else "paused" if ALL_JOBS in item["paused"] else ""
    if stopped:
        return "; ".join([stopped, *warnings])
    jobs = [escaped(job) for job in item["paused"] if job != ALL_JOBS]
    held = item.get("heldBack", 0)
    texts = f"paused: {', '.join(jobs)}" if jobs else "", f"{held} held back" if held else ""
    return "; ".join(text for text in (*warnings, *texts) if text)


def _worker_status(item: Mapping[str, Any]) -> str:
    words = ("draining", "cordoned")
    return "lost" if not item["live"] else next((word for word in words if item[word]), "ready")


def _running(job: Mapping[str, Any]) -> str:
    return f"{job['name']} {job['id'][-ids.SHORT :]} {job['elapsedSeconds']:.0f}s"


def list_jobs(endpoint: Endpoint, options: Namespace) -> None:
    """`jobs list`."""
    limit = options.limit
    # One more than is shown, so that it is known whether there are more than are sorted.
    jobs = list(endpoint.jobs(filters(options), limit + (options.sort is not None)))
    found = in_order(jobs[: max(0, limit)], sorting.JOBS, options)
    show(found, JOBS, options.output, "id", "no jobs")
    if len(jobs) > max(0, limit):
        sys.stderr.write(f"only the newest {limit} jobs are sorted; --limit N sorts more\n")


def get(endpoint: Endpoint, options: Namespace) -> None:
    """`jobs get`."""
    found = [endpoint.get(f"/jobs/{job_id}") for job_id in whole_ids(endpoint, options.ids)]
    if options.output in ("json", "yaml"):
        write(found[0] if len(found) == 1 else found, options.output)
    elif options.output == "name":
        show(found, JOBS, "name", "id", "")
    else:
        for job in found:
            console().print(_details(job))


def _details(job: Mapping[str, Any]) -> RenderableType:
    request = job["request"] or {}
    rows = {
        "id": job["id"],
        "job": job["name"],
        "state": job["state"],
        "attempt": f"{job['attempt']} of {job['maxAttempts']}",
        "created": f"{job['createdAt']} ({age(job['createdAt'])} ago)",
        "not before": job["notBefore"] if job["state"] == "Scheduled" else None,
        "started": job["startedAt"],
        "completed": job["completedAt"],
        "ran": ran(job),
        "waits": waits(job),
        "worker": job["worker"],
        "progress": progress(job),
        "error": reason(job),
        "priority": job["priority"],
        "tags": ", ".join(job["tags"]),
        "key": job["key"],
        "schedule": job["schedule"],
        "parent": job["parent"],
        "traceparent": job.get("traceparent"),
        "request": f"{request.get('method', '')} {request.get('path', '')}".strip(),
        "body": f"{request['bytes']} bytes {request['contentType']}" if request else None,
        "result": None if job["resultBytes"] is None else f"{job['resultBytes']} bytes",
        **{
            f"attempt {each['number']}": f"{each['outcome']} at {each['endedAt']} {reason(each)}"
            for each in job["attempts"]
        },
    }
    return details((name, value) for name, value in rows.items() if value not in (None, ""))


def result(endpoint: Endpoint, options: Namespace) -> None:
    """`jobs result`: its bytes, to a file or to standard output."""
    [job_id] = whole_ids(endpoint, [options.id])
    media_type, body = endpoint.download(f"/jobs/{job_id}/result")
    if options.file is not None:
        Path(options.file).write_bytes(body)
        return
    if sys.stdout.isatty():
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise UsageError(
                f"the result is {len(body)} bytes of {media_type or 'binary data'}: "
                "write it to a file with --file FILE, or pipe it"
            ) from None
        lines = (escaped(line) for line in text.split("\n"))
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.flush()


def watch(endpoint: Endpoint, options: Namespace) -> None:
    """`jobs watch`: jobs until all given ones are final, or a list until Ctrl-C."""
    wanted = whole_ids(endpoint, options.ids)

    def found() -> list[dict[str, Any]]:
        if wanted:
            return [endpoint.get(f"/jobs/{job_id}") for job_id in wanted]
        return list(endpoint.jobs(filters(options), options.limit))

    if sys.stdout.isatty() and options.output in ("table", "wide"):
        _watch_live(found, wide=options.output == "wide", until_final=bool(wanted))
    else:
        _watch_lines(found, options.output, until_final=bool(wanted))


def _watch_live(found: Any, *, wide: bool, until_final: bool) -> None:
    from rich.live import Live

    jobs = found()
    with Live(table(jobs, JOBS, wide=wide), console=console(), auto_refresh=False) as live:
        while not (until_final and all(job["state"] in FINAL for job in jobs)):
            time.sleep(REFRESH_SECONDS)
            jobs = found()
            live.update(table(jobs, JOBS, wide=wide), refresh=True)


def _watch_lines(found: Any, form: str, *, until_final: bool) -> None:
    seen: dict[str, tuple[object, ...]] = {}
    while True:
        jobs = found()
        for job in reversed(jobs):
            now = job["state"], job["attempt"], progress(job)
            if seen.get(job["id"]) != now:
                _write_change(job, form)
        sys.stdout.flush()
        seen = {job["id"]: (job["state"], job["attempt"], progress(job)) for job in jobs}
        if until_final and all(job["state"] in FINAL for job in jobs):
            return
        time.sleep(REFRESH_SECONDS)


def _write_change(job: Mapping[str, Any], form: str) -> None:
    """Write a job that has changed: a line, or with `yaml` a document."""
    match form:
        case "json":
            sys.stdout.write(json.dumps(job) + "\n")
        case "yaml":
            sys.stdout.write("---\n")
            write(job, form)
        case "name":
            sys.stdout.write(f"{job['id']}\n")
        case _:
            detail = reason(job) or progress(job)
            line = f"{job['id']} {escaped(job['name'])} {job['state']} {detail}".rstrip()
            sys.stdout.write(line + "\n")


def show_queue(client: Client, options: Namespace) -> None:
    """`queue show`: the figures of one endpoint, or of all."""
    items = client.get("/endpoints")["items"]
    if options.endpoint is not None:
        key = endpoint_of(client, options.endpoint).key
        items = [item for item in items if f"{item['namespace']}/{item['name']}" == key]
    show_endpoints(in_order(items, sorting.OVERVIEW, options), options.output)


def show_endpoints(items: Sequence[dict[str, Any]], form: str) -> None:
    """Print endpoints as the API shows them."""
    named = [{**item, "key": f"{item['namespace']}/{item['name']}"} for item in items]
    show(items if form in ("json", "yaml") else named, ENDPOINTS, form, "key", "no endpoints")
    if form in ("table", "wide"):
        for item in named:
            for warning in item.get("warnings", ()):
                sys.stderr.write(f"{item['key']}: {escaped(warning['message'])}\n")


def show_workers(endpoint: Endpoint, options: Namespace) -> None:
    """`queue workers`."""
    found = in_order(endpoint.get("/workers")["items"], sorting.WORKERS, options)
    show(found, WORKERS, options.output, "id", "no workers")


def show_failures(endpoint: Endpoint, options: Namespace) -> None:
    """`queue failures`: final failures by job and error, the most frequent first."""
    found = failed.read(endpoint)
    items = in_order(found["items"], sorting.FAILURES, options)
    if options.output in ("json", "yaml"):
        write(items, options.output)
    elif options.output == "name":
        codes = dict.fromkeys(item["error"] for item in items)
        show([{"error": code} for code in codes], FAILURES, "name", "error", "no failures")
    else:
        rows = in_order(failed.causes(found["items"]), sorting.FAILURES, options)
        show(rows, FAILURES, options.output, "error", "no failures")
    if not found["complete"]:
        of = f" of {found['total']}" if "total" in found else ""
        sys.stderr.write(f"only the newest {found['examined']}{of} failures are counted\n")


def filters(options: Namespace) -> dict[str, str | Sequence[str] | None]:
    """Return the filters that were given, by their names in the API."""
    return {name: getattr(options, name) for name in FILTERS}


def whole_ids(endpoint: Endpoint, given: Sequence[str]) -> list[str]:
    """Return whole ids for whole ids and for their ends, which tables and `run` show."""
    short = [each for each in given if ids.parse(each) is None]
    for each in short:
        if len(each) < 4 or not all(c in "0123456789abcdef" for c in each):
            raise UsageError(f"{escaped(each)} is neither a job id nor the end of one")
    matches: dict[str, set[str]] = {each: set() for each in short}
    if short:
        for job in endpoint.jobs({}, SEARCHED):
            for each in short:
                if job["id"].endswith(each):
                    matches[each].add(job["id"])
    for each, found in matches.items():
        if len(found) != 1:
            what = f"{len(found)} job ids end" if found else "no job id ends"
            raise UsageError(f"{what} in {each}; give the whole id")
    return [each if ids.parse(each) is not None else matches[each].pop() for each in given]
