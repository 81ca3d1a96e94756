"""`asyncendpoints validate` as a shell sees it; what it finds is tested with the manifest."""

from pathlib import Path

from support.cli import once
from support.paths import ROOT

BAD = """\
apiVersion: asyncendpoints.io/v1alpha1
kind: AsyncEndpoint
metadata: {name: reports}
spec:
  routes:
    - {path: /reports/{customer}, job: build}
"""
WORSE = """\
apiVersion: asyncendpoints.io/v1alpha1
kind: AsyncEndpoint
metadata: {name: reports}
spec:
  routes:
    - {path: "/reports", job: build}
    - {path: "/reports", job: build}
  worker: {handler: reports.jobs}
  retry: {maxRetrys: 3, multiplier: 0}
  suspend: false
  suspend: true
"""


def test_the_examples_are_valid() -> None:
    files = sorted(ROOT.glob("examples/*/endpoint.yaml"))
    status, out, err = once("validate", *files)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"{file}: default/{name} is valid"
        for file, name in zip(files, ("greetings", "lines", "reports", "thumbnails"), strict=True)
    ]
    # The first is part of an application, and has no image of its own.
    assert once("validate", "--cluster", *files[1:])[0] == 0


def test_every_fault_has_its_place_and_a_hint(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.yaml"
    file.write_text(WORSE)
    status, out, err = once("validate", file)
    assert (status, out) == (2, "")
    places = [line.removeprefix(f"{file}:").split(": ")[:2] for line in err.splitlines()]
    found = {path: place for place, path in places}
    assert {
        "spec.routes[1].path",
        "spec.worker.handler",
        "spec.retry.maxRetrys",
        "spec.retry.multiplier",
        "spec.suspend",
    } <= found.keys()
    assert found["spec.retry.maxRetrys"].startswith("9:")
    assert "did you mean" in err
    assert "maxRetries" in err


def test_unquoted_braces_are_explained(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.yaml"
    file.write_text(BAD)
    status, _, err = once("validate", file)
    assert status == 2
    assert ":6:" in err
    assert "quote" in err


def test_a_cluster_requires_more(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.yaml"
    file.write_text(WORSE.split("    - {path", maxsplit=1)[0] + (
        '    - {path: "/reports", job: build}\n  worker: {handlers: reports.jobs}\n'
    ))  # fmt: skip
    assert once("validate", file)[0] == 0
    status, _, err = once("validate", "--cluster", file)
    assert status == 2
    assert "spec.worker" in err
    assert "image" in err
