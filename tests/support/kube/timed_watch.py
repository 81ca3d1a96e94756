"""A watch by kubectl that notes when each line came."""

import subprocess
import threading
import time

from support.kube.provider.client import Cluster


class TimedWatch:
    """What `kubectl get … --watch` prints by a JSONPath template, a line for each change.

    `lines`: each with when it came (s, monotonic).
    """

    def __init__(self, cluster: Cluster, namespace: str, *what: str, template: str) -> None:
        words = ["kubectl", "get", *what, "--namespace", namespace, "--watch"]
        self._process = subprocess.Popen(
            [*words, "-o", f"jsonpath={template}{{'\\n'}}"],
            env=cluster.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[tuple[float, str]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append((time.monotonic(), line.strip()))

    def close(self) -> None:
        """End the watch."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()
