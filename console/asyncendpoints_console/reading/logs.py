"""The logs of a job as text, and what has come since an earlier reading."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncendpoints_core.store.job_logs import AttemptLog

CUT: Final = "[earlier lines were dropped]\n"
_POSITION: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


def text_of(logs: Iterable[AttemptLog], attempt: int | None = None) -> str:
    """Return the lines of one attempt, or those of all, each below its number."""
    parts = []
    for log in logs:
        if attempt is None:
            parts.append(f"--- attempt {log.attempt} ---\n")
        if attempt in (None, log.attempt):
            parts += [CUT if log.cut else "", log.text]
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class NewLines:
    """Lines of one claim; `position` is where to go on behind them."""

    attempt: int
    claim: int
    text: str
    position: str


class Follower:
    """Reads the lines of a job once each, from a position on."""

    def __init__(self, position: str, attempt: int | None) -> None:
        """Begin behind `position`, that of a NewLines; at the beginning if it is not one."""
        found = _POSITION.fullmatch(position)
        self._claim, self._written = map(int, found.groups()) if found else (0, 0)
        self._attempt = attempt

    def new(self, logs: Sequence[AttemptLog]) -> list[NewLines]:
        """Return what of `logs` was not returned before."""
        found = []
        for log in logs:
            if log.claim < self._claim or self._attempt not in (None, log.attempt):
                continue
            begun = self._written if log.claim == self._claim else 0
            data = log.text.encode()
            first = log.written - len(data)
            lines = data[max(0, begun - first) :].decode(errors="replace")
            if not lines:
                continue
            self._claim, self._written = log.claim, log.written
            position = f"{log.claim}-{log.written}"
            note = CUT if first > begun else ""
            found.append(NewLines(log.attempt, log.claim, note + lines, position))
        return found
