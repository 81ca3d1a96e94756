"""`asyncendpoints operator`: watches, takes part in the election, and leads when it is elected."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector

from asyncendpoints_core.common.admin_server import DEFAULT_PORT, AdminServer
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.resource import GROUP, KIND, VERSION
from asyncendpoints_operator.control.leader import Leader
from asyncendpoints_operator.desired.naming import Platform
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import PLURALS, Ref, Refused, Unreachable, connect
from asyncendpoints_operator.kube.election import Leadership, LeaseTimes
from asyncendpoints_operator.kube.watch import OURS, Watcher, watched
from asyncendpoints_operator.main.metrics import OperatorCollector

if TYPE_CHECKING:
    from argparse import Namespace

    from asyncendpoints_operator.kube.client import Cluster

log = logging.getLogger("asyncendpoints.operator")

_WAIT_SECONDS: Final = 2.0
_INTERRUPTED: Final = 130
_UNSET: Final = Settings().installation_id
_GATEWAY_API: Final = ("gateway.networking.k8s.io", "v1", "httproutes")


def run(options: Namespace) -> int:
    """Run until SIGTERM or Ctrl-C; `options` has `settings`, `kubeconfig` and `context`."""
    return asyncio.run(_run(options))


async def _run(options: Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        loop.add_signal_handler(signal.SIGINT, os._exit, _INTERRUPTED)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    cluster = await connect(options.kubeconfig or "", options.context or "")
    settings = await _identified(_named(options.settings), cluster)
    operator = Operator(settings, cluster)
    work = asyncio.create_task(operator.run())
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        return 0
    finally:
        for task in (work, stopped):
            task.cancel()
        await asyncio.gather(work, stopped, return_exceptions=True)
        await cluster.close()


def _named(settings: Settings) -> Settings:
    if settings.operator_identity:
        return settings
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"[-63:]
    return replace(settings, operator_identity=name.lstrip("-."))


async def _identified(settings: Settings, cluster: Cluster) -> Settings:
    """Give the installation its id where none was set: the same that the chart finds."""
    if settings.installation_id != _UNSET:
        return settings
    try:
        found = await cluster.get(Ref("v1", "Namespace", "", "kube-system"))
    except (Unreachable, Refused) as error:
        raise UsageError(f"set ASYNCENDPOINTS_INSTALLATION_ID: {error}") from None
    return replace(settings, installation_id=found["metadata"]["uid"])


class Operator:
    """One replica: its cache and its part in the election."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self.settings, self.cluster = settings, cluster
        self.cache = Cache(self._wake)
        self.namespaces = tuple(
            name for name in (settings.watch_namespaces or "").replace(" ", "").split(",") if name
        )
        self.leader: Leader | None = None
        self.lease = Leadership(
            cluster.api,
            namespace=settings.operator_namespace,
            name=settings.lease_name,
            identity=settings.operator_identity or "",
            times=lease_times(settings.lease_seconds),
        )
        self.synced = False
        self._resync_now = asyncio.Event()
        self._optional = False

    async def run(self) -> None:
        """Run until cancelled."""
        admin = self._admin_server()
        await admin.start()
        watcher: Watcher | None = None
        try:
            await self._wait_for_crd()
            self._optional = await self.cluster.serves(*_GATEWAY_API)
            watcher = Watcher(
                self.cluster,
                self.namespaces,
                self.cache.put,
                self.cache.remove,
                self._resync_now.set,
                optional=self._optional,
            )
            watcher.start()
            await self._resync_until_done()
            self.synced = True
            async with asyncio.TaskGroup() as group:
                group.create_task(self._resync_often())
                group.create_task(self.lease.run(self._lead))
        finally:
            self.synced = False
            if watcher is not None:
                await watcher.stop()
            await admin.stop()

    def _admin_server(self) -> AdminServer:
        """Ready once everything was listed, so that this replica can lead when it is elected."""
        settings, metrics = self.settings, CollectorRegistry()
        ProcessCollector(registry=metrics)
        metrics.register(
            OperatorCollector(self.cluster, self.cache, self.lease, lambda: self.leader)
        )
        return AdminServer(
            settings.admin_host or "127.0.0.1",
            DEFAULT_PORT if settings.admin_port is None else settings.admin_port,
            metrics,
            lambda: "" if self.synced else "not ready: the first listing has not finished",
        )

    async def _lead(self) -> None:
        platform = platform_of(self.settings)
        self.leader = Leader(self.settings, platform, self.cluster, self.cache, self.lease)
        try:
            await self.leader.run()
        finally:
            self.leader = None

    def _wake(self, key: str) -> None:
        if self.leader is not None:
            self.leader.term.keys.add(key)

    async def _wait_for_crd(self) -> None:
        told = False
        while True:
            try:
                if await self.cluster.serves(GROUP, VERSION, PLURALS[KIND]):
                    return
                reason = "the API server does not know AsyncEndpoints yet: apply the CRD"
            except (Unreachable, Refused) as error:
                reason = str(error)
            if not told:
                log.warning("waiting: %s", reason)
                told = True
            await asyncio.sleep(_WAIT_SECONDS)

    async def resync(self) -> None:
        """List everything, and make the cache what the lists say. Raises Unreachable, Refused."""
        for group, version, kind in watched(self._optional):
            api_version = f"{group}/{version}" if group else version
            selector = "" if kind == KIND else OURS
            for namespace in self.namespaces or (None,):
                self.cache.begin()
                listed = [
                    item async for item in self.cluster.list(api_version, kind, namespace, selector)
                ]
                for item in listed:
                    if kind != KIND:
                        item["metadata"].pop("managedFields", None)
                self.cache.replace(kind, listed, namespace)

    async def _resync_until_done(self) -> None:
        while True:
            try:
                await self.resync()
                return
            except (Unreachable, Refused) as error:
                log.warning("nothing can be listed yet: %s", error)
                await asyncio.sleep(_WAIT_SECONDS)

    async def _resync_often(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.settings.resync_seconds):
                    await self._resync_now.wait()
            self._resync_now.clear()
            with contextlib.suppress(Unreachable, Refused):
                await self.resync()
                if self.leader is not None:
                    for key in self.cache.endpoints():
                        self.leader.term.keys.add(key)


def lease_times(seconds: float) -> LeaseTimes:
    """Return the times of an election whose lease lasts so long."""
    return LeaseTimes(
        duration=seconds, deadline=0.6 * seconds, period=0.2 * seconds, call=0.2 * seconds
    )


def platform_of(settings: Settings) -> Platform:
    """Return what all endpoints share."""
    return Platform(
        gateway_image=settings.gateway_image,
        worker_image=settings.worker_image,
        installation=settings.installation_id,
        image_pull_policy=settings.image_pull_policy,
        log_level=settings.log_level,
        listen_host=settings.pod_listen_host,
        metrics_from=settings.metrics_from,
    )
