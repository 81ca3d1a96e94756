"""Hooks of Schemathesis: what the document cannot say of valid requests."""

import itertools
import re
from typing import Any

from schemathesis import Case, HookContext, hook

_WAIT = re.compile(r"wait=\d+")
_KEY = re.compile(r"[!-~]{1,255}")
_CURSOR = re.compile(r"[A-Za-z0-9_-]+")
_numbers = itertools.count()


@hook
def before_call(_: HookContext, case: Case[Any], __: dict[str, object]) -> None:
    """Wait for nothing, use each idempotency key once, and no cursor that no page has had."""
    if re.match(r"\d", str(case.query.get("wait", ""))):
        case.query["wait"] = "0"
    if _CURSOR.fullmatch(str(case.query.get("cursor", ""))):
        del case.query["cursor"]
    if _WAIT.fullmatch(str(case.headers.get("Prefer", ""))):
        case.headers["Prefer"] = "wait=0"
    key = case.headers.get("Idempotency-Key")
    if key is not None and _KEY.fullmatch(str(key)) and key != '""':
        case.headers["Idempotency-Key"] = f"{str(key).strip(chr(34))}{next(_numbers)}"[-255:]
