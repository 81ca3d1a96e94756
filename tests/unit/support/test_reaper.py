"""The reaper kills what is still watched, whatever was forgotten meanwhile."""

import subprocess

from support.worker.reaper import Reaper

TIMES = 60


def test_a_process_is_forgotten_once_however_often_that_is_said() -> None:
    watched = [subprocess.Popen(["sleep", "600"]) for _ in range(3)]
    first, ended, last = watched
    reaper = Reaper()
    for process in watched:
        reaper.watch(process.pid)
    for _ in range(TIMES):  # a list that doubled with each would never be read to its end
        reaper.forget(ended.pid)
        reaper.forget(0)
    reaper.close()
    assert (first.wait(), last.wait()) == (-9, -9)
    assert ended.poll() is None
    ended.kill()
    ended.wait()
