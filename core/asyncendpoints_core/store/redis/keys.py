"""The Redis keys of one endpoint. All carry one hash tag, so they live in one cluster slot.

docs/redis.md shows what each holds; scripts name them in their header, and nothing else makes keys.
"""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    "meta",  # hash: schema, tick, counters, policy, pause; see docs/redis.md
    "jobs",  # hash: id -> the part of a job that never changes
    "runs",  # hash: id -> the part that does, from its first claim on
    "blobs",  # hash: id -> request body over INLINE_BODY bytes
    "results",  # hash: id -> result
    "ready:high",  # zset: id by sequence number
    "ready:normal",
    "ready:low",
    "suspects",  # zset: id by the time it may run alone
    "delayed",  # zset: id by due time
    "held",  # zset, all scores 0: worker NUL claim number id
    "finished:completed",  # zset: id by finish time
    "finished:failed",
    "finished:canceled",
    "expiries",  # zset: id by its own expiry, in running time (pauses left out)
    "workers",  # zset: worker by end of lease
    "winfo",  # hash: worker -> WorkerInfo
    "marks",  # hash: d|c + worker -> draining, cordons (by whom, until when)
    "lastclaim",  # hash: worker -> request number, first claim number, ids
    "left",  # zset: deregistered worker by the time of it
    "idle",  # zset: waiting worker by end of its wait
    "bell",  # list: wake-ups not yet taken
    "idem",  # hash: idempotency key -> id, end of its time, fingerprint
    "idemexp",  # zset: idempotency key by the end of its time
    "locks",  # hash: name of a lock -> the unique job that holds it
    "cancels",  # hash: id of a running job whose cancel was requested -> worker
    "counts",  # hash: state digit + name -> jobs
    "totals",  # hash: counter -> value
    "gone",  # zset: removed id by when
    "corrupt",  # hash: id -> bytes of a record that could not be read
    "schedules",  # hash: schedule -> its definition's hash, its times, its counters
    "fired",  # zset, all scores 0: schedule NUL (or 1) id of jobs that may be unfinished
    "outbox",  # zset: id and revision of a finished job by when, until its deliveries are made
    "outbox:heads",  # hash: the same -> the job as it then was
    "outbox:receivers",  # hash: the same -> URLs clients named, once the job left that end
    "deliveries",  # hash: delivery -> what is sent to whom, tries so far
    "deliveries:due",  # zset, all scores 0: receiver, due time, delivery
    "deliveries:dead",  # zset: delivery by when it was given up
    "deliveries:untried",  # hash: id and revision -> deliveries that were not tried yet
    "receivers",  # zset: receiver by when to look at its deliveries
    "receivers:state",  # hash: receiver -> failures in a row, last status, webhook
    "receivers:pending",  # zset: receiver by how many deliveries wait for it
    "pauses",  # hash: n + name of a job -> its pauses; 0, 1, 2 -> how far claims pass over a line
    "actions",  # hash: of each action on many jobs its fields, by its id and their names
    "gate:keyed",  # zset, all scores 0: flow, sequence number, id of ready jobs that are in no line
    "gate:flows",  # hash: id -> flow and sequence number of each ready job
    "gate:waiting",  # zset, all scores 0: key NUL id of waiting jobs, where a limit counts them
    "gate:order",  # zset: the same ids by sequence number
    "gate:states",  # hash: flow -> = and the id of its job in a line, else where it is parked
    "gate:parked",  # zset, all scores 0: resource NUL tag, flow that its limit holds back
    "gate:times",  # zset: resource by when to look at what it holds back
    "gate:places",  # hash: id of a running job -> key NUL name
    "gate:usage",  # zset, all scores 0: resource NUL id of each running job
    "gate:buckets",  # hash: resource -> tokens, when
    "gate:limits",  # hash: resource -> its limit
    "gate:tags",  # hash: priority digit + key -> where its next job stands; v + digit -> last start
    "gate:cursors",  # hash: where the next look for what to forget or to repair begins
    "logs",  # hash: id -> the logs of its attempts
    "logs:times",  # zset: the same ids by the last write
    "figures:10",  # string: a ring of 360 entries, each the figures of 10 s
    "figures:600",  # string: a ring of 1,008 entries, each the figures of 600 s
    "figures:steps",  # zset: the newest scaling steps by their times
    "figures:scaling",  # string: the last scaling decision
    "watch",  # string with a lease: there are watchers
)
GROUPS: Final = {
    "WEBHOOKS": (
        *("outbox", "outbox:heads", "outbox:receivers"),
        *("deliveries", "deliveries:due", "deliveries:dead", "deliveries:untried"),
        *("receivers", "receivers:state", "receivers:pending"),
    ),
    "GATE": (
        *("gate:keyed", "gate:flows", "gate:states", "gate:parked", "gate:times", "gate:places"),
        *("gate:usage", "gate:buckets", "gate:limits", "gate:tags", "gate:order", "gate:waiting"),
        "pauses",
    ),
}
"""Keys that headers of scripts declare by one word."""


def prefix(namespace_name: str) -> str:
    """Return what every key of the endpoint `namespace/name` begins with."""
    if not namespace_name or set("{}*?[]\\ \r\n") & set(namespace_name):
        raise ValueError(f"not the name of an endpoint: {namespace_name!r}")
    return f"aep:{{{namespace_name}}}:"


def channel(namespace_name: str) -> str:
    """Return the channel on which changes of jobs are published."""
    return prefix(namespace_name) + "events"
