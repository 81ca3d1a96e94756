"""A policy as the fields of the hash `meta`, which scripts read by name."""

from __future__ import annotations

from typing import Any

import msgspec

from asyncendpoints_core.jobs.policy import Policy


def policy_fields(policy: Policy) -> list[bytes]:
    """Return a policy as the fields and values of the hash `meta`."""
    flat: list[bytes] = []
    for name, value in msgspec.structs.asdict(policy).items():
        if name == "schedules":
            pairs = (f"{schedule}={hash_}" for schedule, hash_ in sorted(value.items()))
            flat += (b"schedules", ",".join(pairs).encode())
        elif name == "limits":
            flat += (b"limits", b"" if value is None else msgspec.msgpack.encode(value))
        elif name == "webhook_jobs":
            flat += (b"webhook_jobs", ",".join(value).encode())
        elif name != "retry":
            flat += (name.encode(), str(value).encode())
    for name, value in msgspec.structs.asdict(policy.retry).items():
        flat += (name.encode(), str(value).encode())
    return flat


def read_policy(fields: dict[bytes, bytes]) -> Policy:
    """Return the policy that the fields of `meta` spell."""
    limits = fields.pop(b"limits")
    flat: dict[str, Any] = {name.decode(): value.decode() for name, value in fields.items()}
    flat["limits"] = msgspec.msgpack.decode(limits) if limits else None
    flat["retry"] = dict(flat)
    pairs = (pair.split("=") for pair in flat["schedules"].split(",") if pair)
    flat["schedules"] = {schedule: hash_ for schedule, hash_ in pairs}
    flat["webhook_jobs"] = [job for job in flat["webhook_jobs"].split(",") if job]
    return msgspec.convert(flat, Policy, strict=False)
