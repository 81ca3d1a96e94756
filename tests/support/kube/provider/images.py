"""Build container images without a registry: with buildah, or with Docker for kind."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from support.kube.provider import gotools, hostconfig, packages
from support.kube.provider.layout import IMAGE_FILES, REPOSITORY, cache_root, exclusive, lock_file
from support.kube.provider.shell import CommandError, run, run_long
from support.redis.binaries import server_binary

BASE_IMAGE = "localhost/python-base:bookworm"
REDIS_IMAGE = "localhost/redis:7"
PAUSE_IMAGE = "localhost/pause:1"
DEBIAN_MIRROR = "http://deb.debian.org/debian"
# Tags made of an image's content (Cluster.publish_image) are kept for a day.
KEYED = re.compile(r"^(?!localhost/python-base:).*:[0-9a-f]{12}$")
KEEP_SECONDS = 86400
# About 5 GB; the layers of a build's earlier stages, which speed up the next build, go too.
MANY_LAYERS = 300
BASE_INCLUDES = "python3,python3-venv,ca-certificates"


class ImageBuilder(Protocol):
    """What builds images and can push them to a registry."""

    def ensure_base(self) -> str:
        """Make BASE_IMAGE if it is missing and return its name."""
        ...

    def own_base(self) -> str | None:
        """The base to build on instead of a Dockerfile's own, None where that can be pulled."""
        ...

    def build(
        self,
        dockerfile: Path,
        tag: str,
        *,
        context: Path,
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
    ) -> str:
        """Build `tag` from a Dockerfile and return the tag."""
        ...

    def image_id(self, tag: str) -> str:
        """The id of a built image's content."""
        ...

    def tag(self, tag: str, another: str) -> None:
        """Give a built image another name as well."""
        ...

    def push(self, tag: str, remote: str) -> None:
        """Push a built image to a registry, under the name `remote`."""
        ...


class Buildah:
    """Builds on a Debian base image made here, with its own storage inside the cache."""

    def ensure_base(self) -> str:
        """Make BASE_IMAGE with debootstrap if the cache has none of this recipe."""
        mirror = os.environ.get("ASYNCENDPOINTS_DEBIAN_MIRROR", DEBIAN_MIRROR)
        script = IMAGE_FILES / "make-rootfs.sh"
        recipe = hashlib.sha256(f"{script.read_text()}{BASE_INCLUDES}".encode()).hexdigest()[:12]
        keyed = f"localhost/python-base:{recipe}"
        packages.ensure(packages.BUILDER)
        with exclusive("image-base"):
            if not self._exists(keyed):
                with _scratch() as scratch:
                    rootfs = scratch / "rootfs.tar"
                    run_long(
                        "making the base image with debootstrap",
                        [*_PRIVATE, "bash", script, mirror, BASE_INCLUDES, rootfs],
                    )
                    dockerfile = scratch / "Dockerfile"
                    dockerfile.write_text(
                        'FROM scratch\nADD rootfs.tar /\nENV LANG=C.UTF-8\nCMD ["python3"]\n'
                    )
                    self.build(dockerfile, keyed, context=scratch)
        self._buildah("tag", keyed, BASE_IMAGE)
        return BASE_IMAGE

    def own_base(self) -> str | None:
        """BASE_IMAGE: there may be no registry to pull another from."""
        return self.ensure_base()

    def build(
        self,
        dockerfile: Path,
        tag: str,
        *,
        context: Path,
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
    ) -> str:
        """Build `tag`; the host's certificates, pip settings and proxies apply inside."""
        packages.ensure(packages.BUILDER)
        with _scratch() as scratch:
            options = ["--layers", "--isolation", "chroot", "--network", "host", "--tag", tag]
            options += ["--file", str(dockerfile), *_build_options(target, build_args)]
            options += hostconfig.volumes(scratch)
            with lock_file("builds") as building, self._command("bud") as command:
                fcntl.flock(building, fcntl.LOCK_SH)
                run_long(f"building {tag}", [*command, *options, context], env=hostconfig.clean())
        return tag

    def image_id(self, tag: str) -> str:
        """The id of a built image's content."""
        return self._buildah("images", "--quiet", "--no-trunc", tag).split()[0]

    def archive(self, tag: str, file: Path) -> None:
        """Write the image as an OCI archive that carries its tag."""
        self._buildah("push", "--quiet", "--disable-compression", tag, f"oci-archive:{file}:{tag}")

    def tag(self, tag: str, another: str) -> None:
        """Give a built image another name as well."""
        self._buildah("tag", tag, another)

    def push(self, tag: str, remote: str) -> None:
        """Push a built image to a registry, under the name `remote`."""
        self._buildah("push", "--quiet", tag, f"docker://{remote}")

    def prune(self) -> None:
        """Once the storage is large, drop old images and cached layers, unless a build runs."""
        layers = cache_root() / "containers" / "overlay"
        if not layers.exists() or len(os.listdir(layers)) < MANY_LAYERS:
            return
        with lock_file("builds") as handle, contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # No build runs, so every container here is of one that was killed; it holds its image.
            self._buildah("rm", "--all")
            images = json.loads(self._buildah("images", "--json"))
            oldest = time.time() - KEEP_SECONDS
            for image in images:
                for name in image["names"] or ():
                    if KEYED.search(name) and image["created"] < oldest:
                        self._buildah("rmi", name)
            self._buildah("rmi", "--prune")

    def _exists(self, tag: str) -> bool:
        try:
            self.image_id(tag)
        except CommandError:
            return False
        return True

    def _buildah(self, *words: str) -> str:
        packages.ensure(packages.BUILDER)
        with self._command(*words) as command:
            return run(command)

    @contextlib.contextmanager
    def _command(self, *words: str) -> Iterator[list[str]]:
        """A buildah call whose mounts and run-time state end with it, also when it is killed."""
        storage = cache_root() / "containers"
        storage.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="buildah-run-") as runroot:
            stores = ["--root", str(storage), "--runroot", runroot, "--storage-driver", "overlay"]
            yield [*_PRIVATE, "buildah", *stores, *words]


