"""The GitHub workflows are valid. Here because actionlint is built like the cluster's programs."""

from support.kube.provider.gotools import ensure
from support.kube.provider.shell import run
from support.paths import ROOT


def test_actionlint_finds_no_fault() -> None:
    actionlint = ensure(("actionlint",))["actionlint"]
    workflows = sorted((ROOT / ".github/workflows").glob("*.yml"))
    assert len(workflows) >= 2
    run([actionlint, "-no-color", "-shellcheck=", "-pyflakes=", *workflows], cwd=ROOT)
