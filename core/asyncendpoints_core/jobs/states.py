"""The job's state machine as a table from (state, verb) to the states it may lead to.

The diagram in docs/lifecycle.md is generated from it; a test drives both stores through it.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(StrEnum):
    """The states of a job; the values are the names that users see."""

    QUEUED = "Queued"
    SCHEDULED = "Scheduled"
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"


class Verb(StrEnum):
    """What can happen to a job."""

    ENQUEUE = "enqueue"
    PROMOTE = "promote"
    CLAIM = "claim"
    COMPLETE = "complete"
    RETRY = "retry later"
    FAIL = "fail"
    RELEASE = "release"
    RECOVER = "recover"
    TIME_OUT = "time out"
    CANCEL = "cancel"
    EXPIRE = "expire"
    REDRIVE = "redrive"
    DELETE = "delete"


FINAL: Final = frozenset({State.COMPLETED, State.FAILED, State.CANCELED})
WAITING: Final = frozenset({State.QUEUED, State.SCHEDULED})

_Q, _S, _P = State.QUEUED, State.SCHEDULED, State.IN_PROGRESS
_C, _F, _X = State.COMPLETED, State.FAILED, State.CANCELED

# The first state of a row is the usual one; the others are taken when a budget is used up or a
# cancel was requested. `None` means "no record".
TABLE: Final[Mapping[tuple[State | None, Verb], tuple[State | None, ...]]] = MappingProxyType(
    {
        (None, Verb.ENQUEUE): (_Q, _S),
        (_S, Verb.PROMOTE): (_Q,),
        (_Q, Verb.CLAIM): (_P,),
        (_P, Verb.COMPLETE): (_C, _F),
        (_P, Verb.RETRY): (_S, _X),
        (_P, Verb.FAIL): (_F,),
        (_P, Verb.RELEASE): (_Q, _S, _X, _F),
        (_P, Verb.RECOVER): (_Q, _X, _F),
        (_P, Verb.TIME_OUT): (_S, _F, _X),
        (_Q, Verb.CANCEL): (_X,),
        (_S, Verb.CANCEL): (_X,),
        (_P, Verb.CANCEL): (_P, _X),
        (_Q, Verb.EXPIRE): (_F,),
        (_S, Verb.EXPIRE): (_F,),
        (_F, Verb.REDRIVE): (_Q,),
        (_X, Verb.REDRIVE): (_Q,),
        (_C, Verb.DELETE): (None,),
        (_F, Verb.DELETE): (None,),
        (_X, Verb.DELETE): (None,),
    }
)


def targets(state: State | None, verb: Verb) -> tuple[State | None, ...]:
    """Return the states that `verb` may lead to from `state`; none if it is not allowed."""
    return TABLE.get((state, verb), ())
