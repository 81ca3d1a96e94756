"""Every alert of the chart fires when it has to, and only then: evaluated by promtool."""

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from support.paths import ROOT

TEMPLATE = ROOT / "charts/asyncendpoints/templates/prometheusrule.yaml"
ENDPOINT = 'namespace="demo",endpoint="reports"'
OPERATOR = 'job="asyncendpoints-operator",namespace="asyncendpoints"'
MINUTES = 45


def event(name: str, per_minute: float, source: str = "a") -> tuple[str, str]:
    series = f'asyncendpoints_job_events_total{{{ENDPOINT},event="{name}",pod="{source}"}}'
    return series, f"0+{per_minute}x{MINUTES}"


def steady(series: str, value: float) -> tuple[str, str]:
    return series, f"{value}x{MINUTES}"


def growing(series: str) -> tuple[str, str]:
    return series, f"0+6x{MINUTES}"


LEADING = f"asyncendpoints_operator_leading{{{OPERATOR}}}"
DEPTH = f"asyncendpoints_operator_queue_depth{{{OPERATOR}}}"
SILENT = f"asyncendpoints_operator_api_silent_seconds{{{OPERATOR}}}"
UNREADABLE = f"asyncendpoints_operator_unreadable_kinds{{{OPERATOR}}}"
REDIS = 'asyncendpoints_store_up{redis="redis://r:6379/0"}'
ERRORS = f"asyncendpoints_store_errors_total{{{ENDPOINT}}}"
FULL = f'asyncendpoints_submissions_total{{{ENDPOINT},outcome="queue-full"}}'
CREATED = f'asyncendpoints_submissions_total{{{ENDPOINT},outcome="created"}}'
AGE = f"asyncendpoints_queue_age_seconds{{{ENDPOINT}}}"
WANTED = f'asyncendpoints_workers{{{ENDPOINT},kind="wanted"}}'
REGISTERED = f'asyncendpoints_workers{{{ENDPOINT},kind="registered"}}'

Series = list[tuple[str, str]]
CASES: list[tuple[str, Series, bool]] = [
    ("AsyncEndpointsNoLeader", [steady(LEADING, 0)], True),
    ("AsyncEndpointsNoLeader", [], True),
    ("AsyncEndpointsNoLeader", [steady(LEADING, 1)], False),
    ("AsyncEndpointsRedisDown", [steady(REDIS, 0)], True),
    ("AsyncEndpointsRedisDown", [steady(REDIS, 1)], False),
    ("AsyncEndpointsOperatorBehind", [steady(DEPTH, 21)], True),
    ("AsyncEndpointsOperatorBehind", [steady(DEPTH, 20)], False),
    ("AsyncEndpointsOperatorBlind", [steady(SILENT, 61)], True),
    ("AsyncEndpointsOperatorBlind", [steady(SILENT, 60)], False),
    ("AsyncEndpointsNamespaceUnreadable", [steady(UNREADABLE, 1)], True),
    ("AsyncEndpointsNamespaceUnreadable", [steady(UNREADABLE, 0)], False),
    ("AsyncEndpointsUnavailable", [growing(ERRORS)], True),
    ("AsyncEndpointsUnavailable", [steady(ERRORS, 50)], False),
    ("AsyncEndpointsQueueFull", [growing(FULL)], True),
    ("AsyncEndpointsQueueFull", [growing(CREATED), steady(FULL, 50)], False),
    ("AsyncEndpointsQueueOld", [steady(AGE, 901)], True),
    ("AsyncEndpointsQueueOld", [steady(AGE, 900)], False),
    ("AsyncEndpointsNoWorkers", [steady(WANTED, 2), steady(REGISTERED, 0)], True),
    ("AsyncEndpointsNoWorkers", [steady(WANTED, 2)], True),
    ("AsyncEndpointsNoWorkers", [steady(WANTED, 2), steady(REGISTERED, 1)], False),
    ("AsyncEndpointsNoWorkers", [steady(WANTED, 0), steady(REGISTERED, 0)], False),
    # Every job fails, after 10 attempts each.
    ("AsyncEndpointsJobsFailing", [event("failed", 1), event("claimed", 10)], True),
    # One in five fails; operator and gateways report the same numbers.
    (
        "AsyncEndpointsJobsFailing",
        [
            *(event("failed", 1, pod) for pod in "abc"),
            *(event("completed", 4, pod) for pod in "abc"),
        ],
        True,
    ),
    ("AsyncEndpointsJobsFailing", [event("failed", 1), event("completed", 19)], False),
    ("AsyncEndpointsJobsFailing", [event("failed", 1), event("canceled", 19)], False),
    ("AsyncEndpointsJobsFailing", [event("failed", 0.2)], False),  # too few to tell
    ("AsyncEndpointsJobsCrashing", [event("crashed", 1)], True),
    ("AsyncEndpointsJobsCrashing", [event("crashed", 0), event("failed", 1)], False),
    ("AsyncEndpointsJobsExpired", [event("expired", 1)], True),
    ("AsyncEndpointsJobsExpired", [event("expired", 0), event("failed", 1)], False),
    ("AsyncEndpointsJobsCorrupt", [event("corrupt", 1)], True),
    ("AsyncEndpointsJobsCorrupt", [event("corrupt", 0), event("failed", 1)], False),
]

