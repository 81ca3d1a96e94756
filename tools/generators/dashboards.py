"""Generates the chart's Grafana dashboard from a table of panels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

WIDTH: Final = 12
HEIGHT: Final = 8
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
ONE: Final = 'namespace="$namespace",endpoint="$endpoint"'


@dataclass(frozen=True)
class Panel:
    """A graph: its title, the unit of its values, a description, queries with their legends."""

    title: str
    unit: str
    about: str
    queries: tuple[tuple[str, str], ...]


def _rate(metric: str, labels: str = "") -> str:
    return f"rate({metric}{{{ONE}{labels}}}[$__rate_interval])"


def _quantile(share: float, metric: str, by: str = "") -> str:
    rates = _rate(f"{metric}_bucket")
    return f"histogram_quantile({share}, sum by (le{by}) ({rates}))"


# The operator and all gateways report the store's own figures: hence `max`. Of these, gateways
# report jobs by name, so names are added up first.
PANELS: Final = (
    Panel(
        "Jobs",
        "short",
        "Retained jobs by state.",
        (
            (
                f"max by (state) (sum by (state, instance) (asyncendpoints_jobs{{{ONE}}}))",
                "{{state}}",
            ),
        ),
    ),
    Panel(
        "Oldest queued job",
        "s",
        "How long the oldest queued job has waited.",
        ((f"max(asyncendpoints_queue_age_seconds{{{ONE}}})", "age"),),
    ),
    Panel(
        "Jobs per second",
        "cps",
        "What happened to jobs.",
        (
            (
                "max by (event) ("
                + _rate("asyncendpoints_job_events_total", ',event=~"created|completed|canceled"')
                + ")",
                "{{event}}",
            ),
        ),
    ),
    Panel(
        "Failures per second",
        "cps",
        "Jobs that failed for good, attempts that are retried, and attempts lost in crashes.",
        (
            (
                "max by (event) ("
                + _rate(
                    "asyncendpoints_job_events_total",
                    ',event=~"failed|retried|timed_out|expired|crashed|recovered"',
                )
                + ")",
                "{{event}}",
            ),
        ),
    ),
    Panel(
        "Submissions per second",
        "reqps",
        "Requests to routes by outcome: created, replayed, or why they were refused.",
        ((f"sum by (outcome) ({_rate('asyncendpoints_submissions_total')})", "{{outcome}}"),),
    ),
    Panel(
        "Duration of requests, p95",
        "s",
        "By operation, including the time that requests waited for a job.",
        (
            (
                _quantile(0.95, "asyncendpoints_http_request_duration_seconds", ", operation"),
                "{{operation}}",
            ),
        ),
    ),
    Panel(
        "Time to start",
        "s",
        "From when jobs were due to their start.",
        (
            (_quantile(0.5, "asyncendpoints_time_to_start_seconds"), "p50"),
            (_quantile(0.95, "asyncendpoints_time_to_start_seconds"), "p95"),
        ),
    ),
    Panel(
        "Duration of attempts, p95",
        "s",
        "By job.",
        ((_quantile(0.95, "asyncendpoints_attempt_duration_seconds", ", job"), "{{job}}"),),
    ),
    Panel(
        "Attempts per second",
        "cps",
        "By job and outcome.",
        (
            (
                f"sum by (job, outcome) ({_rate('asyncendpoints_attempts_total')})",
                "{{job}} {{outcome}}",
            ),
        ),
    ),
    Panel(
        "Workers",
        "short",
        "Workers that scaling wants, and worker processes that are registered.",
        (
            (
                f'max(asyncendpoints_workers{{{ONE},kind="wanted"}}) '
                f"or max(asyncendpoints_scaling_replicas{{{ONE}}})",
                "wanted",
            ),
            (f'max(asyncendpoints_workers{{{ONE},kind!="wanted"}})', "registered"),
        ),
    ),
    Panel(
        "Request bytes in the queue",
        "bytes",
        "Of jobs that wait or run.",
        ((f"max(asyncendpoints_queue_bytes{{{ONE}}})", "bytes"),),
    ),
    Panel(
        "Unavailable store",
        "reqps",
        "Requests answered 503 because the store did not answer.",
        ((f"sum({_rate('asyncendpoints_store_errors_total')})", "errors"),),
    ),
)


def endpoints(_: str) -> str:
    """Return the dashboard of one endpoint, whose namespace and name are variables."""
    dashboard = {
        "uid": "asyncendpoints-endpoint",
        "title": "AsyncEndpoint",
        "tags": ["asyncendpoints"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": [_panel(index, panel) for index, panel in enumerate(PANELS)],
    }
    return json.dumps(dashboard, indent=2) + "\n"


def _variables() -> list[dict[str, Any]]:
    labels = (
        ("namespace", "label_values(asyncendpoints_jobs, namespace)"),
        ("endpoint", 'label_values(asyncendpoints_jobs{namespace="$namespace"}, endpoint)'),
    )
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        *(
            {
                "name": name,
                "label": name.capitalize(),
                "type": "query",
                "datasource": SOURCE,
                "query": {"query": query, "refId": name},
                "refresh": 2,
                "sort": 1,
            }
            for name, query in labels
        ),
    ]


def _panel(index: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": index + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": {
            "x": index % 2 * WIDTH,
            "y": index // 2 * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend,
            }
            for number, (expr, legend) in enumerate(panel.queries)
        ],
    }
