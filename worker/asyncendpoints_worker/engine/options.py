"""What differs between the processes that run an engine."""

from collections.abc import Callable
from dataclasses import dataclass
from random import random

from asyncendpoints_core.process.tracing import Tracing
from asyncendpoints_core.resource.worker import LogsSpec
from asyncendpoints_worker.engine.run_status import RunStatusPage


@dataclass(frozen=True, slots=True)
class Options:
    """How attempts are run.

    With a `status_page`, a supervisor ends the process for attempts that do not end; without one
    they are settled and keep their slot. `missing_is_final`: a job without a handler fails instead
    of being left to other workers. `logs`: what handlers log is kept with their jobs. `random`
    returns uniform numbers in [0, 1), for the jitter of retries and waits.
    """

    status_page: RunStatusPage | None = None
    missing_is_final: bool = False
    tracing: Tracing | None = None
    logs: LogsSpec | None = None
    random: Callable[[], float] = random
