"""The system under test: real gateways and workers, on whichever Redis a subclass has."""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import msgspec
import yaml

from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.records import Job
from asyncendpoints_core.jobs.states import FINAL, State
from asyncendpoints_core.store.protocol import Store
from faults.bulk import JOB as BULK
from faults.events import EventReceiver
from support.cli import Command
from support.clock import Clock, remove_leftovers
from support.history.checker import Final
from support.ports import free_port
from support.redis.backend import RedisBackend
from support.resources import resource
from support.store.stores import check as check_figures
from support.worker.process import children_of, kill

JOBS = Path(__file__).parent / "jobs"
LEASE_SECONDS = 3.0
KEY_HEADER = "Customer"
DELIVERY_ENDS = ("delivered", "failed", "dead", "dropped")
ROUTES = ("quick", "family", "slow", "plain", "flaky", "blocking", "poison")


@dataclass(frozen=True, slots=True)
class Gap:
    """A time, ns of the monotonic clock, of which a failover may have lost acknowledged writes."""

    fault: str
    begun: int
    ended: int


def document(durability: str, receiver: int, concurrency: int = 8) -> dict[str, Any]:
    """Return the endpoint: one route for each handler, short leases and delays, and keys, limits,
    a schedule, and a webhook of all jobs but bulk to the port `receiver`.
    """
    keyed = {"key": f"header:{KEY_HEADER}", "headers": [KEY_HEADER]}
    hook = f"http://127.0.0.1:{receiver}/"
    made: dict[str, Any] = resource(
        routes=[
            *({"path": f"/{name}", "job": name, **keyed} for name in ROUTES),
            {"path": f"/{BULK}", "job": BULK},
        ],
        limits={
            "total": {"concurrency": 5 * concurrency},
            "perJob": [{"job": "slow", "concurrency": 8}],
            "perKey": {"concurrency": 12, "ratePerSecond": 50},
            "keys": [{"key": "a", "weight": 3}],
        },
        schedules=[
            {"name": "minutely", "cron": "* * * * *", "job": "quick", "body": {"number": 2}}
        ],
        webhooks=[{"name": "ends", "url": hook, "secrets": {"file": "secret"}, "jobs": [*ROUTES]}],
        worker={"handlers": "fault_jobs", "concurrency": concurrency, "processes": 2},
        # Longer than any soak: the checker needs every job.
        retention={"maxFinished": 10_000_000, "completedSeconds": 604_800},
        queue={"maxDepth": 1_000_000},
        retry={"maxRetries": 6, "initialSeconds": 0.05, "maxSeconds": 1, "maxCrashes": 2},
        timeouts={"executionSeconds": 8, "leaseSeconds": LEASE_SECONDS, "drainSeconds": 3},
    )
    made["metadata"] = {"namespace": "tests", "name": "reports"}
    made["spec"]["worker"].pop("image", None)
    made["spec"]["redis"] = {"durability": durability}
    return made


class Role:
    """One process of the command, with a clock of its own; it can be killed and started again."""

    def __init__(self, system: "System", role: str, *options: str) -> None:
        self.role = role
        self.clock = Clock(system.folder)
        self._system = system
        self._options = options
        self._url = ""
        self._command: Command | None = None

    async def start(self) -> None:
        """Start the process, on the URL that it had before."""
        self._url = self._url or await self._system.url_for(self)
        arguments = [self.role, "--endpoint", str(self._system.file), "--redis", self._url]
        environment = {
            "ASYNCENDPOINTS_HISTORY_FOLDER": str(self._system.history),
            "ASYNCENDPOINTS_LOG_FORMAT": "json",
            "RUNS": str(self._system.runs),
            "ASYNCENDPOINTS_WEBHOOK_ALLOW": f"127.0.0.1:{self._system.events.port}",
            **self.clock.environment,
        }
        self._command = Command(*arguments, *self._options, env=environment)

    async def listens(self) -> None:
        """Wait until a gateway is ready."""
        assert self._command is not None
        await asyncio.to_thread(self._command.ready_in_log)

    @property
    def pid(self) -> int:
        """The process id: of a worker, that of its supervisor."""
        assert self._command is not None
        return self._command.process.pid

    def children(self) -> list[int]:
        """Return the worker's children."""
        return children_of(self.pid)

    def kill(self) -> None:
        """SIGKILL the process. Its children, if any, end by themselves."""
        assert self._command is not None
        self._command.kill()

    async def stop(self) -> int:
        """End it in order and return the exit status."""
        assert self._command is not None
        return await asyncio.to_thread(self._command.stop)

    async def close(self) -> None:
        """Kill what still runs."""
        if self._command is not None:
            (self._system.folder / f"{self.role}-{self.pid}.log").write_text(self.log)
            for pid in [*self.children(), self.pid]:
                kill(pid)
            with self._command:
                pass

    @property
    def log(self) -> str:
        """What it logged since its last start."""
        assert self._command is not None
        return self._command.err


