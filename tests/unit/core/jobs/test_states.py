"""The state machine's table: what must hold for it to be one."""

import pytest

from asyncendpoints_core.jobs.states import FINAL, TABLE, WAITING, State, Verb, targets

STATES: list[State | None] = [None, *State]


def test_every_state_is_reached_from_nothing() -> None:
    reached: set[State | None] = {None}
    while True:
        more = {t for (state, _), to in TABLE.items() if state in reached for t in to} | reached
        if more == reached:
            break
        reached = more
    assert reached == set(STATES)


def test_every_verb_is_used() -> None:
    assert {verb for _, verb in TABLE} == set(Verb)


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_way_out(state: State) -> None:
    assert any((state, verb) in TABLE for verb in Verb)


def test_from_every_unfinished_state_an_end_is_reached() -> None:
    for state in set(State) - FINAL:
        seen: set[State | None] = {state}
        for _ in State:
            seen |= {t for (at, _), to in TABLE.items() if at in seen for t in to}
        assert seen & FINAL


def test_only_redrive_and_delete_touch_a_final_job() -> None:
    used = {verb for (state, verb) in TABLE if state in FINAL}
    assert used == {Verb.REDRIVE, Verb.DELETE}
    assert (State.COMPLETED, Verb.REDRIVE) not in TABLE


def test_only_a_claim_starts_a_job() -> None:
    starts = {verb for (state, verb), to in TABLE.items() if State.IN_PROGRESS in to}
    assert starts == {Verb.CLAIM, Verb.CANCEL}  # a cancel that is only asked for changes no state
    assert targets(State.QUEUED, Verb.CLAIM) == (State.IN_PROGRESS,)


def test_only_waiting_jobs_expire() -> None:
    assert {state for state in STATES if (state, Verb.EXPIRE) in TABLE} == WAITING


def test_what_is_not_in_the_table_is_refused() -> None:
    refused = [(state, verb) for state in STATES for verb in Verb if (state, verb) not in TABLE]
    assert len(refused) == len(STATES) * len(Verb) - len(TABLE)
    assert all(targets(state, verb) == () for state, verb in refused)


def test_states_and_verbs_have_the_names_users_see() -> None:
    assert [str(state) for state in State] == [
        "Queued",
        "Scheduled",
        "InProgress",
        "Completed",
        "Failed",
        "Canceled",
    ]
