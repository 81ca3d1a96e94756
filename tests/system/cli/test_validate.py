"""`asyncendpoints validate` as a shell sees it; what it finds is tested with the manifest."""

from pathlib import Path

from support.cli import Command, once
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


SELECTING = """\
apiVersion: asyncendpoints.io/v1alpha1
kind: AsyncEndpoint
metadata: {name: reports}
spec:
  routes:
    - {path: "/reports", job: build-report}
  schedules:
    - {name: nightly, cron: "0 3 * * *", job: clean-up}
  webhooks:
    - {name: a, url: "https://a.example/", secrets: {file: s}, jobs: [clean-up, buildreports]}
  limits: {perJob: [{job: render, concurrency: 1}]}
  worker: {handlers: jobs}
"""
HANDLERS = "from asyncendpoints import handler\n" + "".join(
    f"@handler({name!r})\ndef {name.replace('-', '_')}(): ...\n"
    for name in ("build-report", "render")
)
CORRECTIONS = (("job: clean-up", "job: render"), ("clean-up", "render"), (", buildreports", ""))


def test_a_job_that_no_route_or_schedule_has_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.yaml"
    file.write_text(SELECTING)
    status, out, err = once("validate", file)
    assert (status, out) == (0, f"{file}: default/reports is valid\n")
    assert err.splitlines() == [
        f"{file}:11:27: spec.limits.perJob[0].job: warning: no route or schedule has the job "
        '"render", only handlers may enqueue it',
        f"{file}:10:81: spec.webhooks[0].jobs[1]: warning: no route or schedule has the job "
        '"buildreports", only handlers may enqueue it; did you mean build-report?',
    ]


def test_jobs_without_a_handler_are_the_same_faults_as_for_run(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.yaml"
    file.write_text(SELECTING)
    (tmp_path / "jobs.py").write_text(HANDLERS)
    status, out, err = once("validate", "--handlers", file)
    assert (status, out) == (2, "")
    faults = [line.split(" ", 1)[1] for line in err.splitlines()]
    assert faults == [
        'spec.schedules[0].job: jobs has no @handler("clean-up")',
        'spec.webhooks[0].jobs[0]: jobs has no @handler("clean-up")',
        'spec.webhooks[0].jobs[1]: jobs has no @handler("buildreports"); '
        "did you mean build-report?",
    ]
    for fault, change in zip(faults, CORRECTIONS, strict=True):
        status, _, err = once("run", file, "--port", "0", "--admin-port", "0")
        assert status == 2
        assert fault in err
        file.write_text(file.read_text().replace(*change))
    assert once("validate", "--handlers", file)[0] == 0


def test_run_logs_what_the_container_cannot_enqueue(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.yaml"
    file.write_text(SELECTING.replace("handlers: jobs", "http: {port: 3000}"))
    (tmp_path / "s").write_text("")
    with Command("run", file, "--port", "0", "--admin-port", "0") as run:
        run.said(":11:27: spec.limits.perJob[0].job: no route or schedule has the job")
        run.said("; did you mean build-report?")
