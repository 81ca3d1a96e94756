"""A durable connection from the host to a Service: `kubectl port-forward`, restarted if it ends."""

import os
import re
import subprocess
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from support.kube.provider.shell import ClusterError


class PortForward:
    """Keeps one local port forwarded to a Service for the `with` block.

    kubectl ties a forward to one pod and ends when that pod goes; it is then started again on
    the same local port, so the URL stays true.
    """

    def __init__(
        self, environment: Mapping[str, str], namespace: str, service: str, port: int
    ) -> None:
        self._environment = {**os.environ, **environment}
        self._command = ["kubectl", "port-forward", "--namespace", namespace, f"service/{service}"]
        self._remote = port
        self._local = 0
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._output = ""
        self._thread = threading.Thread(target=self._keep, name=f"forward-{service}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(60):
            self.__exit__(None, None, None)
            raise ClusterError(f"`{' '.join(self._command)}` does not come up: {self._output}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        if self._process is not None:
            self._process.kill()
        self._thread.join()

    @property
    def url(self) -> str:
        """The address on this host, without a trailing slash."""
        return f"http://127.0.0.1:{self._local}"

    def _keep(self) -> None:
        while not self._stopping.is_set():
            ports = f"{self._local or ''}:{self._remote}"
            with subprocess.Popen(
                [*self._command, ports],
                env=self._environment,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            ) as process:
                self._process = process
                if self._stopping.is_set():
                    process.kill()
                assert process.stdout is not None
                for line in process.stdout:
                    self._read(line)
            self._stopping.wait(0.2)

    def _read(self, line: str) -> None:
        found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ", line)
        if found:
            self._local = int(found[1])
            self._ready.set()
        elif "lost connection" in line and self._process is not None:
            # kubectl keeps running, useless, after its pod is gone.
            self._process.kill()
        else:
            self._output = line.strip()
