"""Statistics of groups of numbers, with confidence intervals by the bootstrap."""

import random
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass

CONFIDENCE = 0.95
MAX_SAMPLE = 2_000
"""Values of a group that a resample draws: more would take longer for little precision."""


@dataclass(frozen=True)
class Figures:
    """Statistics of one group. `low` and `high` are the 95 % confidence interval of the mean."""

    group: str
    count: int
    total: float
    mean: float
    low: float
    high: float
    median: float
    deviation: float
    least: float
    most: float

    def as_json(self) -> dict[str, object]:
        """Return the figures as a JSON object, rounded to six digits after the point."""
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(self).items()}


def describe(
    groups: dict[str, list[float]], resamples: int, on_progress: Callable[[float], None]
) -> list[Figures]:
    """Return the statistics of every group, the largest total first.

    The mean of each group is resampled `resamples` times (with replacement); the middle 95 % of
    those means are its interval. `on_progress` is called frequently with the fraction done; an
    exception that it raises stops the calculation.
    """
    source = random.Random(20_240_101)  # the same file gives the same report
    found: list[Figures] = []
    for done, (group, values) in enumerate(groups.items()):
        mean = statistics.fmean(values)
        means = []
        drawn = values if len(values) <= MAX_SAMPLE else source.sample(values, MAX_SAMPLE)
        for number in range(resamples):
            means.append(statistics.fmean(source.choices(drawn, k=len(drawn))))
            if number % 25 == 0:
                on_progress((done + number / resamples) / len(groups))
        means.sort()
        edge = int((1 - CONFIDENCE) / 2 * len(means))
        found.append(
            Figures(
                group=group,
                count=len(values),
                total=sum(values),
                mean=mean,
                low=means[edge] if means else mean,
                high=means[-1 - edge] if means else mean,
                median=statistics.median(values),
                deviation=statistics.stdev(values) if len(values) > 1 else 0.0,
                least=min(values),
                most=max(values),
            )
        )
        on_progress((done + 1) / len(groups))
    return sorted(found, key=lambda figures: -figures.total)
