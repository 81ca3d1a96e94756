"""The kinds of Redis of a soak, each with the faults that can be injected there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults import failovers, process_faults, single_faults
from faults.catalog import Fault
from faults.failovers import ClusterSystem, SentinelSystem, StrictSystem
from faults.single import SingleSystem
from faults.system import System


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of Redis. `strict`: no accepted job may be lost, not even in a failover."""

    system: Callable[[Path], System]
    faults: dict[str, Fault[Any]]
    strict: bool = True


_BEHIND_SENTINEL = {**process_faults.FAULTS, **failovers.SENTINEL_FAULTS}
KINDS = {
    "single": Kind(SingleSystem, {**process_faults.FAULTS, **single_faults.FAULTS}),
    "sentinel": Kind(SentinelSystem, _BEHIND_SENTINEL, strict=False),
    "strict": Kind(StrictSystem, _BEHIND_SENTINEL),
    "cluster": Kind(
        ClusterSystem, {**process_faults.FAULTS, **failovers.CLUSTER_FAULTS}, strict=False
    ),
}
