"""A small process that kills what handlers have started when the process that ran them has ended,
however it ended (Linux).
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

from asyncendpoints_worker.supervisor import reaper


def start_tag_reaper(tag: str) -> None:
    """Kill processes with `tag` in their environment as soon as this process has ended.

    The first process of a container does not need it: the kernel kills all others with it.
    """
    if sys.platform != "linux" or os.getpid() == 1:
        return
    # This process alone holds the end for writing, until it ends.
    reading, _ = os.pipe()
    try:
        # This forks and ends, so that what stays is no child of this process.
        subprocess.run(  # noqa: S603  # our own module
            [sys.executable, "-I", "-S", reaper.__file__, str(reading), tag],
            pass_fds=(reading,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            check=False,
            env={name: text for name, text in os.environ.items() if name != reaper.VARIABLE},
        )
    finally:
        os.close(reading)


def tag_started_processes() -> None:
    """Make sure that what this process starts from now on ends with it; see `start_tag_reaper`."""
    tag = secrets.token_hex(4)
    start_tag_reaper(tag)
    os.environ[reaper.VARIABLE] = tag
