"""The verbs of the owner of an endpoint: configure, suspend, pause, close, purge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.redis.policy_fields import policy_fields, read_policy

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.store.redis.caller import Caller
    from asyncendpoints_core.store.replies import Identity

# Bits in lua/lib/stoppers.lua.
SUSPENDED: Final = 1
PAUSED: Final = 2


class ControlVerbs:
    """Part of RedisStore."""

    _caller: Caller

    async def configure(
        self, policy: Policy, identity: Identity | None = None, *, overwrite: bool = True
    ) -> Policy:
        """Write the policy and whose keys these are; return the policy in force.

        Without its webhooks, keys and limits while a worker of a version that does not know them is
        registered.
        """
        featured = policy.webhooks or policy.limits is not None
        if overwrite and featured and not await self._caller.use_features():
            policy = msgspec.structs.replace(policy, webhooks=0, webhook_states=0, limits=None)
        owner = (identity.installation, identity.uid) if identity else ("", "")
        fields = policy_fields(policy)
        flag = b"1" if overwrite else b"0"
        word, *values = await self._caller.run(
            "configure", flag, owner[0].encode(), owner[1].encode(), *fields
        )
        if word == b"other":
            installation, uid = (value.decode() for value in values)
            raise StoreError(f"the store belongs to {installation} {uid}, not to {' '.join(owner)}")
        found = dict(zip(fields[::2], values, strict=True))
        in_force = read_policy(found)
        self._caller.policy = in_force
        if not overwrite and in_force.limits is not None:
            await self._caller.use_features()
        return in_force

    async def suspend(self, suspended: bool) -> None:
        await self._caller.run("pause" if suspended else "resume", b"%d" % SUSPENDED)

    async def pause(self, job: str = "") -> None:
        if job:
            await self._caller.execute("pause_job", job.encode(), featured=True)
        else:
            await self._caller.run("pause", b"%d" % PAUSED)

    async def resume(self, job: str = "") -> None:
        if job:
            await self._caller.run("resume_job", job.encode())
        else:
            await self._caller.run("resume", b"%d" % PAUSED)

    async def close_queue(self) -> None:
        await self._caller.run("close_queue")

    async def reopen_queue(self) -> None:
        await self._caller.run("reopen_queue")

    async def purge(self) -> bool:
        if not await self._caller.run("purge"):
            raise StoreError("only a closed queue can be purged")
        return True
