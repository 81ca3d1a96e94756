"""Golden files: the output of a pure function, stored for review and comparison.

UPDATE_GOLDEN=1 in the environment writes them anew; the difference is then in git.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes no anchors, and multi-line texts as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def check_golden(path: Path, documents: Iterable[Mapping[str, Any]]) -> None:
    """Compare documents with a golden file of YAML."""
    made = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(made, encoding="utf-8")
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    assert made == kept, f"{path.name} differs: run the test with UPDATE_GOLDEN=1, read the diff"
