"""`asyncendpoints worker`: one worker of one endpoint, under its own supervisor."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from asyncendpoints_cli.files import load_one
from asyncendpoints_cli.roles import read_settings, require_redis
from asyncendpoints_cli.run.handlers import load_handlers
from asyncendpoints_worker.supervisor.supervisor import run_supervisor

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from asyncendpoints_worker.metrics import Snapshot


def execute(options: Namespace) -> int:
    """Run until SIGTERM or Ctrl-C."""
    settings = read_settings(options)
    loaded = load_one(settings.endpoint_file)
    require_redis(settings, "worker")
    folder = Path(options.folder) if options.folder else loaded.file.resolve().parent
    if options.end_with is not None:
        _end_with(options.end_with)
    if options.check:
        load_handlers(loaded.endpoint, folder)
        return 0
    publish = _keep_in(Path(options.figures)) if options.figures else None
    return run_supervisor(loaded.endpoint, settings, folders=[folder], publish_metrics=publish)


def _end_with(descriptor: int) -> None:
    """Drain when the other end of a pipe closes: `run` has ended, whatever ended it."""
    os.set_inheritable(descriptor, False)

    def watch() -> None:
        while os.read(descriptor, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="end-with", daemon=True).start()


def _keep_in(file: Path) -> Callable[[Snapshot], None]:
    """Keep the latest figures in a file that `run` reads at each scrape."""
    fresh = file.with_suffix(".new")

    def keep(snapshot: Snapshot) -> None:
        with contextlib.suppress(OSError):  # `run` is gone, and its folder: nobody reads them
            fresh.write_bytes(msgspec.msgpack.encode(snapshot))
            fresh.replace(file)

    return keep
