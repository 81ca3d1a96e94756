"""The storage in which images are built stays bounded, whatever a killed build left in it."""

from pathlib import Path

import pytest

from support.kube.provider import images
from support.kube.provider.client import Cluster


@pytest.fixture
def storage(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> images.Buildah:
    """A builder with an empty storage of its own, which is always too large."""
    if not isinstance(cluster.provider.builder, images.Buildah):
        pytest.skip("shows something about builds without Docker only")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(images, "MANY_LAYERS", 0)
    return images.Buildah()


def test_containers_of_killed_builds_do_not_keep_their_images(
    storage: images.Buildah, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch\nCOPY file /\n")
    storage.build(dockerfile, "localhost/before", context=tmp_path)
    storage._buildah("from", "localhost/before")
    dockerfile.write_text("FROM scratch\nCOPY Dockerfile /\n")
    storage.build(dockerfile, "localhost/before", context=tmp_path)  # its layers have no name now

    storage.prune()

    assert storage._buildah("images", "--all", "--quiet").split() == [
        storage.image_id("localhost/before").removeprefix("sha256:")[:12]
    ]
