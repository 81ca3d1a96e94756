"""What a test does with a cluster: kubectl, helm, images, access to a Service."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from support.kube.provider import gotools, images
from support.kube.provider.forward import PortForward
from support.kube.provider.layout import cache_root
from support.kube.provider.session import Provider
from support.kube.provider.shell import ClusterError, run, wait_until

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


class Cluster:
    """A running cluster of any provider."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.kubeconfig = provider.kubeconfig
        self._tools = gotools.ensure(gotools.CLIENTS)

    @property
    def environment(self) -> dict[str, str]:
        """Variables for programs that talk to the cluster, kubectl and helm in their PATH."""
        helm = {
            f"HELM_{what}_HOME": str(cache_root() / "helm" / what.lower())
            for what in ("CACHE", "CONFIG", "DATA")
        }
        folders = [str(path.parent) for path in self._tools.values()]
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(cache_root() / "kubectl"),
            "PATH": os.pathsep.join([*folders, os.environ["PATH"]]),
            **helm,
        }

    def kubectl(self, *words: str, stdin: str | None = None, timeout: float = 180) -> str:
        """Run kubectl and return its stdout; CommandError contains the error output."""
        command: list[str | Path] = [self._tools["kubectl"], *words]
        return run(command, stdin=stdin, env=self.environment, timeout=timeout)

    def helm(self, *words: str, stdin: str | None = None, timeout: float = 600) -> str:
        """Run helm and return its stdout."""
        command: list[str | Path] = [self._tools["helm"], *words]
        return run(command, stdin=stdin, env=self.environment, timeout=timeout)

    def get(self, *words: str) -> dict[str, Any]:
        """`kubectl get WORDS -o json` as a dict."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *words, "-o", "json"))
        return found

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects (`kubectl apply`), in their order."""
        bundle = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(bundle))

    def wait(self, namespace: str, resource: str, condition: str, *, seconds: float = 120) -> None:
        """`kubectl wait`; a failure shows the state of the namespace."""
        options = ["--namespace", namespace, f"--for={condition}", f"--timeout={seconds:.0f}s"]
        try:
            self.kubectl("wait", resource, *options, timeout=seconds + 30)
        except ClusterError as error:
            raise ClusterError(f"{error}\n{self.diagnose(namespace)}") from error

    def rollout(self, namespace: str, resource: str, *, seconds: float = 120) -> None:
        """Wait until the rollout of a Deployment or StatefulSet (`deployment/NAME`) is complete."""
        options = ["--namespace", namespace, f"--timeout={seconds:.0f}s"]
        try:
            self.kubectl("rollout", "status", resource, *options, timeout=seconds + 30)
        except ClusterError as error:
            raise ClusterError(f"{error}\n{self.diagnose(namespace)}") from error

    def diagnose(self, namespace: str) -> str:
        """Pods, last events and last log lines of a namespace, for the message of a failure."""
        where = ["--namespace", namespace]
        pods = self.kubectl("get", "pods", "-o", "wide", *where)
        events = self.kubectl("get", "events", "--sort-by=.lastTimestamp", *where)
        said = [pods, *events.splitlines()[-20:]]
        for pod in self.get("pods", *where)["items"]:
            name = pod["metadata"]["name"]
            with contextlib.suppress(ClusterError):  # a pod that never started has no log
                said.append(f"== log of {name}")
                options = ["--all-containers", "--prefix", "--tail=12"]
                said.append(self.kubectl("logs", name, *options, *where))
        return "\n".join(said)

    def create_namespace(self, name: str, labels: Mapping[str, str] = RESTRICTED) -> str:
        """Create a namespace, its pods held to the `restricted` standard unless labelled otherwise.

        Returns its name once its default service account exists, without which pods are refused.
        """
        metadata = {"name": name, "labels": dict(labels)}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        account = ["get", "serviceaccount", "default", "--namespace", name, "--ignore-not-found"]
        what = f"the default service account of {name}"
        wait_until(what, lambda: bool(self.kubectl(*account)), seconds=30)
        return name

    @contextlib.contextmanager
    def namespace(self, prefix: str, labels: Mapping[str, str] = RESTRICTED) -> Iterator[str]:
        """A new namespace for the `with` block; its deletion is started, not awaited."""
        name = self.create_namespace(f"{prefix}-{time.time_ns() % 10**10:x}", labels)
        try:
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")

    def build_image(
        self,
        dockerfile: Path,
        tag: str,
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
        *,
        context: Path | None = None,
    ) -> str:
        """Build an image and return its tag, which should begin with `localhost/`.

        Where the builder has a base image of its own, a Dockerfile with `ARG BASE` gets it.
        """
        args = dict(build_args or {})
        if "BASE" not in args and "ARG BASE" in dockerfile.read_text():
            own_base = self.provider.builder.own_base()
            args |= {"BASE": own_base} if own_base else {}
        folder = context or images.default_context(dockerfile)
        return self.provider.builder.build(
            dockerfile, tag, context=folder, target=target, build_args=args
        )

    def publish_image(
        self,
        dockerfile: Path,
        repository: str,
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
        *,
        context: Path | None = None,
    ) -> str:
        """Build and load an image under a tag that differs when its content does.

        `repository` (`localhost/NAME`) becomes `localhost/NAME:ID`; returns what pods use. A pod
        template that names it changes exactly when the image did.
        """
        latest = f"{repository}:latest"
        self.build_image(dockerfile, latest, target, build_args, context=context)
        content = self.provider.builder.image_id(latest).removeprefix("sha256:")
        keyed = f"{repository}:{content[:12]}"
        self.provider.builder.tag(latest, keyed)
        return self.load_image(keyed)

    def load_image(self, tag: str) -> str:
        """Load a built image into the cluster; returns the name to use in pods."""
        return self.provider.load_image(tag)

    def base_image(self) -> str:
        """The Debian image with Python that everything is built on, loaded."""
        return self.load_image(self.provider.builder.ensure_base())

    def redis_image(self) -> str:
        """The tests' Redis image, built and loaded."""
        return self.load_image(images.build_redis(self.provider.builder))

    @contextlib.contextmanager
    def service_url(self, namespace: str, name: str, port: int) -> Iterator[str]:
        """A URL (no trailing slash) of a Service's port that holds for the `with` block.

        Where the host is on the cluster's network it is the Service's own address; elsewhere a
        port-forward, which is tied to one pod at a time and started anew when that pod goes.
        """
        where = ["--namespace", namespace]
        address = self.kubectl("get", "service", name, *where, "-o", "jsonpath={.spec.clusterIP}")
        if self.provider.direct and address not in ("", "None"):
            yield f"http://{address}:{port}"
            return
        with self.port_forward(namespace, name, port) as forward:
            yield forward.url

    def port_forward(self, namespace: str, service: str, port: int) -> PortForward:
        """A port-forward to a Service, to be used in a `with` block."""
        return PortForward(self.environment, namespace, service, port)
