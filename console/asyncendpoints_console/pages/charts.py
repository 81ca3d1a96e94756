"""The geometry of the small charts: how many jobs waited, and when the attempts of a job ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.common.time_source import parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncendpoints_console.reading.rates import Sample

WIDTH: Final = 480
HEIGHT: Final = 96
_TOP: Final = 16


def waiting(samples: Sequence[Sample]) -> dict[str, Any] | None:
    """Return the lines of the jobs that waited and ran, None before the second sample."""
    if len(samples) < 2:
        return None
    first, last = samples[0].at, samples[-1].at
    most = max(1, *(max(sample.queued, sample.running) for sample in samples))
    length = max(1, last - first)

    def line(values: Sequence[int]) -> str:
        return " ".join(
            f"{(sample.at - first) / length * WIDTH:.1f},"
            f"{HEIGHT - value / most * (HEIGHT - _TOP):.1f}"
            for sample, value in zip(samples, values, strict=True)
        )

    return {
        "queued": line([sample.queued for sample in samples]),
        "running": line([sample.running for sample in samples]),
        "most": most,
        "seconds": length / 1_000,
    }


def timeline(job: Mapping[str, Any], now_ms: int) -> list[dict[str, Any]]:
    """Return a bar for each attempt of a job, between its creation and its end or now."""
    begin = parse_rfc3339(job["createdAt"])
    end = parse_rfc3339(job["completedAt"]) if job["completedAt"] else now_ms
    bars = [
        (parse_rfc3339(each["startedAt"]), parse_rfc3339(each["endedAt"]), each["outcome"])
        for each in job["attempts"]
        if each["startedAt"] and each["endedAt"]
    ]
    if job["state"] == "InProgress" and job["startedAt"]:
        since = max([parse_rfc3339(job["startedAt"]), *(bar[1] for bar in bars)])
        bars.append((since, end, "running"))
    length = max(1.0, end - begin)
    return [
        {
            "outcome": outcome,
            "x": round((start - begin) / length * WIDTH, 1),
            "width": round(max(3.0, (stop - start) / length * WIDTH), 1),
        }
        for start, stop, outcome in bars
    ]
