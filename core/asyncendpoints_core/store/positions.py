"""What starts before a waiting job."""

from __future__ import annotations

from typing import Final

import msgspec


class Position(msgspec.Struct, frozen=True, gc=False, order=True):
    """What starts before a waiting job if nothing more comes; all 0 for one that does not wait.

    `ahead`: jobs of its priority, with keys an estimate. `before`: those of them with its key and
    name, and `rate_ms`: in how long rates let it start; both 0 without limits.
    """

    ahead: int = 0
    before: int = 0
    rate_ms: int = 0


FIRST: Final = Position()
