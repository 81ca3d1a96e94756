"""Checks of bodies that would hold the event loop: in a process of their own.

Parsing JSON and validating it are single calls into C and Rust that hold the interpreter, so a
thread would not help. Most bodies need no process: see views/submission.py.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_gateway.http.bodies import is_json
from asyncendpoints_gateway.http.problems import Problem
from asyncendpoints_gateway.intake.check_process import Checked, Rule, checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.http.named_values import Pointed

log = logging.getLogger("asyncendpoints.gateway")

PROGRAM: Final = "asyncendpoints_gateway.intake.check_process"


class BodyChecks:
    """Checks the bodies of requests to `routes`, until it is closed."""

    def __init__(self, routes: Sequence[RouteConfig]) -> None:
        """Prepare; the process starts with the first body that needs it."""
        self._rules = [
            Rule(None if route.schema is None else dict(route.schema.schema), route.pointers)
            for route in routes
        ]
        self._index = {route.path: at for at, route in enumerate(routes)}
        self._thread = ThreadPoolExecutor(1, "body-checks")  # so there is one process
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    async def check(self, route: RouteConfig, body: bytes, content_type: str) -> Pointed:
        """Check a body, and return the values that the route's pointers name. Raises Problem."""
        loop = asyncio.get_running_loop()
        must_be_valid = route.schema is not None or is_json(content_type)
        found = await loop.run_in_executor(self._thread, self._checked, route, body, must_be_valid)
        if (problem := found.problem) is not None:
            raise Problem(problem["name"], problem["detail"], members=problem["members"])
        return found.pointed

    def close(self) -> None:
        """End the process."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._closed = True
        self._end()

    def _checked(self, route: RouteConfig, body: bytes, must_be_valid: bool) -> Checked:
        """Check a body; called in the thread."""
        for _ in range(2):  # the process may have ended since the last body
            try:
                return self._exchange(self._index[route.path], body, must_be_valid)
            except (OSError, ValueError) as error:  # ValueError: a pipe was closed
                log.warning("the process that checks bodies failed: %s", error)
                self._end()
        return checked(body, route.schema, route.pointers, must_be_valid)

    def _exchange(self, index: int, body: bytes, must_be_valid: bool) -> Checked:
        process = self._process or self._start()
        source, sink = process.stdout, process.stdin
        if source is None or sink is None:
            raise ValueError("it has no pipes")
        sink.write(b"%d %d %d\n" % (index, len(body), must_be_valid))
        sink.write(body)
        sink.flush()
        answer = source.readline()
        if not answer:
            raise ConnectionError("it ended")
        return msgspec.json.decode(answer, type=Checked)

    def _start(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise ValueError("the gateway is stopping")
        process = self._process = subprocess.Popen(  # noqa: S603 - nothing of a request is in it
            [sys.executable, "-P", "-m", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the gateway, which still answers requests
        )
        if process.stdin is not None:
            process.stdin.write(msgspec.json.encode(self._rules) + b"\n")
        return process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
