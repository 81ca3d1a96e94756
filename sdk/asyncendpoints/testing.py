"""Tests of handlers and endpoints in one process: no server, no Redis, no waiting.

`run_job` runs one attempt of a handler. `running` runs a whole endpoint in memory, with a client
(`pip install 'asyncendpoints[testing]'`). A `Clock` moves its time: retries, delays and timeouts
happen when the test says so.
"""

from asyncendpoints._testing.app import App, running
from asyncendpoints._testing.clock import Clock
from asyncendpoints._testing.job_run import EnqueuedJob, JobRun, run_job
from asyncendpoints._testing.waits import ClockStopped

__all__ = ["App", "Clock", "ClockStopped", "EnqueuedJob", "JobRun", "run_job", "running"]
