"""RedisStore as the conformance suite drives it: its time set in Redis, its keys read raw."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
from redis.asyncio import Redis

from asyncendpoints_core.errors import StoreVersionError
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Priority
from asyncendpoints_core.jobs.states import FINAL, State
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.record_layout import FORMAT_KIND, FORMAT_VERSION
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.redis.codec import Context
from asyncendpoints_core.store.redis.keys import prefix
from asyncendpoints_core.store.redis.python_layout import CorruptRecord
from asyncendpoints_core.store.redis.records import read_made, read_run
from support.store.stores import START_MS, Scan

ENDPOINT = "tests/reports"
# Longer than it takes until an endpoint that had work is put on its safety timer.
QUIET_MS = 360_000
# A hash of a million jobs is read at once.
SCAN_SECONDS = 120


class RedisBackend:
    """A RedisStore whose scripts see `meta.tick` as the time, for it is far in the future."""

    def __init__(self, url: str, store_url: str | None = None) -> None:
        self.redis: Any = Redis.from_url(url, socket_timeout=SCAN_SECONDS)
        self.redis_store = RedisStore(store_url or url, ENDPOINT)
        self.store: Store = self.redis_store
        self.prefix = prefix(ENDPOINT)

    def key(self, name: str) -> str:
        """Return a key's full name."""
        return self.prefix + name

    async def open(self) -> None:
        """Open the store and put its time at the suite's beginning."""
        await self.redis_store.open()
        await self.redis.hset(self.key("meta"), "tick", str(START_MS))

    async def now(self) -> int:
        return int(await self.redis.hget(self.key("meta"), "tick") or 0)

    async def advance(self, ms: int) -> None:
        now = await self.redis.hincrby(self.key("meta"), "tick", ms)
        # Whoever keeps the store has been ticking all the while; only `outage` leaves that out.
        if int(await self.redis.hget(self.key("meta"), "ticked") or 0):
            await self.redis.hset(self.key("meta"), "ticked", str(now))

    async def outage(self, ms: int) -> None:
        await self.redis.hincrby(self.key("meta"), "tick", ms)

    async def waiters(self, count: int) -> None:
        while (await self.redis.info("clients"))["blocked_clients"] < count:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.005)

    async def _shelf(self, job_id: JobId) -> str:
        """Return the hash that has what of a job changes, or all of it before its first run."""
        return self.key("runs" if await self.redis.hexists(self.key("runs"), job_id) else "jobs")

    async def spoil(self, job_id: JobId, record: bytes | None) -> None:
        if record is None:
            await self.redis.hdel(self.key("jobs"), job_id)
            await self.redis.hdel(self.key("runs"), job_id)
        else:
            await self.redis.hset(await self._shelf(job_id), job_id, record)

    async def damage(self, job_id: JobId, part: bytes, becomes: bytes) -> None:
        """Replace a part of a job's record."""
        record = await self.record(job_id)
        assert record is not None
        assert part in record
        await self.spoil(job_id, record.replace(part, becomes))

    async def make_newer(self, job_id: JobId) -> bytes:
        data = await self.record(job_id)
        assert data is not None
        newer = bytes([FORMAT_KIND + FORMAT_VERSION + 1]) + data[1:]
        await self.redis.hset(await self._shelf(job_id), job_id, newer)
        return newer

    async def record(self, job_id: JobId) -> bytes | None:
        data: bytes | None = await self.redis.hget(await self._shelf(job_id), job_id)
        return data

    async def set_aside(self, job_id: JobId) -> bytes | None:
        data: bytes | None = await self.redis.hget(self.key("corrupt"), job_id)
        return data

    async def preset_fence(self, number: int) -> None:
        await self.redis.hset(self.key("meta"), "fence", str(number))

    async def timers(self) -> dict[str, int]:
        """Return the time to live of every key by its name, ms, -1 for none.

        Without `watch`, which is a lease and no data, and figures, which always have one.
        """
        names = await self.redis.keys(self.prefix + "*")
        others = (self.key("watch").encode(), self.key("figures:").encode())
        names = sorted(name for name in names if not name.startswith(others))
        pipe = self.redis.pipeline(transaction=False)
        for name in names:
            pipe.pttl(name)
        left = await pipe.execute()
        return {
            name.decode().removeprefix(self.prefix): ms
            for name, ms in zip(names, left, strict=True)
        }

    async def check_timers(self) -> bool:
        """Assert that no key is on a timer beside unfinished jobs, and else all or none.

        Returns whether they are.
        """
        timers = await self.timers()
        counts = (await self.store.stats()).counts
        on = {name for name, ms in timers.items() if ms != -1}
        assert not on or on == set(timers), f"not on the timer: {set(timers) - on}"
        unfinished = sum(n for state, n in counts.items() if state not in FINAL)
        assert not (on and unfinished), f"{unfinished} unfinished jobs on a timer"
        safety = float(await self.redis.hget(self.key("meta"), "safety") or 0)
        assert (safety > 0) == bool(on)
        return bool(on)

    async def come_to_rest(self) -> None:
        """Let the quiet time pass with nothing unfinished, and have somebody look."""
        await self.advance(QUIET_MS)
        await self.store.sweep()
        assert await self.check_timers()

    async def scan(self) -> Scan:
        scan = Scan(results=set(await self.redis.hkeys(self.key("results"))))
        context = Context(0, 0, 0, 0, 0)
        runs = await self.redis.hgetall(self.key("runs"))
        for job_id, data in (await self.redis.hgetall(self.key("jobs"))).items():
            try:
                made = read_made(data)
                run = runs.get(job_id)
                scan.names[job_id] = made.name
                scan.states[job_id] = State.QUEUED
                if run is not None:
                    job, _ = read_run(job_id, made, run, context)
                    scan.states[job_id], scan.names[job_id] = job.state, job.name
                    if job.state is State.COMPLETED and not run.endswith(job.name.encode()):
                        scan.results.add(job_id)
            except (CorruptRecord, StoreVersionError):
                scan.states.pop(job_id, None)
                scan.names.pop(job_id, None)
        assert set(runs) <= set(await self.redis.hkeys(self.key("jobs")))
        for priority in Priority:
            line = await self._line(f"ready:{priority.name.lower()}")
            scan.lines[f"ready:{priority.name}"] = line
        await self._scan_gate(scan)
        for name in ("suspects", "delayed"):
            scan.lines[name] = await self._line(name)
        for state in FINAL:
            scan.lines[f"finished:{state}"] = await self._line(f"finished:{state.lower()}")
        for member in await self.redis.zrange(self.key("held"), 0, -1):
            if member.startswith(b"\0"):  # the entry that keeps it a skip list
                continue
            scan.held.setdefault(member[:-24].decode(), set()).add(JobId(member[-16:]))
        locks = await self.redis.hgetall(self.key("locks"))
        scan.locks = {name: JobId(lock[:16]) for name, lock in locks.items()}
        logs = await self.redis.hgetall(self.key("logs"))
        assert set(logs) == set(await self._line("logs:times"))
        counted = int(await self.redis.hget(self.key("meta"), "log_bytes") or 0)
        scan.logs, scan.log_bytes = set(logs), (counted, sum(map(len, logs.values())))
        scan.lines["running"] = [job_id for ids in scan.held.values() for job_id in ids]
        return scan

    async def _scan_gate(self, scan: Scan) -> None:
        scan.gated = await self.redis.hget(self.key("meta"), "gated") == b"1"
        limits = await self.redis.hgetall(self.key("gate:limits"))
        scan.concurrency = {
            resource.decode(): msgspec.msgpack.decode(limit)["concurrency"] > 0
            for resource, limit in limits.items()
        }
        members = await self.redis.zrange(self.key("gate:keyed"), 0, -1)
        scan.lines["ready:behind"] = [JobId(member[-16:]) for member in members]
        for job_id, place in (await self.redis.hgetall(self.key("gate:places"))).items():
            key, name = place.decode().split("\0")
            scan.places[JobId(job_id)] = key, name
        usage = await self.redis.zrange(self.key("gate:usage"), 0, -1)
        scan.usage = dict(Counter(member[:-17].decode() for member in usage))
        if scan.places:
            scan.usage["t"] = len(scan.places)

    async def _line(self, name: str) -> list[JobId]:
        ids: list[JobId] = await self.redis.zrange(self.key(name), 0, -1)
        return ids

    async def close(self) -> None:
        await self.store.close()
        await self.redis.aclose()
