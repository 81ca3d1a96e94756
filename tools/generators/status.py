"""Makes docs/status.md from the status model, the conditions and the Events of the operator."""

from asyncendpoints_core.resource.base import Record
from asyncendpoints_core.resource.fields import names_of, record_in
from asyncendpoints_operator.crd.definition import COLUMNS
from asyncendpoints_operator.status.model import EndpointStatus
from asyncendpoints_operator.status.reasons import CONDITIONS, EVENTS

_INTRODUCTION = """\
# What the status says

<!-- Written by `make generate`; change operator/asyncendpoints_operator instead. -->

The operator writes the status of an [AsyncEndpoint](resource.md), and nobody else. A change of a \
condition, of replicas or of a pin is written at once, one of counts at most every 10 s. Where \
something cannot be read, the last known value stays, and a condition says so.
"""


def status_md(_: str) -> str:
    """Return docs/status.md."""
    lines = [_INTRODUCTION, "## Columns of `kubectl get aep`\n"]
    lines += ["| column | field | meaning |", "|---|---|---|"]
    for column in COLUMNS:
        name = column["name"].upper() + (" (wide)" if column.get("priority") else "")
        lines.append(f"| {name} | `{column['jsonPath'][1:]}` | {column['description']} |")
    lines += ["\n## Fields\n", "| field | meaning |", "|---|---|"]
    lines += _fields(EndpointStatus, "status")
    lines.append("\n## Conditions\n")
    for condition, about in CONDITIONS.items():
        lines += [f"### {condition}\n", f"{about.meaning}\n", "| reason | meaning |", "|---|---|"]
        lines += [f"| {reason} | {meaning} |" for reason, meaning in about.reasons.items()]
        lines.append("")
    lines.append("## Events\n")
    lines.append("Told at most once in 30 s for each reason; what was held back is counted.\n")
    lines += ["| reason | meaning |", "|---|---|"]
    lines += [f"| {reason} | {meaning} |" for reason, meaning in EVENTS.items()]
    return "\n".join(lines) + "\n"


def _fields(record: type[Record], path: str) -> list[str]:
    lines = []
    for name, info in zip(names_of(record), record.model_fields.values(), strict=True):
        below = record_in(info.annotation)
        lines.append(f"| `{path}.{name}` | {info.description} |")
        if below is not None:
            is_list = name in {"conditions", "recentFailures"}
            lines += _fields(below, f"{path}.{name}" + ("[]" if is_list else ""))
    return lines
