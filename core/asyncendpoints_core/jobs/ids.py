"""Job ids: UUIDv7 (RFC 9562 §5.7), 16 bytes inside the system and text at its edges."""

from __future__ import annotations

import os
import re
from typing import Final, NewType

JobId = NewType("JobId", bytes)
SHORT: Final = 8
"""How many characters, from its end, are an id on a terminal: its beginning is the time."""

_VERSION: Final = 0x7000_8000_0000_0000_0000
_ENTROPY: Final = 0x0FFF_3FFF_FFFF_FFFF_FFFF
_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")


def new(now_ms: int) -> JobId:
    """Return a new id for `now_ms`; its 74 other bits come from the operating system."""
    entropy = int.from_bytes(os.urandom(10), "big") & _ENTROPY
    return JobId((now_ms << 80 | _VERSION | entropy).to_bytes(16, "big"))


def text(job_id: JobId) -> str:
    """Return the id as users see it: lower-case, five groups."""
    h = job_id.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def parse(value: str) -> JobId | None:
    """Return the id that `value` spells, or None when it is not a UUIDv7 in lower case."""
    if _TEXT.match(value) is None:
        return None
    return JobId(bytes.fromhex(value.replace("-", "")))
