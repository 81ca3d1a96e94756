"""Clients that behave as clients should: an idempotency key for each job, and retries."""

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

import aiohttp

from support.history.events import Call

# Name of the route, share in percent, body.
MIX: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("quick", 52, {"n": 1}),
    ("family", 8, {"jobs": 3, "seconds": 0.06, "fails": 0.3}),
    ("slow", 14, {"seconds": 0.3}),
    ("plain", 10, {"seconds": 0.1}),
    ("flaky", 13, {"fails": 0.5, "permanent": 0.05}),
    ("blocking", 2.7, {"seconds": 0.4}),
    ("poison", 0.3, {}),
)
RETRIED = {429, 502, 503, 504}
# Shares of the clients that wait for the end of their job and fetch its result, of those that
# follow its events, and of requests that end their connection.
WAITS, STREAMS, CLOSES = 0.4, 0.1, 0.1
WAIT_SECONDS = 5


class Load:
    """Submits jobs at a rate until stopped; cancels some, waits for some and fetches their
    results, follows the events of some, and redrives some that failed.

    With `poison` some of them kill the process that runs them.
    """

    def __init__(
        self, urls: list[str], seed: int, per_second: float, *, poison: bool = True
    ) -> None:
        self._urls = urls
        self._mix = [each for each in MIX if poison or each[0] != "poison"]
        self._chance = random.Random(seed)
        self._pause = 1 / per_second
        self._stopped = asyncio.Event()
        self.accepted: dict[str, str] = {}
        self.answers: Counter[int] = Counter()
        # What the clients know, for where gateways keep no history.
        self.calls: list[Call] = []

    def stop(self) -> None:
        """Submit nothing more; what is under way is finished."""
        self._stopped.set()

    async def run(self) -> None:
        """Submit until `stop`, then until every submission has its answer."""
        # A wait holds its connection: a limit would hold back what is submitted meanwhile.
        connector = aiohttp.TCPConnector(limit=0)
        session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=10)
        )
        async with session as client, asyncio.TaskGroup() as group:
            while not self._stopped.is_set():
                group.create_task(self._one(client))
                await asyncio.sleep(self._pause)

    async def _one(self, client: aiohttp.ClientSession) -> None:
        shares = [share for _, share, _ in self._mix]
        ((name, _, body),) = self._chance.choices(self._mix, shares)
        headers = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
        priority = self._chance.choice(("high", "normal", "normal", "low"))
        headers["Job-Priority"] = priority
        headers["Customer"] = self._chance.choice("aabcde")
        begun = time.monotonic_ns()
        answer = json.loads(await self._send(client, "POST", f"/{name}", headers, body))
        assert "id" in answer, answer
        job = answer["id"]
        fields = {"key": headers["Idempotency-Key"], "priority": priority, "delay_ms": 0}
        self._note("enqueue", begun, job, "created", fields)
        self.accepted[headers["Idempotency-Key"]] = job
        if self._chance.random() < 0.05:
            await asyncio.sleep(self._chance.uniform(0, 0.5))
            await self._send(client, "DELETE", f"/jobs/{job}")
        await self._read(client, job)
        if name == "flaky" and self._chance.random() < 0.2:
            await asyncio.sleep(1)
            begun = time.monotonic_ns()
            await self._send(client, "POST", f"/jobs/{job}/retry")
            self._note("redrive", begun, job, None, {})

    async def _read(self, client: aiohttp.ClientSession, job: str) -> None:
        """Wait for the end of a job, at most one long poll, and fetch its result; or follow it."""
        kind = self._chance.random()
        if kind < WAITS:
            await self._send(client, "GET", f"/jobs/{job}?wait={WAIT_SECONDS}")
            await self._send(client, "GET", f"/jobs/{job}/result")
        elif kind < WAITS + STREAMS:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                url = f"{self._chance.choice(self._urls)}/jobs/{job}?wait={WAIT_SECONDS}"
                async with client.get(url, headers={"Accept": "text/event-stream"}) as stream:
                    self.answers[stream.status] += 1
                    await stream.read()

    def _note(
        self, verb: str, begun: int, job: str, status: str | None, fields: dict[str, Any]
    ) -> None:
        self.calls.append(Call(verb, begun, time.monotonic_ns(), job, status, fields=fields))

    async def _send(
        self,
        client: aiohttp.ClientSession,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> bytes:
        """Send until there is an answer other than "try again"; any gateway will do."""
        while True:
            url = self._chance.choice(self._urls)
            sent = {**(headers or {})}
            if self._chance.random() < CLOSES:
                sent["Connection"] = "close"
            try:
                async with client.request(method, url + path, headers=sent, json=body) as response:
                    self.answers[response.status] += 1
                    if response.status not in RETRIED:
                        return await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError):
                self.answers[0] += 1
            await asyncio.sleep(0.2)
