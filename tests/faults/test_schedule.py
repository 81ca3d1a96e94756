"""A failing soak is repeated with fewer faults, and those behave as before."""

from collections.abc import Sequence
from itertools import islice

import pytest

from faults.schedule import minimise, steps


def test_a_seed_decides_the_order_and_every_fault_comes_before_one_repeats() -> None:
    first, second = (list(islice(steps(7, "abcd"), 12)) for _ in range(2))
    assert first == second
    assert first != list(islice(steps(8, "abcd"), 12))
    assert [step.number for step in first] == list(range(1, 13))
    for start in range(0, 12, 4):
        assert {step.fault for step in first[start : start + 4]} == set("abcd")


def test_without_faults_there_is_no_step() -> None:
    assert list(steps(7, ())) == []


def test_a_step_makes_the_same_choices_whatever_ran_before() -> None:
    first, second = islice(steps(7, "ab"), 2)
    alone = second.chance().random()
    first.chance().random()
    assert second.chance().random() == alone
    assert first.chance().random() != alone


@pytest.mark.parametrize("needed", [{13}, {1, 40}, {5, 6, 30}])
async def test_the_needed_steps_remain(needed: set[int]) -> None:
    tried: list[Sequence[int]] = []

    async def fails(numbers: Sequence[int]) -> bool:
        tried.append(numbers)
        return needed <= set(numbers)

    assert await minimise(range(1, 41), fails, attempts=200) == sorted(needed)
    assert len(tried) < 100


async def test_it_ends_after_the_attempts_with_what_is_known_to_fail() -> None:
    known: list[list[int]] = [list(range(1, 41))]

    async def fails(numbers: Sequence[int]) -> bool:
        if 13 in numbers:
            known.append(list(numbers))
        return 13 in numbers

    found = await minimise(range(1, 41), fails, attempts=3)
    assert found == known[-1]
    assert 1 < len(found) < 40


async def test_nothing_is_left_out_if_it_fails_only_as_a_whole() -> None:
    async def fails(numbers: Sequence[int]) -> bool:
        return len(numbers) == 6

    assert await minimise(range(6), fails, attempts=100) == list(range(6))
