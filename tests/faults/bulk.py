"""Submissions by the thousand a second, each with an idempotency key, over plain connections.

A client library would cost more than the system under test. What was not answered, or with "try
again", is sent again under its key.
"""

import asyncio
import random
import time
import uuid
from collections import Counter
from urllib.parse import urlsplit

JOB = "bulk"
CONNECTIONS = 48
SECONDS = 10.0
RETRIED = {429, 502, 503, 504}
_BODY = b'{"n":1}'


class Bulk:
    """Submits jobs at a rate until stopped; `accepted` has their ids."""

    def __init__(self, urls: list[str], seed: int, per_second: float) -> None:
        self._urls = urls
        self._chance = random.Random(f"bulk:{seed}")
        self._per_second = per_second
        self._sent = 0
        self._stopped = False
        self.accepted: list[str] = []
        self.answers: Counter[int] = Counter()

    def stop(self) -> None:
        """Submit nothing more; what is under way is finished."""
        self._stopped = True

    async def run(self) -> None:
        """Submit until `stop`, then until every submission has its answer."""
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS if self._per_second else 0):
                group.create_task(self._submit(begun))

    async def _submit(self, begun: float) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._stopped:
            if self._sent >= (time.monotonic() - begun) * self._per_second:
                await asyncio.sleep(0.01)
                continue
            self._sent += 1
            request = _request(f"{uuid.uuid4()}")
            while True:
                status, job = 0, ""
                try:
                    async with asyncio.timeout(SECONDS):
                        connection = connection or await self._connect()
                        status, job = await _ask(*connection, request)
                except (OSError, EOFError, TimeoutError):
                    if connection is not None:
                        connection[1].transport.abort()
                    connection = None
                self.answers[status] += 1
                if status and status not in RETRIED:
                    break
                await asyncio.sleep(0.2)
            assert status == 202, status
            self.accepted.append(job)
        if connection is not None:
            connection[1].close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._chance.choice(self._urls))
        return await asyncio.open_connection(parts.hostname, parts.port)


def _request(key: str) -> bytes:
    head = (
        f"POST /{JOB} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f'Idempotency-Key: "{key}"\r\nContent-Length: {len(_BODY)}\r\n\r\n'
    )
    return head.encode() + _BODY


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, str]:
    """Return the status, and the id of the job; EOFError if the connection ends."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
    await reader.readexactly(int(fields["content-length"]))
    if fields.get("connection") == "close":
        writer.close()
    return int(head[9:12]), fields.get("location", "").rpartition("/")[2]
