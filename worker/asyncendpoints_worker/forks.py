"""What a process that user code forks must not share with this one: its signal handlers, its
sockets and event loop, and a life of its own when this one has ended.

multiprocessing, process pools and data loaders fork without exec, so they would copy all of it. A
copied wakeup descriptor, for example, reports a signal of the child in the parent.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


def isolate_forks() -> None:
    """From now on, separate every process that this one forks; call it once, before user code.

    Descriptors that are open now are taken for this process's own, as are those that its event
    loop watches at the time of the fork (Linux), and the connections to its ports.
    """
    isolation = ForkIsolation(own_descriptors())
    os.register_at_fork(
        before=isolation.hold_signals,
        after_in_parent=isolation.release_signals,
        after_in_child=isolation.apply,
    )


class ForkIsolation:
    """Separates forked processes from this one."""

    def __init__(self, descriptors: Iterable[int]) -> None:
        """Prepare; `descriptors` are this process's own."""
        self._descriptors = list(descriptors)
        self._handlers = {number: signal.getsignal(number) for number in SIGNALS}
        self._applied = False
        self._of_thread = threading.local()
        # This process alone holds the end for writing, so the other end reports when it ends.
        self._alive, self._held = os.pipe()

    def hold_signals(self) -> None:
        """Block signals during a fork: one that the new process gets at once must find its own
        handlers.
        """
        self._of_thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def release_signals(self) -> None:
        """End `hold_signals`."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._of_thread.mask)

    def apply(self) -> None:
        """Separate this process, which has just been forked."""
        if not self._applied:  # in what a forked process forks, these are no longer ours
            self._applied = True
            self._reset_signals()
            self._replace_descriptors()
        self.release_signals()
        _thread.start_new_thread(self._end_with_parent, ())

    def _reset_signals(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            # None: a handler that was not installed from Python, such as an event loop's.
            if signal.getsignal(number) in (handler, None):
                interrupt = number == signal.SIGINT
                signal.signal(number, signal.default_int_handler if interrupt else signal.SIG_DFL)

    def _replace_descriptors(self) -> None:
        """Make them refer to the null device. Closed, their numbers would be used again, and
        objects of the parent that are still in memory would close the new files.
        """
        null = os.open(os.devnull, os.O_RDWR)
        own = {*self._descriptors, *watched_by(self._descriptors), self._held}
        for descriptor in (own | accepted_by(own)) - {self._alive}:
            with contextlib.suppress(OSError):
                os.dup2(null, descriptor, inheritable=False)
        os.close(null)

    def _end_with_parent(self) -> None:
        while os.read(self._alive, 1):
            pass
        os.kill(os.getpid(), signal.SIGKILL)


def own_descriptors() -> list[int]:
    """Return the open descriptors that were created here, not inherited."""
    found = []
    for descriptor in open_descriptors():
        with contextlib.suppress(OSError):
            if not os.get_inheritable(descriptor):
                found.append(descriptor)
    return found


def open_descriptors() -> list[int]:
    """Return all open descriptors except standard input, output and error."""
    return [int(name) for name in os.listdir("/dev/fd") if int(name) > 2]


def watched_by(descriptors: Iterable[int]) -> set[int]:
    """Return what the epoll instances among `descriptors` watch: the sockets of event loops."""
    found = set()
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
                if line.startswith("tfd:"):
                    found.add(int(line.split()[1]))
    return found


def accepted_by(descriptors: Iterable[int]) -> set[int]:
    """Return the connections to the listening sockets among `descriptors`. An event loop does not
    watch them all the time.
    """
    ports = {port for port, listening in map(_port_of, descriptors) if listening} - {0}
    return {each for each in open_descriptors() if _port_of(each)[0] in ports} if ports else set()


def _port_of(descriptor: int) -> tuple[int, bool]:
    """Return the local TCP port of a socket (0 for all else), and whether it is listening."""
    try:
        opened = socket.socket(fileno=descriptor)
    except OSError:
        return 0, False
    try:
        if opened.family not in (socket.AF_INET, socket.AF_INET6):
            return 0, False
        listening = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return opened.getsockname()[1], bool(listening)
    except OSError:
        return 0, False
    finally:
        opened.detach()