class System(ABC):
    """Gateways and workers. A subclass starts their Redis, and says where it is."""

    def __init__(
        self, folder: Path, *, gateways: int = 2, workers: int = 3, durability: str = "standard"
    ) -> None:
        self.folder, self.durability = folder, durability
        self.history, self.runs = folder / "history", folder / "runs"
        self.file = folder / "endpoint.yaml"
        self.gaps: list[Gap] = []
        self.events = EventReceiver()
        self._counts = gateways, workers
        self.concurrency = 8
        self.deliveries = ""
        self.gateways: list[Role] = []
        self.workers: list[Role] = []
        self.urls: list[str] = []

    @abstractmethod
    async def start_redis(self) -> None:
        """Start Redis."""

    @abstractmethod
    async def url_for(self, role: Role) -> str:
        """Return the URL of Redis that a process is given."""

    @abstractmethod
    def backend(self) -> RedisBackend:
        """Return the store and a connection to the server that has it."""

    @abstractmethod
    async def close_redis(self) -> None:
        """End Redis."""

    async def __aenter__(self) -> Self:
        """Start everything."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.history.mkdir(exist_ok=True)
        self.runs.touch()
        await self.events.start()
        (self.folder / "secret").write_text(self.events.secret)
        self.file.write_text(
            yaml.safe_dump(document(self.durability, self.events.port, self.concurrency))
        )
        (self.folder / "fault_jobs.py").write_text((JOBS / "fault_jobs.py").read_text())
        await self.start_redis()
        gateways, workers = self._counts
        self.workers = [Role(self, "worker") for _ in range(workers)]
        for role in self.workers:
            await role.start()
        while len(self.gateways) < gateways:
            await self._start_gateway()
        return self

    async def _start_gateway(self) -> None:
        """Start a gateway on a port that it can be started on again; once more if it is taken."""
        port = free_port()
        gateway = Role(self, "gateway", "--port", str(port), "--admin-port", "0")
        await gateway.start()
        try:
            await gateway.listens()
        except AssertionError:
            if "the port is taken" not in gateway.log:
                raise
            await gateway.close()
        else:
            self.gateways.append(gateway)
            self.urls.append(f"http://127.0.0.1:{port}")

    @property
    def roles(self) -> list[Role]:
        """All processes."""
        return [*self.gateways, *self.workers]

    def any_worker(self, chance: random.Random) -> Role:
        """Choose a worker."""
        return chance.choice(self.workers)

    def any_child(self, chance: random.Random) -> int | None:
        """Choose a process that runs handlers, if one does at the moment."""
        children = self.any_worker(chance).children()
        return chance.choice(children) if children else None

    async def final(self, seconds: float) -> Final:
        """Wait until every job is final, nothing is held and every webhook was delivered; return
        everything that is stored.
        """
        backend = self.backend()
        store = backend.redis_store
        try:
            await store.open()
            await end_schedules(store)
            await self._all_final(store, seconds)
            await self._all_delivered(store, seconds)
            await self._note_deliveries(store)
            await check_figures(backend)
            found = await stored(store)
            return replace(found, delivered=self.events.received, silent=frozenset({BULK}))
        finally:
            await backend.close()

    async def _all_delivered(self, store: Store, seconds: float) -> None:
        """Wait until no delivery is pending; after `seconds` the checker names what is missing."""
        end = time.monotonic() + seconds
        status = await store.webhook_status()
        while status.pending and time.monotonic() < end:
            await asyncio.sleep(0.2)
            status = await store.webhook_status()

    async def _note_deliveries(self, store: Store) -> None:
        """Note what became of the deliveries, for where the checker names what is missing."""
        status, totals = await store.webhook_status(), (await store.stats()).totals
        ends = [f"{totals.get(f'webhooks_{end}', 0)} {end}" for end in DELIVERY_ENDS]
        self.deliveries = f"deliveries: {', '.join(ends)}, {status.pending} pending"

    async def _all_final(self, store: Store, seconds: float) -> None:
        """Wait until every job is final; AssertionError with the logs if none becomes final for
        `seconds`.
        """
        stats = await store.stats()
        end, most = time.monotonic() + seconds, 0
        while stats.held or any(stats.counts.get(state) for state in State if state not in FINAL):
            done = sum(stats.counts.get(state, 0) for state in FINAL)
            if done > most:
                end, most = time.monotonic() + seconds, done
            if time.monotonic() > end:
                logs = "\n".join(f"-- {role.role}\n{role.log[-3000:]}" for role in self.roles)
                raise AssertionError(f"jobs never became final: {stats}\n{logs}")
            await asyncio.sleep(0.2)
            stats = await store.stats()

    async def __aexit__(self, *_: object) -> None:
        """End everything."""
        for role in self.roles:
            await role.close()
        await self.close_redis()
        await self.events.close()
        remove_leftovers()


async def end_schedules(store: Store) -> None:
    """Let no schedule create jobs any more: a scan of many jobs takes longer than a minute."""
    policy = await store.configure(Policy(), overwrite=False)
    await store.configure(msgspec.structs.replace(policy, schedules={}))


async def stored(store: Store) -> Final:
    """Return everything that a store has of the jobs, all of which are final."""
    jobs: list[Job] = []
    cursor = None
    while True:
        page = await store.list(None, 500, cursor)
        jobs += page.jobs
        cursor = page.cursor
        if cursor is None:
            return Final.of(jobs, (await store.stats()).held)
