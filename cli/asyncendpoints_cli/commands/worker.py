"""`asyncendpoints worker`: one worker of one endpoint, under its own supervisor."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from asyncendpoints_cli.errors import MISUSED, report
from asyncendpoints_cli.files import load_one
from asyncendpoints_cli.roles import read_settings, require_redis
from asyncendpoints_cli.run.handlers import load_handlers
from asyncendpoints_core.common.event_loop import run_loop
from asyncendpoints_core.errors import UsageError
from asyncendpoints_worker.supervisor.supervisor import run_supervisor
from asyncendpoints_worker.supervisor.tag_reaper import tag_started_processes

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_worker.metrics import Snapshot


def execute(options: Namespace) -> int:
    """Run until SIGTERM or Ctrl-C."""
    settings = read_settings(options, user_code=options.check)
    loaded = load_one(settings.endpoint_file)
    require_redis(settings, "worker")
    folder = Path(options.folder) if options.folder else loaded.folder
    if options.death_pipe is not None:
        _drain_at_end_of(options.death_pipe)
    if options.check:
        return _check(loaded.endpoint, folder)
    publish = _write_to(Path(options.metrics_file)) if options.metrics_file else None
    return run_supervisor(loaded.endpoint, settings, folders=[folder], publish_metrics=publish)


def _check(endpoint: AsyncEndpoint, folder: Path) -> int:
    """Import the handlers as a worker does: inside a running event loop."""

    async def load() -> int:
        try:
            load_handlers(endpoint, folder)
        except UsageError as error:
            return report(error, MISUSED)
        return 0

    tag_started_processes()
    status = run_loop(load())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads that the module has started must not keep the check from ending


def _drain_at_end_of(descriptor: int) -> None:
    """Drain when the other end of a pipe is closed: `run` has exited, or was killed."""
    os.set_inheritable(descriptor, False)

    def watch() -> None:
        while os.read(descriptor, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="death-pipe", daemon=True).start()


def _write_to(file: Path) -> Callable[[Snapshot], None]:
    """Return a function that writes metrics to a file, which `run` reads at each scrape."""
    new = file.with_suffix(".new")

    def write(snapshot: Snapshot) -> None:
        with contextlib.suppress(OSError):  # `run` has exited and removed the folder
            new.write_bytes(msgspec.msgpack.encode(snapshot))
            new.replace(file)

    return write
