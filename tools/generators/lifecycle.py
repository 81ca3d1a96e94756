"""Draws the state machine in docs/lifecycle.md from the table in core's states.py."""

from tools.generate import replace_block

from asyncendpoints_core.jobs.states import FINAL, TABLE, State

_OUTSIDE = "[*]"


def lifecycle_md(present: str) -> str:
    """Return the page with its diagram and its table written anew."""
    page = replace_block(present, "diagram", _diagram())
    return replace_block(page, "table", _table())


def _diagram() -> str:
    """Draw where a verb leads when nothing else intervenes; the table has its other exits."""
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
    lines = ["| from | verb | to | or, when a budget is spent or a cancel was asked for |"]
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
