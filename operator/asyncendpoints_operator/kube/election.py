"""Leader election with a Lease object.

The client library's election is not used: after an exception while renewing, its leader continues
forever. Here, time is monotonic, every call has a timeout below the renew deadline, and the
leader's work is cancelled before another replica can acquire the lease.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import ClientError

from asyncendpoints_core.errors import AsyncEndpointsError
from asyncendpoints_operator.kube.kubernetes_aio import ApiException, client

log = logging.getLogger("asyncendpoints.operator")

_CONFLICT = 409
_NOT_FOUND = 404


class NotLeader(AsyncEndpointsError):
    """This replica may no longer hold the lease and must not write."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds. A standby takes over `duration` after the last renewal that it observed; the leader
    stops its work at `deadline`, well before that.
    """

    duration: float
    deadline: float
    period: float
    call: float


class Leadership:
    """Takes part in the election, and guards every write of the leader."""

    def __init__(
        self,
        api: client.ApiClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes,
    ) -> None:
        self._leases = client.CoordinationV1Api(api)
        self._namespace, self._name, self._identity = namespace, name, identity
        self._times = times
        self._renewed: float | None = None  # monotonic time of the last renewal request
        self._observed: tuple[str, float] | None = None  # another's lease: version, first seen at
        self._own: client.V1Lease | None = None  # as last written, so that renewing needs no read
        self._warned = False
        self._reached = time.monotonic()
        self.epoch = 0
        self.requests = 0  # number of API calls, for /metrics

    @property
    def leading(self) -> bool:
        """Whether the lease was renewed recently enough to allow writes."""
        renewed = self._renewed
        return renewed is not None and time.monotonic() - renewed < self._times.deadline

    @property
    def silent_seconds(self) -> float:
        """For how long the lease could neither be read nor written."""
        return time.monotonic() - self._reached

    def check(self) -> int:
        """Return the epoch, which increases with each change of leader; raises NotLeader."""
        if not self.leading:
            raise NotLeader("this operator no longer holds the lease")
        return self.epoch

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Take part until cancelled; run `work` while leading, again after each re-election.

        `work` is cancelled when the lease is lost; if it returns or raises, so does this.
        """
        try:
            while True:
                if await self._try():
                    log.info("leading", extra={"epoch": self.epoch})
                    await self._lead(work)
                    log.warning("no longer leading")
                await asyncio.sleep(self._times.period / 2)
        finally:
            await self._release()

    async def _lead(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(work())
        try:
            while self.leading:
                done, _ = await asyncio.wait({task}, timeout=self._times.period)
                if done:
                    await task
                    return
                if not await self._try() and self._renewed is None:
                    return  # another holds it
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _try(self) -> bool:
        """Acquire or renew once; False if another holds the lease or the API did not respond."""
        sent = time.monotonic()
        try:
            async with asyncio.timeout(self._times.call):
                held = await self._acquire()
        except (ApiException, ClientError, OSError, TimeoutError) as error:
            if not self._warned:
                log.warning("the lease could not be read or written: %s", _brief(error))
            self._warned = True
            return False
        self._warned, self._reached = False, sent
        self._renewed = sent if held else None
        return held

    async def _acquire(self) -> bool:
        if self._own is not None:
            return await self._write(self._own)
        self.requests += 1
        try:
            lease = await self._leases.read_namespaced_lease(self._name, self._namespace)
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise
            return await self._write(None)
        holder = lease.spec.holder_identity if lease.spec else None
        if holder and holder != self._identity and not self._stale(lease):
            return False
        return await self._write(lease)

    def _stale(self, lease: client.V1Lease) -> bool:
        """Whether another's lease was not renewed for its duration, by this process's clock."""
        version = str(lease.metadata and lease.metadata.resource_version)
        if self._observed is None or self._observed[0] != version:
            self._observed = (version, time.monotonic())
            return False
        duration = (lease.spec and lease.spec.lease_duration_seconds) or self._times.duration
        return time.monotonic() - self._observed[1] >= duration

    async def _write(self, lease: client.V1Lease | None) -> bool:
        """Write this replica as the holder; False if the lease changed since it was read."""
        now = datetime.now(UTC)
        old = lease.spec if lease is not None and lease.spec is not None else client.V1LeaseSpec()
        renewal = old.holder_identity == self._identity
        spec = client.V1LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=int(self._times.duration),
            acquire_time=old.acquire_time if renewal else now,
            renew_time=now,
            lease_transitions=(old.lease_transitions or 0) + (0 if renewal else 1),
        )
        meta = client.V1ObjectMeta(name=self._name, namespace=self._namespace)
        body = client.V1Lease(metadata=meta, spec=spec)
        self._own = None
        self.requests += 1
        try:
            if lease is None:
                written = await self._leases.create_namespaced_lease(self._namespace, body)
            else:
                meta.resource_version = lease.metadata.resource_version if lease.metadata else None
                written = await self._leases.replace_namespaced_lease(
                    self._name, self._namespace, body
                )
        except ApiException as error:
            if error.status == _CONFLICT:
                return False
            raise
        self._own = written
        self.epoch = spec.lease_transitions or 0
        return True

    async def _release(self) -> None:
        """Release the lease, so that a standby need not wait until it expires."""
        own, leading = self._own, self.leading
        self._own = self._renewed = None
        if own is None or own.spec is None or not leading:
            return
        own.spec.holder_identity = ""
        with contextlib.suppress(ApiException, ClientError, OSError, TimeoutError):
            async with asyncio.timeout(self._times.call):
                await self._leases.replace_namespaced_lease(self._name, self._namespace, own)


def _brief(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return f"{getattr(error, 'status', '')} {reason}".strip() if reason else repr(error)
