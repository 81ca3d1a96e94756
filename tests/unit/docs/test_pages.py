"""Checks of every page without running it: links have targets, shell blocks parse."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from asyncendpoints_core.resource import AsyncEndpoint, cluster_faults
from asyncendpoints_gateway.http.router import own_target
from asyncendpoints_operator.crd.definition import crd
from support.doc_pages import Block, anchors, fences, links, shell_blocks
from support.paths import ROOT

PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    ROOT / "charts" / "asyncendpoints" / "README.md",
    ROOT / "tests" / "cluster" / "README.md",
]
GUIDES = sorted((ROOT / "docs" / "contributing").glob("*.md"))
OWN = {
    "The store": ROOT / "core" / "asyncendpoints_core",
    "Kubernetes": ROOT / "operator" / "asyncendpoints_operator",
}
PAGE_BLOCKS = "cluster/test_docs_commands.py"
# Which test runs the blocks of a page, by their language: "" and mermaid are formulas and pictures.
RUN_BY = {
    "README.md": {
        "console": "system/docs/test_pages.py cluster/test_docs_install.py",
        "python": "system/docs/test_pages.py",
        "yaml": "system/docs/test_pages.py",
    },
    "docs/uniqueness.md": {"yaml": "system/gateway/test_unique.py"},
    "docs/asgi.md": {"python": "system/docs/test_asgi.py"},
    "docs/cli.md": {"console": "system/docs/test_local.py"},
    "docs/client-python.md": {
        "console": "system/clients/test_python_docs.py",
        "python": "system/clients/test_python_docs.py",
    },
    "docs/code-first.md": {
        "console": "system/docs/test_local.py",
        "python": "unit/docs/test_code_first.py",
    },
    "docs/client-typescript.md": {
        "console": "system/clients/test_typescript_docs.py",
        "html": "system/clients/test_typescript_docs.py",
        "js": "system/clients/test_typescript_docs.py",
        "ts": "system/clients/test_typescript.py",
    },
    "docs/coming-from/arq.md": {"python": "system/docs/test_coming_from.py"},
    "docs/coming-from/bullmq.md": {
        "js": "system/docs/test_coming_from.py",
        "yaml": "unit/docs/test_pages.py system/docs/test_coming_from.py",
    },
    "docs/coming-from/celery.md": {"python": "system/docs/test_coming_from.py"},
    "docs/coming-from/cloud-tasks.md": {
        "python": "system/docs/test_coming_from.py",
        "yaml": "unit/docs/test_pages.py system/docs/test_coming_from.py",
    },
    "docs/coming-from/dotnet.md": {"python": "system/docs/test_coming_from.py"},
    "docs/coming-from/dramatiq.md": {"python": "system/docs/test_coming_from.py"},
    "docs/command.md": {"sh": "cluster/test_console.py"},
    "docs/console.md": {
        "bash": "system/console/test_run.py",
        "sh": "cluster/test_console.py",
        "yaml": "cluster/test_console.py",
    },
    "docs/fastapi.md": {
        "console": "system/docs/test_fastapi.py",  # pip install: system/test_wheel.py
        "diff": "system/docs/test_fastapi.py",
        "python": "system/docs/test_fastapi.py unit/docs/test_testing.py",
    },
    "docs/handlers.md": {"python": "unit/docs/test_handlers.py"},
    "docs/http.md": {
        "http": "system/docs/test_http.py",
        "python": "system/docs/test_local.py",
        "sh": "system/docs/test_http.py",
        "yaml": "system/docs/test_http.py",
    },
    "docs/kubernetes.md": {"sh": PAGE_BLOCKS},
    "docs/limits.md": {"yaml": "unit/docs/test_pages.py"},
    "docs/logging.md": {
        "bash": "system/cli/test_remote.py",
        "python": "system/cli/test_logging.py",
        "yaml": "unit/docs/test_pages.py",
    },
    "docs/operations.md": {
        "redis": "system/docs/test_local.py",
        "sh": PAGE_BLOCKS,
        "yaml": "unit/docs/test_pages.py",
    },
    "docs/quickstart.md": {
        "console": "system/docs/test_pages.py",  # pip install: system/test_wheel.py
        "python": "system/docs/test_pages.py",
        "yaml": "system/docs/test_pages.py",
    },
    "docs/redis.md": {"redis": "system/docs/test_local.py"},
    "docs/reliability.md": {
        "sh": "faults/test_faults.py faults/chaos.py mutants/run.py"
    },  # the first in a short form
    "docs/resource.md": {"yaml": "unit/docs/test_pages.py"},
    "docs/schedules.md": {"yaml": "unit/docs/test_pages.py"},
    "docs/webhooks.md": {
        "console": "system/docs/test_webhooks.py",
        "js": "system/docs/test_webhooks.py",
        "json": "system/docs/test_webhooks.py",
        "python": "system/docs/test_webhooks.py",
        "yaml": "system/docs/test_webhooks.py",
    },
    "docs/security.md": {"yaml": "unit/docs/test_pages.py"},
    "docs/testing.md": {"python": "unit/docs/test_testing.py"},
    "docs/troubleshooting.md": {"sh": PAGE_BLOCKS},
    "charts/asyncendpoints/README.md": {"console": "cluster/test_docs_install.py"},
    "examples/README.md": {"console": "system/docs/test_examples.py"},
    # `make cluster`, by hand: what it starts is what every test of the folder uses.
    "tests/cluster/README.md": {"sh": "", "python": ""},
}
# Blocks that the script of a page leaves out, by why: what runs them. "": nothing here can.
LEFT_OUT = {
    "needs Docker": PAGE_BLOCKS,
    "needs a registry": PAGE_BLOCKS,
    "needs KEDA": "",
    "it takes the CRD away from everybody; tests/cluster/test_docs_install.py": "",
    "for another release; tests/cluster/test_docs_install.py": "",
    "runs until it is ended; tests/cluster/test_docs_laptop.py": "",
}
BLOCKS = [block for page in PAGES for block in shell_blocks(page.read_text(), page.name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page.read_text()):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert not broken


def test_the_index_names_every_page() -> None:
    named = {link.partition("#")[0] for link in links((ROOT / "docs" / "README.md").read_text())}
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    guides = {f"contributing/{page.name}" for page in GUIDES}
    ports = {f"coming-from/{page.name}" for page in (ROOT / "docs" / "coming-from").glob("*.md")}
    assert guides
    assert ports
    assert pages | guides | ports <= named


@pytest.mark.parametrize("page", [*GUIDES, ROOT / "docs" / "architecture.md"], ids=lambda p: p.stem)
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    """By their path from the root, or from a package that the text names."""
    roots = (ROOT, *ROOT.glob("*/asyncendpoints_*"), OWN["The store"] / "store" / "lua")
    files = set(re.findall(r"`([\w-]+/[\w./-]+)`", page.read_text()))
    assert files
    assert [name for name in sorted(files) if not any((at / name).exists() for at in roots)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_test_runs_every_block(page: Path) -> None:
    """And says so: it names the page."""
    by_language = RUN_BY.get(str(page.relative_to(ROOT)), {})
    found = {language for language, _ in fences(page.read_text())} - {"", "mermaid"}
    assert found == set(by_language)
    for file in " ".join(by_language.values()).split():
        assert page.name.lower() in (ROOT / "tests" / file).read_text().lower(), file


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_requests_that_a_page_names_exist(page: Path) -> None:
    """Those about jobs; the operations API, whose paths console.md lists, has others."""
    if page.name == "console.md":
        return
    job = "/jobs/01890a5d-ac96-774b-bcce-b302099a8057"
    for method, path in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/jobs[^`?]*)", page.read_text()):
        found = own_target(method, re.sub("^/jobs/[^/]+", job, path))
        assert found.operation != "options", f"{method} {path}"


def test_blocks_left_out_of_a_script_are_run_elsewhere() -> None:
    assert {block.by_hand for block in BLOCKS} - {None} == set(LEFT_OUT)
    for why, file in LEFT_OUT.items():
        elsewhere = re.findall(r"tests/(cluster/\w+\.py)", why) or file.split()
        assert all(why in (ROOT / "tests" / name).read_text() for name in elsewhere), why


SMALLEST: dict[str, Any] = {
    "apiVersion": "asyncendpoints.io/v1alpha1",
    "kind": "AsyncEndpoint",
    "metadata": {"name": "reports"},
    "spec": {
        "routes": [{"path": "/reports", "job": "build-report"}],
        "worker": {"image": "reports:1", "handlers": "reports.jobs"},
    },
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_the_pages_show_of_the_resource_is_valid(page: Path) -> None:
    for language, text in fences(page.read_text()):
        if language != "yaml":
            continue
        shown = yaml.safe_load(text)
        if "ignoreDifferences" in shown:  # of Argo CD
            names = crd()["spec"]
            for one in shown["ignoreDifferences"]:
                assert (one["group"], one["kind"]) == (names["group"], names["names"]["kind"])
                for pointer in one["jsonPointers"]:
                    assert pointer.replace("/", ".") == _scale_path()
        elif shown.get("kind") == "Role":
            continue  # tests/cluster/test_console.py applies it
        elif "kind" in shown:
            assert shown["kind"] == "AsyncEndpoint"
            AsyncEndpoint.parse(shown)
        else:  # a part of the spec
            whole = {**SMALLEST, "spec": {**SMALLEST["spec"], **shown}}
            assert not cluster_faults(AsyncEndpoint.parse(whole))


def _scale_path() -> str:
    """What an HPA and `kubectl scale` write."""
    [version] = crd()["spec"]["versions"]
    return str(version["subresources"]["scale"]["specReplicasPath"])


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_shell_blocks_parse(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_operators_rights_are_those_of_the_chart() -> None:
    template = (ROOT / "charts/asyncendpoints/templates/_helpers.tpl").read_text()
    found = re.search(r'define "asyncendpoints.rules" -}}\n(.*?){{- end }}', template, re.DOTALL)
    assert found is not None
    granted = [
        (rule["apiGroups"][0] or "(core)", rule["resources"], rule["verbs"])
        for rule in yaml.safe_load(found[1])
    ]
    page = (ROOT / "docs" / "security.md").read_text()
    table = page.partition("<!-- rules -->")[2].partition("<!-- end -->")[0]
    rows = [line.split("|")[1:4] for line in table.strip().splitlines()[2:]]
    documented = [
        (group.strip(" `"), resources.replace("`", "").split(), verbs.replace("`", "").split())
        for group, resources, verbs in rows
    ]
    assert documented == granted


def _missing_tests(page: str) -> list[str]:
    """Return the tests, and files of tests, that a page names and that do not exist."""
    missing = []
    for name, test in re.findall(r"`([\w/]+/test_\w+\.py)(?:::(test_\w+))?`", page):
        file = ROOT / "tests" / name
        text = f"def {test}(" if test else "def test_"
        if not file.exists() or text not in file.read_text():
            missing.append(f"{name}::{test}")
    return missing


@pytest.mark.parametrize("name", ["compatibility.md", "robustness.md", "rules.md"])
def test_a_page_names_tests_that_exist(name: str) -> None:
    page = (ROOT / "docs" / name).read_text()
    assert "/test_" in page
    assert not _missing_tests(page)


def test_robustness_names_a_test_for_each_kind() -> None:
    page = (ROOT / "docs" / "robustness.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|") and "---" not in line]
    assert len(rows) == 2 + 17 + 7  # two heads, the kinds, the inputs
    assert [row for row in rows if "test_" not in row] == [rows[0], rows[18]]


def test_the_rules_name_files_that_exist() -> None:
    page = (ROOT / "docs" / "rules.md").read_text()
    missing = []
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        section, _, own = part.partition("\n")
        named = re.findall(r"`([\w/-]+\.(?:py|lua|yaml|txt))`", own)
        places = (ROOT, OWN[section])
        missing += [name for name in named if not any((at / name).exists() for at in places)]
    assert not missing
