"""Ends the processes of a test run that was itself killed.

Fixtures stop what they start. When pytest dies by a signal they cannot, so a shell that outlives it
holds the list: its standard input closes with the death of pytest, and it kills what is left.
"""

import subprocess
import threading

_SCRIPT = """
pids=" "
while read -r verb pid; do
    case $verb in
        add) pids="$pids$pid " ;;
        drop)
            case $pids in
                *" $pid "*) pids="${pids%% $pid *} ${pids#* $pid }" ;;
            esac ;;
    esac
done
[ "$pids" = " " ] || kill -9 $pids 2>/dev/null
"""


class Reaper:
    """Kills the processes it watches when this one ends without having stopped them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shell: subprocess.Popen[str] | None = None

    def _send(self, line: str) -> None:
        with self._lock:
            if self._shell is None:
                # A session of its own: a Ctrl-C meant for pytest must not end it first.
                self._shell = subprocess.Popen(
                    ["sh", "-c", _SCRIPT], stdin=subprocess.PIPE, text=True, start_new_session=True
                )
            assert self._shell.stdin is not None
            self._shell.stdin.write(line + "\n")
            self._shell.stdin.flush()

    def watch(self, pid: int) -> None:
        """Kill `pid` should this process end before `forget(pid)`."""
        self._send(f"add {pid}")

    def forget(self, pid: int) -> None:
        """Stop watching `pid`: it has ended and was waited for."""
        self._send(f"drop {pid}")

    def close(self) -> None:
        """Kill what is still watched, and end."""
        with self._lock:
            if self._shell is not None:
                assert self._shell.stdin is not None
                self._shell.stdin.close()
                self._shell.wait()
                self._shell = None


reaper = Reaper()
