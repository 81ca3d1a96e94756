"""The process that checks bodies for a gateway (body_checks.py): reads them from stdin.

First a line with a Rule for each route; then for each body a line with the index of its rule, its
size and 1 if it must be valid, and the body. The answer to each is a line, a Checked.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import Any

import msgspec

from asyncendpoints_core.resource.schemas import CompiledSchema, compile_schema
from asyncendpoints_gateway.http.bodies import check_body
from asyncendpoints_gateway.http.named_values import resolve
from asyncendpoints_gateway.http.problems import Problem

NICE = 10
"""Lower priority than the gateway, which may have a single CPU."""


class Rule(msgspec.Struct, frozen=True):
    """The schema of a route's bodies, and the JSON pointers to the values that it needs."""

    schema: dict[str, Any] | None
    pointers: list[str]


class Checked(msgspec.Struct, frozen=True):
    """The problem of a body, and the values that the pointers name, with sorted names."""

    problem: dict[str, Any] | None = None
    pointed: dict[str, msgspec.Raw] = {}


def checked(
    body: bytes, schema: CompiledSchema | None, pointers: list[str], must_be_valid: bool
) -> Checked:
    """Check a body. One that need not be valid and is no JSON has no values."""
    try:
        value = check_body(body, schema)
    except Problem as problem:
        return Checked(problem.fields() if must_be_valid else None)
    found = ((pointer, resolve(value, pointer)) for pointer in pointers)
    pointed = {
        pointer: msgspec.Raw(msgspec.json.encode(each, order="sorted"))
        for pointer, each in found
        if each is not msgspec.UNSET
    }
    return Checked(None, pointed)


def main() -> None:
    """Check bodies until the gateway closes the pipe."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the gateway still needs it while it drains
    os.nice(NICE)
    gc.disable()  # JSON has no reference cycles, and collecting would look at each value
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    rules = [
        (None if rule.schema is None else compile_schema(rule.schema), rule.pointers)
        for rule in msgspec.json.decode(source.readline() or b"[]", type=list[Rule])
    ]
    while line := source.readline():
        index, size, must_be_valid = map(int, line.split())
        body = source.read(size)
        if len(body) < size:
            return
        answer = checked(body, *rules[index], bool(must_be_valid))
        sink.write(msgspec.json.encode(answer) + b"\n")
        sink.flush()


if __name__ == "__main__":
    main()
