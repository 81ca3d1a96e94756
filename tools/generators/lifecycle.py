"""Generates diagram and table of the state machine in docs/lifecycle.md from core's states.py."""

from tools.generate import replace_block

from asyncendpoints_core.jobs.states import FINAL, TABLE, State

_OUTSIDE = "[*]"


def lifecycle_md(present: str) -> str:
    """Return the page with a new diagram and table."""
    page = replace_block(present, "diagram", _diagram())
    return replace_block(page, "table", _table())


def _diagram() -> str:
    """Draw the usual target of each verb; the table has the others as well."""
    lines = ["```mermaid", "stateDiagram-v2"]
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, verb), targets in TABLE.items():
        drawn = targets if state is None else targets[:1]
        for target in drawn:
            arrows.setdefault((_name(state), _name(target)), []).append(str(verb))
    for (start, end), verbs in arrows.items():
        lines.append(f"  {start} --> {end}: {', '.join(verbs)}")
    return "\n".join([*lines, "```"])


def _table() -> str:
    lines = ["| from | verb | to | or, if a budget is exhausted or a cancellation is pending |"]
    lines.append("|---|---|---|---|")
    for (state, verb), targets in TABLE.items():
        usual = targets if state is None else targets[:1]
        others = targets[len(usual) :]
        cells = (_shown(state), str(verb), *(_join(part) for part in (usual, others)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _name(state: State | None) -> str:
    return _OUTSIDE if state is None else state.value


def _shown(state: State | None) -> str:
    if state is None:
        return "—"
    return f"**{state.value}**" if state in FINAL else state.value


def _join(states: tuple[State | None, ...]) -> str:
    return ", ".join(_shown(state) for state in states)
