"""The console of an endpoint in a cluster: its token by kubectl, and a port-forward to a pod."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
import subprocess
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.common.console import DATA_KEY, PORT, ROLES, secret_name
from asyncendpoints_core.common.faults import one_line
from asyncendpoints_core.errors import AsyncEndpointsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

FORWARD_SECONDS: Final = 20.0
KUBECTL_SECONDS: Final = 30.0
_FORWARDING: Final = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")


@dataclass(frozen=True, slots=True)
class ClusterTarget:
    """An endpoint in a cluster. None: kubectl's own context, its namespace, the only endpoint."""

    namespace: str | None = None
    endpoint: str | None = None
    context: str | None = None

    @contextlib.contextmanager
    def open(self) -> Iterator[tuple[str, str]]:
        """Keep a port-forward to a ready gateway pod; yields the console's URL and a token.

        Raises UsageError for what the user can correct, and AsyncEndpointsError.
        """
        name = self.endpoint or self._only_endpoint()
        token, pod = self._token(name), self._pod(name)
        with self._forward(pod) as port:
            yield f"http://127.0.0.1:{port}", token

    @property
    def location(self) -> str:
        """Where it is, for people."""
        context = f", context {self.context}" if self.context else ""
        return (f"namespace {self.namespace}" if self.namespace else "the current namespace") + (
            context or " of kubectl's context"
        )

    def _only_endpoint(self) -> str:
        names = [one["metadata"]["name"] for one in self._get("asyncendpoints")["items"]]
        if len(names) == 1:
            return str(names[0])
        if not names:
            raise UsageError(f"there is no AsyncEndpoint in {self.location}; choose it with -n")
        raise UsageError(f"several endpoints ({', '.join(names)}): choose one with -e")

    def _token(self, name: str) -> str:
        """Return the token of the role that allows most, of those whose Secret may be read."""
        reasons = []
        for role in reversed(ROLES):
            try:
                secret = self._get("secret", secret_name(name, role))
                token = base64.b64decode(secret["data"][DATA_KEY]).decode()
            except (AsyncEndpointsError, KeyError, binascii.Error, UnicodeDecodeError) as error:
                reasons.append(one_line(str(error)))
            else:
                return token
        raise AsyncEndpointsError(
            f"no token of the console of {name} in {self.location} can be read: "
            + "; ".join(dict.fromkeys(reasons))
        )

    def _pod(self, name: str) -> str:
        """Return a ready pod of the endpoint's gateway."""
        selector = f"app.kubernetes.io/instance={name},app.kubernetes.io/component=gateway"
        for pod in self._get("pods", "-l", selector)["items"]:
            conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions") or ()}
            if conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]:
                return str(pod["metadata"]["name"])
        raise AsyncEndpointsError(f"no gateway pod of {name} in {self.location} is ready")

    @contextlib.contextmanager
    def _forward(self, pod: str) -> Iterator[int]:
        """Forward a free port of this machine to the console of a pod; yields the port."""
        process = subprocess.Popen(  # noqa: S603 - no shell
            self._command("port-forward", f"pod/{pod}", f":{PORT}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is the command's
        )
        late = threading.Timer(FORWARD_SECONDS, process.kill)
        late.start()
        lines = iter(process.stdout or ())
        # kubectl prints a line for each connection, and must not wait for a reader.
        reader = threading.Thread(target=deque, args=(lines, 0), daemon=True)
        with process:
            try:
                port = _forwarded(lines, pod)
                late.cancel()
                reader.start()
                yield port
            finally:
                late.cancel()
                process.terminate()
                if reader.is_alive():
                    reader.join()

    def _get(self, *words: str) -> Any:
        """Return what `kubectl get` prints. Raises AsyncEndpointsError with its error."""
        command = self._command("get", *words, "-o", "json")
        try:
            done = subprocess.run(  # noqa: S603 - no shell
                command, capture_output=True, text=True, timeout=KUBECTL_SECONDS, check=False
            )
        except FileNotFoundError:
            raise UsageError(_NO_KUBECTL) from None
        except subprocess.TimeoutExpired:
            raise AsyncEndpointsError("the cluster did not answer kubectl in time") from None
        if done.returncode != 0:
            raise AsyncEndpointsError(one_line(done.stderr) or "kubectl failed")
        return json.loads(done.stdout)

    def _command(self, *words: str) -> list[str]:
        where = ["--context", self.context] if self.context else []
        where += ["--namespace", self.namespace] if self.namespace else []
        return ["kubectl", *where, *words]


_NO_KUBECTL: Final = "kubectl is not in PATH: https://kubernetes.io/docs/tasks/tools/"


def _forwarded(lines: Iterator[str], pod: str) -> int:
    """Return the port that kubectl says it forwards. Raises AsyncEndpointsError if it does not."""
    said = []
    for line in lines:
        if found := _FORWARDING.match(line):
            return int(found[1])
        said.append(line)
    why = one_line(" ".join(said)) or "kubectl did not answer"
    raise AsyncEndpointsError(f"no port-forward to pod {pod}: {why}")
