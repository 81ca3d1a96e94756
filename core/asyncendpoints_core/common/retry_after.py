"""The header Retry-After of what this program calls: containers, receivers of webhooks."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from asyncendpoints_core.errors import RetryAfter

_SECONDS: Final = re.compile(r"[0-9]+", re.ASCII)
_MAX_MS: Final = round(RetryAfter.MAX_SECONDS) * 1000
_MAX_DIGITS: Final = len(str(_MAX_MS))


def retry_after_ms(value: str, now_ms: int) -> int | None:
    """Parse Retry-After (RFC 9110 §10.2.3) as milliseconds after `now_ms`; None if invalid.

    Seconds of any number of digits are valid; a wait longer than RetryAfter allows becomes that.
    """
    value = value.strip()
    if _SECONDS.fullmatch(value):
        digits = value.lstrip("0") or "0"
        # int() refuses 4,300 digits and more.
        return _MAX_MS if len(digits) > _MAX_DIGITS else min(int(digits) * 1000, _MAX_MS)
    try:
        when = parsedate_to_datetime(value)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return min(max(0, round(when.timestamp() * 1000) - now_ms), _MAX_MS)
    except (TypeError, ValueError, OverflowError):
        return None
