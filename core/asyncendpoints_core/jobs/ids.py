"""Job ids: UUIDv7 (RFC 9562 §5.7), 16 bytes inside the system and text at its edges."""

from __future__ import annotations

import os
import re
from typing import Final, NewType

JobId = NewType("JobId", bytes)
SHORT: Final = 8
"""How many characters, from its end, are an id on a terminal: its beginning is the time."""

_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")


def new(now_ms: int) -> JobId:
    """Return a new id for `now_ms`; its 74 other bits come from the operating system."""
    entropy = bytearray(os.urandom(10))
    entropy[0] = 0x70 | (entropy[0] & 0x0F)
    entropy[2] = 0x80 | (entropy[2] & 0x3F)
    return JobId(now_ms.to_bytes(6, "big") + bytes(entropy))


def text(job_id: JobId) -> str:
    """Return the id as users see it: lower-case, five groups."""
    h = job_id.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def parse(value: str) -> JobId | None:
    """Return the id that `value` spells, or None when it is not a UUIDv7 in lower case."""
    if _TEXT.match(value) is None:
        return None
    return JobId(bytes.fromhex(value.replace("-", "")))
