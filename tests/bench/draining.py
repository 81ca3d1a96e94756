"""Figures of drains: how fast queued jobs run, beside others and with what slows them down."""

import sys

from bench.figure import Figure, script


def typical(quick: bool) -> list[Figure]:
    """The headline: the typical job, submitted over HTTP, beside dramatiq and BullMQ."""
    size = ("--jobs", "5000", "--rounds", "1") if quick else ("--jobs", "20000", "--rounds", "5")
    return [
        *_typical("default settings", script("bench_typical.py", *size)),
        *_typical("concurrency 100", script("bench_typical.py", *size, "--concurrency", "100")),
    ]


def _typical(settings: str, found: dict[str, float]) -> list[Figure]:
    figures = [Figure(f"typical job, {settings}", found["ours"], "jobs/s")]
    sides = {
        "theirs": ("dramatiq with results", 25),
        "bullmq": ("BullMQ, concurrency 100", 3),
        "bullmq default": ("BullMQ, default settings", None),
    }
    for side, (name, target) in sides.items():
        if side not in found:
            sys.stderr.write(f"{name} is left out: it is not installed\n")
            continue
        low, high = found[f"{side} ratio min"], found[f"{side} ratio max"]
        figures += [
            Figure(f"… {name}", found[side], "jobs/s"),
            Figure(f"… beside {name}", found[f"{side} ratio"], "×", target),
            Figure("  spread of the rounds, (highest - lowest) / lowest", high / low - 1),
            Figure(f"… beside {name}, processor time", found[f"{side} cpu ratio"], "×"),
        ]
    return figures


def drain(quick: bool) -> list[Figure]:
    """20,000 no-op jobs, beside dramatiq with results and BullMQ."""
    size = ("--jobs", "5000", "--rounds", "1") if quick else ("--jobs", "20000", "--rounds", "3")
    found = script("bench_drain.py", *size, "--json")
    figures = [
        Figure("drain, one child process", found["ours"], "jobs/s"),
        Figure("drain, dramatiq with results", found["theirs"], "jobs/s"),
        Figure("drain beside dramatiq", found["ratio"], "×", 25),
        Figure("drain beside dramatiq, processor time", found["cpu ratio"], "×"),
    ]
    if "bullmq" not in found:
        sys.stderr.write("BullMQ is left out: node and npm, and what npm fetches, are not here\n")
        return figures
    return [
        *figures,
        Figure("drain, BullMQ", found["bullmq"], "jobs/s"),
        Figure("drain beside BullMQ", found["bullmq ratio"], "×", 5),
        Figure(
            "drain beside BullMQ, processor time of the busiest", found["bullmq cpu ratio"], "×"
        ),
    ]


def peers(quick: bool) -> list[Figure]:
    """The typical job, `concurrency: 100`, beside dramatiq, taskiq, huey, SAQ and BullMQ."""
    size = ("--jobs", "1000", "--rounds", "1") if quick else ("--jobs", "10000", "--rounds", "3")
    found = script("bench_peers.py", *size)
    sides = {key.removesuffix(" ratio"): value for key, value in found.items() if "ratio" in key}
    return [
        figure
        for name, ratio in sides.items()
        for figure in (
            Figure(f"typical job, {name}", found[name], "jobs/s"),
            *([] if name == "ours" else [Figure(f"… ours beside {name}", ratio, "×")]),
            Figure(f"… Redis bytes a queued job, {name}", found[f"{name} bytes"], "B"),
        )
    ]


def work(quick: bool) -> list[Figure]:
    """Larger bodies, more processes and handlers that wait, beside the typical job."""
    size = ("--jobs", "2000", "--rounds", "1") if quick else ("--jobs", "20000", "--rounds", "3")
    found = script("bench_work.py", *size)
    names = [name for name in found if not name.endswith(": ratio")]
    return [
        figure
        for name in names
        for figure in (
            Figure(name, found[name], "jobs/s"),
            Figure("… beside the typical job", found[f"{name}: ratio"], "×"),
        )
    ]


def webhooks(quick: bool) -> list[Figure]:
    """Drain and latency while 1,000 receivers fail, beside the same without deliveries."""
    size = ("--jobs", "5000", "--rounds", "1") if quick else ("--jobs", "20000", "--rounds", "3")
    found = script("bench_webhooks.py", *size, "--json")
    return [
        Figure("drain, 1,000 receivers fail", found["drain with"], "jobs/s"),
        Figure("drain beside no deliveries", found["drain ratio"], "×", 0.9),
        Figure("latency, 1,000 receivers fail, p50", found["ms with"], "ms"),
        Figure("latency beside no deliveries, p50", found["latency ratio"], "×", 1.2,
               at_least=False),
    ]  # fmt: skip


def actions(quick: bool) -> list[Figure]:
    """Actions on 100,000 jobs while 5,000 a second are submitted and drained."""
    found = script("bench_actions.py", "--jobs", "5000" if quick else "100000", "--json")
    if found["wrong"]:
        raise RuntimeError(f"jobs were missed or taken twice: {found['wrong']}")
    kinds = ("retry", "cancel", "purge")
    return [
        *(Figure(f"{kind} of many jobs, all of it", found[f"{kind} s"], "s") for kind in kinds),
        Figure("jobs drained during the retry", found["drained per s"], "jobs/s"),
        *(
            Figure(f"{kind}, the longest step of {found[f'{kind} steps']:,}, processor time",
                   found[f"{kind} step ms, most"], "ms", 5, at_least=False)
            for kind in kinds
        ),
    ]  # fmt: skip


def keys(quick: bool) -> list[Figure]:
    """The typical job with 1, 100 and 10,000 keys, beside the same without keys."""
    size = ("--jobs", "5000", "--rounds", "1") if quick else ("--jobs", "10000", "--rounds", "9")
    found = script("bench_keys.py", *size, "--json")
    cases = ("1", "100", "10000", "1 limited", "10000 limited")
    return [
        figure
        for case in cases
        for figure in (
            Figure(f"drain beside no keys, keys: {case}", found[f"{case}: ratio"], "×", 0.75),
            Figure("… lower quartile", found[f"{case}: lower quartile"], "×"),
            Figure("… upper quartile", found[f"{case}: upper quartile"], "×"),
            Figure("… by processor time", found[f"{case}: by processor time"], "×"),
        )
    ]
