"""What a role leaves behind does not keep its process from ending."""

import subprocess
import sys

import pytest

# As a look-up of a name does that no server answers, but for ever.
PROGRAM = """
import asyncio, threading
from asyncendpoints_core.common.event_loop import run_loop

async def main() -> int:
    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    print("done")
    return 3

run_loop(main(), fast={fast})
"""


@pytest.mark.parametrize("fast", [True, False])
def test_a_thread_that_never_ends_is_left_behind(fast: bool) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(fast=fast)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "done\n", "")
