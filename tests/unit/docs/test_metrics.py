"""docs/metrics.md and the chart's alerts name metrics that exist, and the page all of them."""

import re

from asyncendpoints_core.process.logs import JOB_FIELD
from support.paths import ROOT

SOURCES = ("core", "console", "gateway", "worker", "operator", "cli", "sdk")
_WORKER = "asyncendpoints_worker_"
_IN_CODE = re.compile(r'"(asyncendpoints_[a-z_]+)"')
_ENDINGS = re.compile(r"_(?:total|bucket|sum|count|info)$")


def names_in_code() -> set[str]:
    found = set()
    for folder in SOURCES:
        for file in (ROOT / folder).rglob("*.py"):
            found |= set(_IN_CODE.findall(file.read_text()))
    others = {f"asyncendpoints_{folder}" for folder in SOURCES} | {JOB_FIELD}
    return found - others


def families() -> set[str]:
    """Every metric's name without the ending of a counter; two sets are made by a format string."""
    from asyncendpoints_worker.supervisor.collector import COUNTERS

    scaling = {f"asyncendpoints_scaling_{name}" for name in ("demand", "wanted", "replicas")}
    return names_in_code() | scaling | {_WORKER + name for name in COUNTERS}


def test_the_page_names_every_metric_and_no_other() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    on_page = {_ENDINGS.sub("", name) for name in re.findall(r"`(asyncendpoints_[a-z_]+)`", page)}
    assert on_page == families()


def test_the_alerts_use_metrics_that_exist() -> None:
    rules = (ROOT / "charts/asyncendpoints/templates/prometheusrule.yaml").read_text()
    used = {_ENDINGS.sub("", name) for name in re.findall(r"\b(asyncendpoints_[a-z_]+)", rules)}
    assert used
    assert used <= families()


def test_the_dashboard_uses_metrics_that_exist() -> None:
    dashboard = (ROOT / "charts/asyncendpoints/files/dashboards/asyncendpoint.json").read_text()
    used = {_ENDINGS.sub("", name) for name in re.findall(r"\b(asyncendpoints_[a-z_]+)", dashboard)}
    assert used
    assert used <= families()


def test_every_alert_is_explained() -> None:
    rules = (ROOT / "charts/asyncendpoints/templates/prometheusrule.yaml").read_text()
    page = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"alert: (\w+)", rules)) == set(
        re.findall(r"AsyncEndpoints[A-Z]\w+", page)
    )
