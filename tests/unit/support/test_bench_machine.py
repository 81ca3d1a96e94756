"""What `make bench` says about the machine, and its pictures."""

import re
import subprocess
import sys

from bench.machine import Others, bars


def test_the_time_of_processes_that_did_not_end_is_that_of_others() -> None:
    spin = "print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with Others() as others:
            process.stdout.readline()
            end = "import time; time.sleep(1)"
            subprocess.run([sys.executable, "-c", end], check=True)
        process.kill()
    assert 0 < others.share <= 1


def test_a_busy_machine_is_said() -> None:
    others = Others()
    others.share = 0.05
    assert others.warning is None
    others.share = 0.6
    assert others.warning == "spoiled by a busy machine: others used 60% of the processors"


def test_the_bars_are_as_long_as_their_values() -> None:
    svg = bars("a < b", [("ours", 30, "jobs/s"), ("theirs", 1.5, "jobs/s")])
    assert "a &lt; b" in svg
    assert "30 jobs/s" in svg
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="18"', svg)]
    assert widths == [290, 14.5]
