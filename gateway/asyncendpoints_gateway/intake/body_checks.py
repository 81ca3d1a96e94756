"""Checks of bodies that would hold the event loop: in a process of their own.

Parsing JSON and validating it are single calls into C and Rust that hold the interpreter, so a
thread would not help. Most bodies are small and valid, and are checked in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncendpoints_core.resource.schemas import is_valid, nodes_within
from asyncendpoints_gateway.http.bodies import check_body, is_json, parse, require_json
from asyncendpoints_gateway.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_gateway.config import RouteConfig

log = logging.getLogger("asyncendpoints.gateway")

MAX_INLINE_BYTES: Final = 16_384
MAX_INLINE_WORK: Final = 300_000
"""Bytes times the subschemas that apply to one value: a few milliseconds."""
MAX_INLINE_ERRORS: Final = 100
"""Values times subschemas up to which errors are located in the event loop."""
PROGRAM: Final = "asyncendpoints_gateway.intake.check_process"


class BodyChecks:
    """Checks the bodies of requests to `routes`, until it is closed."""

    def __init__(self, routes: Sequence[RouteConfig]) -> None:
        """Prepare; the process starts with the first body that needs it."""
        self._schemas = [
            None if route.schema is None else dict(route.schema.schema) for route in routes
        ]
        self._index = {route.path: at for at, route in enumerate(routes)}
        self._thread = ThreadPoolExecutor(1, "body-checks")  # so there is one process
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def quick(self, route: RouteConfig, body: bytes, content_type: str) -> bool:
        """Check a body in the event loop; False if that would take long. Raises Problem."""
        schema = route.schema
        if schema is None and not (body and is_json(content_type)):
            return True
        if route.body_optional:
            if not body:
                return True
            require_json(content_type)  # an empty body may have any, so it was not checked before
        weight = 1 if schema is None else schema.weight
        if len(body) > MAX_INLINE_BYTES or len(body) * weight > MAX_INLINE_WORK:
            return False
        value = parse(body)
        if schema is None or is_valid(schema, value):
            return True
        if not nodes_within(value, MAX_INLINE_ERRORS // weight):
            return False
        check_body(body, schema)
        return True

    async def check(self, route: RouteConfig, body: bytes, content_type: str) -> None:
        """Check a body, in the process if that takes long. Raises Problem."""
        if not self.quick(route, body, content_type):
            await self.slow(route, body)

    async def slow(self, route: RouteConfig, body: bytes) -> None:
        """Check a JSON body in the process. Raises Problem."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, self._checked, route, body)
        if found is not None:
            raise Problem(found["name"], found["detail"], members=found["members"])

    def close(self) -> None:
        """End the process."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._closed = True
        self._end()

    def _checked(self, route: RouteConfig, body: bytes) -> dict[str, Any] | None:
        """Return the problem of a body, None if it has none; called in the thread."""
        for _ in range(2):  # the process may have ended since the last body
            try:
                return self._exchange(self._index[route.path], body)
            except (OSError, ValueError) as error:  # ValueError: a pipe was closed
                log.warning("the process that checks bodies failed: %s", error)
                self._end()
        try:
            check_body(body, route.schema)
        except Problem as problem:
            return problem.fields()
        return None

    def _exchange(self, index: int, body: bytes) -> dict[str, Any] | None:
        process = self._process or self._start()
        source, sink = process.stdout, process.stdin
        if source is None or sink is None:
            raise ValueError("it has no pipes")
        sink.write(b"%d %d\n" % (index, len(body)))
        sink.write(body)
        sink.flush()
        answer = source.readline()
        if not answer:
            raise ConnectionError("it ended")
        found: dict[str, Any] | None = msgspec.json.decode(answer)
        return found

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
            process.stdin.write(msgspec.json.encode(self._schemas) + b"\n")
        return process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
