"""CONTRIBUTING.md limits the sizes of files and functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

from support.paths import ROOT

FOLDERS = (
    *("core", "console", "gateway", "worker", "operator", "cli", "sdk", "client"),
    *("examples", "tools"),
)
MAX_FILE, MAX_FUNCTION = 350, 40


def _files(*suffixes: str) -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and "node_modules" not in path.parts:
                yield path


def test_no_file_is_longer_than_350_lines() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in _files(".py", ".lua")}
    assert len(sizes) > 400
    assert {str(path): size for path, size in sizes.items() if size > MAX_FILE} == {}


def test_no_function_is_longer_than_40_lines() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": size
        for path in _files(".py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (size := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION
    }
    assert long == {}