OTHER = ENDPOINT.replace("reports", "other")
SECOND = LEADING.replace("{", '{pod="b",')


def counter(values: str, name: str = "failed", labels: str = ENDPOINT, pod: str = "a") -> Any:
    series = f'asyncendpoints_job_events_total{{{labels},event="{name}",pod="{pod}"}}'
    return series, values


# Over time: (alert, series, minute, how many fire then).
TIMES: list[tuple[str, Series, int, int]] = [
    # A counter that begins anew (the queue was made again, or Redis lost writes) counts on.
    ("AsyncEndpointsJobsFailing", [counter("500x20 0+1x20")], 40, 1),
    ("AsyncEndpointsJobsFailing", [counter("500x20 0x20"), counter("9x40", "completed")], 30, 0),
    ("AsyncEndpointsJobsCrashing", [counter("7x20 0x20", "crashed")], 30, 0),
    ("AsyncEndpointsJobsCorrupt", [counter("7x20 0x20", "corrupt")], 30, 0),
    ("AsyncEndpointsUnavailable", [(ERRORS, "900x20 0x20")], 30, 0),
    ("AsyncEndpointsUnavailable", [(ERRORS, "0+6x20 0+6x20")], 30, 1),
    # One of several pods stops to report, or begins late; another one goes on.
    ("AsyncEndpointsJobsFailing", [counter("0+1x10 stale"), counter("0+1x40", pod="b")], 30, 1),
    ("AsyncEndpointsJobsFailing", [counter("_x35 400x5", pod="b"), counter("400x40")], 40, 0),
    (
        "AsyncEndpointsJobsCrashing",
        [counter("3x40", "crashed"), counter("_x35 3x5", "crashed", pod="b")],
        38,
        0,
    ),
    (
        "AsyncEndpointsUnavailable",
        [(ERRORS, "0x40"), (ERRORS.replace("{", '{pod="b",'), "0+6x40")],
        30,
        1,
    ),
    ("AsyncEndpointsNoLeader", [(LEADING, "0x40"), (SECOND, "1x40")], 30, 0),
    ("AsyncEndpointsNoLeader", [(LEADING, "1x10 stale"), (SECOND, "0x10 1x30")], 30, 0),
    (
        "AsyncEndpointsOperatorBlind",
        [(SILENT, "0x40"), (SILENT.replace("{", '{pod="b",'), "90x40")],
        30,
        1,
    ),
    # Each endpoint has an alert of its own.
    ("AsyncEndpointsJobsFailing", [counter("0+1x40"), counter("0+1x40", labels=OTHER)], 30, 2),
    (
        "AsyncEndpointsJobsFailing",
        [counter("0+1x40"), counter("0+99x40", "completed", OTHER)],
        30,
        1,
    ),
    (
        "AsyncEndpointsNoWorkers",
        [(WANTED, "2x40"), (REGISTERED.replace("reports", "other"), "2x40")],
        30,
        1,
    ),
    (
        "AsyncEndpointsQueueOld",
        [(AGE, "1000x40"), (AGE.replace("reports", "other"), "1x40")],
        30,
        1,
    ),
    # It ends after the recovery.
    ("AsyncEndpointsJobsFailing", [counter("0+1x20 20x25")], 20, 1),
    ("AsyncEndpointsJobsFailing", [counter("0+1x20 20x25")], 40, 0),
    ("AsyncEndpointsJobsCrashing", [counter("0x10 1x30", "crashed")], 15, 1),
    ("AsyncEndpointsJobsCrashing", [counter("0x10 1x30", "crashed")], 30, 0),
    ("AsyncEndpointsUnavailable", [(ERRORS, "0+6x20 120x20")], 19, 1),
    ("AsyncEndpointsUnavailable", [(ERRORS, "0+6x20 120x20")], 30, 0),
    ("AsyncEndpointsRedisDown", [(REDIS, "1x10 0x10 1x20")], 15, 1),
    ("AsyncEndpointsRedisDown", [(REDIS, "1x10 0x10 1x20")], 25, 0),
    ("AsyncEndpointsNoWorkers", [(WANTED, "2x40"), (REGISTERED, "0x20 1x20")], 15, 1),
    ("AsyncEndpointsNoWorkers", [(WANTED, "2x40"), (REGISTERED, "0x20 1x20")], 25, 0),
]


