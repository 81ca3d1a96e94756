"""The command as the first process of a container, which the kernel treats in its own way."""

import os
import shutil
import subprocess
import sys

import pytest

# As the first process of new namespaces, told to end as soon as the command's package is there.
PROGRAM = """
import os, signal
import asyncendpoints_cli
assert os.getpid() == 1
os.kill(1, signal.SIGTERM)
print("went on")
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs the namespaces of Linux")
def test_sigterm_during_the_imports_of_the_first_process_is_not_lost() -> None:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    done = subprocess.run(
        ["unshare", *user, "--pid", "--fork", sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")
