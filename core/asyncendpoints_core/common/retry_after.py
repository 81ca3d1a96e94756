"""The header Retry-After of what this program calls: containers, receivers of webhooks."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


def retry_after_ms(value: str, now_ms: int) -> int | None:
    """Parse Retry-After (RFC 9110 §10.2.3) as milliseconds after `now_ms`; None if invalid."""
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return int(value) * 1000
    try:
        when = parsedate_to_datetime(value)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return max(0, round(when.timestamp() * 1000) - now_ms)
    except (TypeError, ValueError, OverflowError):
        return None
