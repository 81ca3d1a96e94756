"""The package `asyncendpoints`: its names, their types, and what importing them costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import asyncendpoints
import asyncendpoints_gateway
import asyncendpoints_worker
from support.paths import ROOT

PACKAGES = [asyncendpoints, asyncendpoints_worker, asyncendpoints_gateway]
HEAVY = {"aiohttp", "asyncio", "jsonschema_rs", "msgspec", "prometheus_client", "pydantic", "redis"}


def typed_imports(file: str) -> Iterator[tuple[str, str]]:
    """Yield (name, module) of every import below `if TYPE_CHECKING`."""
    for node in ast.parse(Path(file).read_text()).body:
        if isinstance(node, ast.If):
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom)
                for alias in statement.names:
                    yield alias.name, statement.module or ""


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_types_names_and_dir_agree(package: object) -> None:
    module = sys.modules[getattr(package, "__name__")]  # noqa: B009 - any module of the list
    typed = dict(typed_imports(module.__file__ or ""))
    assert sorted(typed) == sorted(module.__all__) == dir(module)
    for name, defined_in in typed.items():
        assert getattr(module, name) is getattr(import_module(defined_in), name)


def test_the_public_names() -> None:
    assert set(asyncendpoints.__all__) >= {
        *("handler", "on_startup", "on_shutdown", "JobContext", "Result"),
        *("PermanentError", "RetryAfter", "UsageError"),
        *("attach", "load", "MemoryStore", "RedisStore", "__version__"),
    }


def test_type_checkers_see_every_name() -> None:
    """mypy and pyright check this file, in `make lint` and in tests/system/clients."""
    tree = ast.parse((ROOT / "tests/support/sdk/typed_use.py").read_text())
    (imported,) = (
        [alias.name for alias in node.names]
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "asyncendpoints"
    )
    assert imported == asyncendpoints.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'asyncendpoints' has no attribute 'no_name'"):
        asyncendpoints.no_name  # type: ignore[attr-defined]  # noqa: B018 - reading it is the test


@pytest.mark.parametrize("package", ["asyncendpoints", "asyncendpoints_worker"])
def test_the_decorators_import_nothing_heavy(package: str) -> None:
    program = (
        f"from {package} import handler, on_startup, on_shutdown\n"
        f"if {package == 'asyncendpoints'}: from asyncendpoints import Endpoint\n"
        "import sys\n"
        f"print(*sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_what_a_module_of_handlers_imports() -> None:
    """Beyond what `typing` does, which is in every module with types: our own modules alone."""
    program = (
        "import __future__, importlib, math, sys, types, typing\n"
        "before = set(sys.modules)\n"
        "from asyncendpoints import handler\n"
        "handler('work')(lambda: None)\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [
        "asyncendpoints",
        "asyncendpoints_core",
        "asyncendpoints_core.common",
        "asyncendpoints_core.common.lazy_exports",
        "asyncendpoints_core.errors",
        "asyncendpoints_worker",
        "asyncendpoints_worker.handlers",
        "asyncendpoints_worker.handlers.registry",
    ]
