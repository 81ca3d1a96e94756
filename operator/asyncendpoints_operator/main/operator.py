"""`asyncendpoints operator`: watches the cluster, takes part in the election, and leads."""

import asyncio
import logging
import os
import secrets
import signal
import socket
from argparse import Namespace
from dataclasses import replace
from typing import Final

from prometheus_client import CollectorRegistry

from asyncendpoints_core.common.admin_server import DEFAULT_PORT, AdminServer
from asyncendpoints_core.common.event_loop import run_loop
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_operator.control.leader import Leader
from asyncendpoints_operator.desired.naming import Platform
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import Cluster, Ref, Refused, Unreachable, connect
from asyncendpoints_operator.kube.election import Leadership, LeaseTimes
from asyncendpoints_operator.kube.tls_buffers import limit_tls_buffers
from asyncendpoints_operator.kube.workqueue import WorkQueue
from asyncendpoints_operator.main.cluster_sync import ClusterSync
from asyncendpoints_operator.main.metrics import OperatorCollector, OperatorFigures

log = logging.getLogger("asyncendpoints.operator")

_INTERRUPTED: Final = 130
_BLIND_SECONDS: Final = 60.0
"""A replica to which the API server answers nothing for that long is not ready."""
_UNSET: Final = Settings().installation_id


def run(options: Namespace) -> int:
    """Run until SIGTERM or Ctrl-C; `options` has `settings`, `kubeconfig` and `context`."""
    limit_tls_buffers()
    return run_loop(_run(options), fast=False)


async def _run(options: Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        loop.add_signal_handler(signal.SIGINT, os._exit, _INTERRUPTED)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    cluster = await connect(options.kubeconfig or "", options.context or "")
    settings = await _with_installation(_with_identity(options.settings), cluster)
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


def _with_identity(settings: Settings) -> Settings:
    if settings.operator_identity:
        return settings
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"[-63:]
    return replace(settings, operator_identity=name.lstrip("-."))


async def _with_installation(settings: Settings, cluster: Cluster) -> Settings:
    """Set the installation's id if it is not set: the same that the chart finds."""
    if settings.installation_id != _UNSET:
        return settings
    try:
        found = await cluster.get(Ref("v1", "Namespace", "", "kube-system"))
    except (Unreachable, Refused) as error:
        raise UsageError(f"set ASYNCENDPOINTS_INSTALLATION_ID: {error}") from None
    return replace(settings, installation_id=found["metadata"]["uid"])


class Operator:
    """One replica: its cache, its part in the election, and its work while it leads."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._settings = settings
        self._lease = Leadership(
            cluster.api,
            namespace=settings.operator_namespace,
            name=settings.lease_name,
            identity=settings.operator_identity or "",
            times=lease_times(settings.lease_seconds),
        )
        self._cluster = Cluster(cluster.api, self._lease.check)  # writes only while it leads
        self._workqueue = WorkQueue()
        self._cache = Cache(self._workqueue.add)
        namespaces = (settings.watch_namespaces or "").replace(" ", "").split(",")
        self._sync = ClusterSync(
            self._cluster,
            self._cache,
            self._workqueue.add,
            tuple(filter(None, namespaces)),
            settings.resync_seconds,
        )
        self._leader: Leader | None = None
        self._synced = False

    async def run(self) -> None:
        """Run until cancelled."""
        admin = self._admin_server()
        await admin.start()
        try:
            async with self._sync.watching():
                self._synced = True
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._sync.run())
                    group.create_task(self._lease.run(self._lead))
        finally:
            self._synced = False
            await admin.stop()

    def _admin_server(self) -> AdminServer:
        """Serve the health checks and metrics."""
        settings, metrics = self._settings, CollectorRegistry()
        metrics.register(OperatorCollector(self._figures))
        return AdminServer(
            settings.admin_host or "127.0.0.1",
            DEFAULT_PORT if settings.admin_port is None else settings.admin_port,
            metrics,
            self._problem,
        )

    def _problem(self) -> str:
        """Return why this replica could not lead now, "" if it could."""
        if not self._synced:
            return "not ready: the first listing has not finished"
        for what, seconds in (
            ("the Lease cannot be read or written", self._lease.silent_seconds),
            ("nothing can be listed", self._sync.readable.blind_seconds),
        ):
            if seconds >= _BLIND_SECONDS:
                return f"not ready: {what} for {seconds:.0f} s"
        for key, operator in (self._leader.served_by_others if self._leader else {}).items():
            return f"not ready: {key} is served by operator {operator} of the same class"
        return ""

    def _figures(self) -> OperatorFigures:
        return OperatorFigures(
            leading=self._lease.leading,
            api_requests=self._cluster.requests + self._lease.requests,
            api_silent_seconds=max(self._lease.silent_seconds, self._sync.readable.blind_seconds),
            unreadable=self._sync.readable.unreadable,
            cached_objects=len(self._cache),
            queue_depth=len(self._workqueue),
            leader=None if self._leader is None else self._leader.figures(),
        )

    async def _lead(self) -> None:
        platform = platform_of(self._settings)
        self._leader = Leader(
            self._settings, platform, self._cluster, self._cache, self._lease, self._workqueue
        )
        try:
            await self._leader.run()
        finally:
            self._leader = None


def lease_times(seconds: float) -> LeaseTimes:
    """Return the times of an election whose lease lasts `seconds`."""
    return LeaseTimes(
        duration=seconds, deadline=0.6 * seconds, period=0.2 * seconds, call=0.2 * seconds
    )


def platform_of(settings: Settings) -> Platform:
    """Return the settings that all endpoints share."""
    return Platform(
        gateway_image=settings.gateway_image,
        worker_image=settings.worker_image,
        installation=settings.installation_id,
        image_pull_policy=settings.image_pull_policy,
        log_level=settings.log_level,
        listen_host=settings.pod_listen_host,
        metrics_from=settings.metrics_from,
        webhook_environment=webhook_environment(settings),
    )


def webhook_environment(settings: Settings) -> dict[str, str]:
    """Return the settings for webhooks that are not the default, as a gateway's variables."""
    defaults = Settings()
    values = {
        "ALLOW_PRIVATE_CIDRS": (settings.webhook_allow_private_cidrs, ()),
        "DENY_CIDRS": (settings.webhook_deny_cidrs, ()),
        "PORTS": (settings.webhook_ports, ()),
        "PROXY": (settings.webhook_proxy, None),
        "CA_BUNDLE": (settings.webhook_ca_bundle, None),
        "MAX_PENDING": (settings.webhook_max_pending, defaults.webhook_max_pending),
    }
    return {
        f"ASYNCENDPOINTS_WEBHOOK_{name}": ",".join(map(str, value))
        if isinstance(value, tuple)
        else str(value)
        for name, (value, default) in values.items()
        if value != default
    }