def rules() -> dict[str, Any]:
    """Return the groups of rules, with the template's few expressions replaced."""
    text = TEMPLATE.read_text()
    text = re.sub(r"^ *\{\{-.*\}\}\n", "", text, flags=re.MULTILINE)
    text = re.sub(r'\{\{ ("(?:[^"\\]|\\.)*") \| quote \}\}', r"\1", text)
    text = text.replace("{{ $operator | quote }}", '"asyncendpoints-operator"')
    text = text.replace("{{ .Release.Namespace | quote }}", '"asyncendpoints"')
    text = text.replace("{{ .Release.Namespace }}", "asyncendpoints")
    text = text.replace("{{ $docs }}", "docs")
    text = re.sub(r"\{\{ include [^}]*\}\}", "asyncendpoints", text)
    groups: dict[str, Any] = yaml.safe_load(text)["spec"]
    return groups


def promtool(*words: str, folder: Path) -> None:
    done = subprocess.run(
        ["promtool", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_when_it_has_to(tmp_path: Path) -> None:
    groups = rules()
    names = {rule["alert"] for group in groups["groups"] for rule in group["rules"]}
    assert {name for name, _, fires in CASES if fires} == names
    assert {name for name, _, fires in CASES if not fires} == names
    evaluate([(name, series, 40, int(fires)) for name, series, fires in CASES], tmp_path)


def test_an_alert_counts_on_after_a_reset_and_ends_after_recovery(tmp_path: Path) -> None:
    evaluate(TIMES, tmp_path)


def test_without_any_series_only_the_missing_leader_is_reported(tmp_path: Path) -> None:
    names = sorted({name for name, _, _ in CASES} - {"AsyncEndpointsNoLeader"})
    evaluate([(name, [], minute, 0) for name in names for minute in (1, 30)], tmp_path)


def evaluate(cases: Iterable[tuple[str, Series, int, int]], folder: Path) -> None:
    """Have promtool find that `(alert, series, minute, how many fire)`."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules()))
    tests = [
        {
            "name": f"{name}: {count} at {minute}: {series}",
            "interval": "1m",
            "input_series": [{"series": each, "values": values} for each, values in series],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                    "eval_time": f"{minute}m",
                    "exp_samples": [{"labels": "{}", "value": count}] if count else [],
                }
            ],
        }
        for name, series, minute, count in cases
    ]
    (folder / "tests.yaml").write_text(json.dumps({"rule_files": ["rules.yaml"], "tests": tests}))
    promtool("check", "rules", "rules.yaml", folder=folder)
    promtool("test", "rules", "tests.yaml", folder=folder)
