"""The order of faults that a seed decides, and the smallest part of it that still fails."""

import itertools
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One fault; its number and the seed decide all of its random choices."""

    number: int
    fault: str
    seed: int
    pause: float

    def chance(self) -> random.Random:
        """Return the source of its choices: the same ones whatever other steps are left out."""
        return random.Random(f"{self.seed}:{self.number}")


def steps(seed: int, faults: Sequence[str]) -> Iterator[Step]:
    """Yield every fault once in random order, then again in another, without end.

    Without faults there is no step.
    """
    chance, numbers = random.Random(seed), itertools.count(1)
    while faults:
        for fault in chance.sample(faults, len(faults)):
            yield Step(next(numbers), fault, seed, chance.uniform(0.1, 0.8))


async def minimise(
    numbers: Sequence[int], fails: Callable[[Sequence[int]], Awaitable[bool]], attempts: int
) -> list[int]:
    """Return a part of `numbers` for which `fails` is still true, found in so many attempts.

    Delta debugging: leave out halves, then quarters, and so on, each time keeping what fails.
    """
    kept, parts = list(numbers), 2
    while len(kept) > 1 and attempts > 0:
        size = -(-len(kept) // parts)
        for first in range(0, len(kept), size):
            rest = kept[:first] + kept[first + size :]
            attempts -= 1
            if await fails(rest):
                kept, parts = rest, max(parts - 1, 2)
                break
            if attempts == 0:
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(kept))
    return kept
