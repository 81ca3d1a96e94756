"""The process that checks bodies for a gateway (body_checks.py): reads them from stdin.

First a line with the schemas of all routes; then for each body a line with the index of its schema
and its size, and the body. The answer to each is a line with its problem, or null.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

import msgspec

from asyncendpoints_core.resource.schemas import compile_schema
from asyncendpoints_gateway.http.bodies import check_body
from asyncendpoints_gateway.http.problems import Problem

NICE = 10
"""Lower priority than the gateway, which may have a single CPU."""


def main() -> None:
    """Check bodies until the gateway closes the pipe."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the gateway still needs it while it drains
    os.nice(NICE)
    gc.disable()  # JSON has no reference cycles, and collecting would look at each value
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    schemas = [
        None if schema is None else compile_schema(schema)
        for schema in msgspec.json.decode(source.readline() or b"[]")
    ]
    while line := source.readline():
        index, size = map(int, line.split())
        body = source.read(size)
        if len(body) < size:
            return
        problem = None
        try:
            check_body(body, schemas[index])
        except Problem as found:
            problem = found.fields()
        sink.write(msgspec.json.encode(problem) + b"\n")
        sink.flush()


if __name__ == "__main__":
    main()