class Docker:
    """Builds with a Docker engine, on the public base image."""

    public_base = "python:3.13-slim"

    def ensure_base(self) -> str:
        """Pull the public base image and give it the name it has everywhere in the tests."""
        run_long(f"pulling {self.public_base}", ["docker", "pull", self.public_base])
        run(["docker", "tag", self.public_base, BASE_IMAGE])
        return BASE_IMAGE

    def own_base(self) -> str | None:
        """None: Docker pulls what the Dockerfile names."""
        return None

    def build(
        self,
        dockerfile: Path,
        tag: str,
        *,
        context: Path,
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
    ) -> str:
        """Build `tag`; proxies and pip settings of the environment are offered as arguments."""
        options = ["--network", "host", "--tag", tag, "--file", str(dockerfile)]
        offered = {**hostconfig.pip_variables(), **(build_args or {})}
        options += _build_options(target, offered)
        run_long(f"building {tag}", ["docker", "build", *options, context])
        return tag

    def image_id(self, tag: str) -> str:
        """The id of a built image's content."""
        return run(["docker", "image", "inspect", "--format", "{{.Id}}", tag]).strip()

    def tag(self, tag: str, another: str) -> None:
        """Give a built image another name as well."""
        run(["docker", "tag", tag, another])

    def push(self, tag: str, remote: str) -> None:
        """Push a built image to a registry, under the name `remote`."""
        self.tag(tag, remote)
        run_long(f"pushing {remote}", ["docker", "push", remote])


def build_redis(builder: ImageBuilder) -> str:
    """Build the image of the tests' servers: base, Redis and Valkey; any UID in group 0."""
    args = {"BASE": builder.ensure_base()}
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(server_binary("valkey-9.1"), Path(scratch) / "valkey-server")
        recipe = Path(scratch) / "Dockerfile"
        shutil.copy(IMAGE_FILES / "redis" / "Dockerfile", recipe)
        return builder.build(recipe, REDIS_IMAGE, context=Path(scratch), build_args=args)


def build_pause(builder: Buildah) -> str:
    """Build the image that holds a pod's namespaces, from tools/pause."""
    program = gotools.ensure(("pause",))["pause"]
    folder = IMAGE_FILES / "pause"
    return builder.build(folder / "Dockerfile", PAUSE_IMAGE, context=program.parent)


# A mount namespace of its own: what is mounted inside is gone when the program ends, however.
_PRIVATE: Sequence[str] = ("unshare", "--mount", "--")


def default_context(dockerfile: Path) -> Path:
    """The build context: the repository for its own Dockerfile, otherwise the file's folder."""
    return REPOSITORY if dockerfile.parent == REPOSITORY else dockerfile.parent


def _build_options(target: str | None, build_args: Mapping[str, str] | None) -> list[str]:
    options = ["--target", target] if target else []
    for name, value in (build_args or {}).items():
        options += ["--build-arg", f"{name}={value}"]
    return options


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for large intermediate files, on the cache's disk rather than a small /tmp."""
    folder = cache_root() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        yield Path(scratch)
