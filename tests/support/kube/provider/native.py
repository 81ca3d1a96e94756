"""The native node: a whole cluster in one set of namespaces on this machine, without Docker."""

import json
import logging
import os
import shutil
import subprocess
import time
from pathlib import Path

from support.kube.provider import gotools, images, leftovers, network, nodeconfig, packages
from support.kube.provider.layout import NODE_FILES, exclusive, state_dir
from support.kube.provider.shell import ClusterError, run, wait_until

log = logging.getLogger("cluster")

API_SECONDS = 90.0
INIT = NODE_FILES / "init.sh"
# The node mounts its own folders over these, so none of its files can be there.
HIDDEN = ("/run", "/tmp", "/var/lib", "/var/log")
NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


class NativeProvider:
    """One node of the given name, by which all its resources on the host are found."""

    name = "native"
    direct = True

    def __init__(self, name: str) -> None:
        self.builder = images.Buildah()
        self._cluster = name
        self._cgroup = f"aep-{name}"
        self._state = state_dir(name)
        self._socket = self._state / "containerd.sock"
        self._fingerprint = self._state / "fingerprint"
        self.kubeconfig = self._state / "kubeconfig"

    def running(self) -> bool:
        """Whether the node runs, matches what start() would create now, and responds."""
        if not (self.kubeconfig.exists() and self._fingerprint.exists()):
            return False
        if self._fingerprint.read_text() != nodeconfig.fingerprint(gotools.ensure(gotools.NATIVE)):
            return False
        return bool(leftovers.node_processes(INIT, self._state)) and self._api_answers()

    def start(self) -> None:
        """Start the node and wait until it is Ready; call stop() first."""
        if os.geteuid() != 0:
            raise ClusterError("the native node needs root (namespaces, cgroups, mounts)")
        if any(self._state.is_relative_to(folder) for folder in HIDDEN):
            raise ClusterError(f"XDG_STATE_HOME: the node covers {', '.join(HIDDEN)} with its own")
        packages.ensure(packages.NODE)
        tools = gotools.ensure(gotools.NATIVE)
        images.build_pause(self.builder)
        started = time.monotonic()
        log.info("starting a native node")
        try:
            self._start(tools)
        except BaseException:
            log.exception("the node did not start; the ends of its logs:\n%s", self._logs())
            self.stop()
            raise
        log.info("the node is Ready after %.1f s", time.monotonic() - started)

    def load_image(self, tag: str) -> str:
        """Load a built image into the node, unless the node has the same content."""
        record = self._state / "loaded.json"
        with exclusive(f"load-{self._cluster}"):
            loaded = json.loads(record.read_text()) if record.exists() else {}
            content = self.builder.image_id(tag)
            if loaded.get(tag) == content:
                return tag
            started = time.monotonic()
            archive = self._state / "archives" / "image.tar"
            archive.unlink(missing_ok=True)
            self.builder.archive(tag, archive)
            ctr = ["ctr", "--address", str(self._socket), "--namespace", "k8s.io"]
            run([*ctr, "images", "import", archive])
            archive.unlink()
            record.write_text(json.dumps({**loaded, tag: content}))
            log.info("loaded %s in %.1f s", tag, time.monotonic() - started)
        return tag

    def stop(self) -> None:
        """Remove every trace of the node; does nothing when there is none."""
        leftovers.kill_node(INIT, self._state)
        slot = self._state / "slot"
        if slot.exists():
            network.disconnect(network.Network(int(slot.read_text())))
        leftovers.remove_cgroup(self._cgroup)
        leftovers.unmount_below(self._state)
        if self._state.exists():
            shutil.rmtree(self._state)

    def _start(self, tools: dict[str, Path]) -> None:
        self._state.mkdir(parents=True)
        with exclusive("slots"):
            net = network.free_slot()
            (self._state / "slot").write_text(str(net.slot))
            nodeconfig.write(self._state, net, self._cgroup, self._socket, tools)
            leftovers.make_cgroup(self._cgroup)
            network.connect(net, self._launch())
        wait_until("the container runtime answers", self._socket.exists, seconds=30)
        self.load_image(images.PAUSE_IMAGE)
        admin = self._state / "conf" / "admin.kubeconfig"
        wait_until("the API server answers", lambda: self._api_answers(admin), seconds=API_SECONDS)
        self._kubectl("apply", "-f", str(NODE_FILES / "bootstrap.yaml"), config=admin)
        node = ["get", "nodes", "-o", "name"]
        wait_until("the node registers", lambda: self._says(node, admin), seconds=60)
        self._kubectl(
            "wait", "node", "--all", "--for=condition=Ready", "--timeout=60s", config=admin
        )
        account = ["get", "serviceaccount", "default", "--ignore-not-found", "-o", "name"]
        wait_until("the default service account", lambda: self._says(account, admin), seconds=30)
        self._fingerprint.write_text(nodeconfig.fingerprint(tools))
        shutil.copy(admin, self.kubeconfig)

    def _launch(self) -> int:
        """Start the init process in its own namespaces and return its process id on the host."""
        command = ["setsid", "--fork", "unshare", *NAMESPACES, "bash", str(INIT), str(self._state)]
        with (self._state / "log" / "init.log").open("ab") as file:
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd="/", check=True
            )
        wait_until("the node's init", lambda: self._init() is not None, seconds=10, every=0.02)
        init = self._init()
        assert init is not None
        return init

    def _init(self) -> int | None:
        return leftovers.namespace_init(leftovers.node_processes(INIT, self._state))

    def _api_answers(self, config: Path | None = None) -> bool:
        try:
            return self._kubectl("get", "--raw", "/readyz", config=config).strip() == "ok"
        except ClusterError:
            return False

    def _says(self, words: list[str], config: Path) -> bool:
        return bool(self._kubectl(*words, config=config).strip())

    def _kubectl(self, *words: str, config: Path | None = None) -> str:
        kubectl = gotools.ensure(("kubectl",))["kubectl"]
        options = ["--kubeconfig", str(config or self.kubeconfig)]
        options += ["--cache-dir", str(self._state / "tmp" / "kubectl")]
        return run([kubectl, *options, *words], timeout=90)

    def _logs(self) -> str:
        files = sorted((self._state / "log").glob("*.log"))
        return "\n".join(
            f"== {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-8:])
            for file in files
        )
