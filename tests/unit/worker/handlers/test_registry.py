"""Declaring handlers, and importing an endpoint's module for them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncendpoints_core.errors import UsageError
from asyncendpoints_worker.handlers import modules
from asyncendpoints_worker.handlers.registry import handler

HANDLER = "from asyncendpoints_worker import handler, on_startup\n"


@pytest.fixture(autouse=True)
def _clean_imports() -> Iterator[None]:
    path, loaded = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(HANDLER + text)
    return file


def test_the_function_is_returned_unchanged() -> None:
    def function() -> None: ...

    assert handler("unchanged")(function) is function


def test_a_module_fills_the_registry_of_its_endpoint(tmp_path: Path) -> None:
    write(tmp_path, "reports_a/__init__.py", "")
    write(tmp_path, "reports_a/more.py", '@handler("two")\ndef two(): ...\n')
    write(
        tmp_path,
        "reports_a/jobs.py",
        'from . import more\n@handler("one")\ndef one(): ...\n@on_startup\ndef up(): ...\n',
    )
    found = modules.load(["reports_a.jobs"], [tmp_path])
    assert sorted(found.handlers) == ["one", "two"]
    assert [each.__name__ for each in found.startup] == ["up"]


def test_two_endpoints_share_a_module_and_each_has_only_its_own(tmp_path: Path) -> None:
    write(tmp_path, "common_b.py", '@handler("common")\ndef common(): ...\n')
    write(tmp_path, "one_b.py", 'import common_b\n@handler("one")\ndef one(): ...\n')
    write(tmp_path, "two_b.py", 'from common_b import common\n@handler("two")\ndef two(): ...\n')
    assert sorted(modules.load(["one_b"], [tmp_path]).handlers) == ["common", "one"]
    assert sorted(modules.load(["two_b"], [tmp_path]).handlers) == ["common", "two"]
    assert sorted(modules.load(["one_b"], [tmp_path]).handlers) == ["common", "one"]


def test_a_duplicate_name_fails_naming_both_places(tmp_path: Path) -> None:
    file = write(
        tmp_path, "twice_c.py", '@handler("x")\ndef one(): ...\n@handler("x")\ndef two(): ...\n'
    )
    with pytest.raises(UsageError) as caught:
        modules.load(["twice_c"], [tmp_path])
    assert f"{file}:2" in str(caught.value)
    assert f"{file}:4" in str(caught.value)


def test_a_module_that_cannot_be_imported_is_one_line_with_the_place(tmp_path: Path) -> None:
    file = write(tmp_path, "broken_d.py", "import nonexistent_module\n")
    with pytest.raises(UsageError) as caught:
        modules.load(["broken_d"], [tmp_path])
    assert "nonexistent_module" in str(caught.value)
    assert f"{file}:2" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent_e"):
        modules.load(["absent_e"], [tmp_path])


def test_a_syntax_error_is_a_usage_error(tmp_path: Path) -> None:
    write(tmp_path, "syntax_f.py", "def (:\n")
    with pytest.raises(UsageError, match=r"syntax_f\.py:2"):
        modules.load(["syntax_f"], [tmp_path])


@pytest.mark.parametrize("keyword", ["async def", "def"])
def test_generators_are_refused_at_import(tmp_path: Path, keyword: str) -> None:
    name = f"generator_{keyword.split()[0]}"
    write(tmp_path, f"{name}.py", f'@handler("g")\n{keyword} g():\n    yield 1\n')
    with pytest.raises(UsageError, match="generator"):
        modules.load([name], [tmp_path])


def test_a_static_method_that_is_a_generator_is_refused(tmp_path: Path) -> None:
    text = 'class Jobs:\n    @handler("g")\n    @staticmethod\n    def g():\n        yield 1\n'
    write(tmp_path, "static_g.py", text)
    with pytest.raises(UsageError, match="generator"):
        modules.load(["static_g"], [tmp_path])


def test_a_cached_generator_is_refused(tmp_path: Path) -> None:
    text = 'from functools import cache\n@handler("g")\n@cache\ndef g():\n    yield 1\n'
    write(tmp_path, "cached_g.py", text)
    with pytest.raises(UsageError, match="generator"):
        modules.load(["cached_g"], [tmp_path])


@pytest.mark.parametrize("name", ["time", "sys", "__main__", "json"])
def test_a_module_that_python_has_already_is_refused(tmp_path: Path, name: str) -> None:
    file = write(tmp_path, f"{name}.py", '@handler("a")\ndef a(): ...\n')
    with pytest.raises(UsageError, match=f'two modules are called "{name}": ') as caught:
        modules.load([name], [tmp_path])
    assert str(file) in str(caught.value)


def test_declarations_end_with_the_module_that_made_them(tmp_path: Path) -> None:
    write(tmp_path, "edited_i.py", '@handler("before")\ndef before(): ...\n')
    assert sorted(modules.load(["edited_i"], [tmp_path]).handlers) == ["before"]
    write(tmp_path, "edited_i.py", '@handler("after_it")\ndef after_it(): ...\n')
    modules.forget([tmp_path])
    assert sorted(modules.load(["edited_i"], [tmp_path]).handlers) == ["after_it"]


def test_start_up_functions_run_in_the_order_of_their_declaration(tmp_path: Path) -> None:
    write(tmp_path, "database_j.py", "@on_startup\ndef first(): ...\n")
    write(
        tmp_path,
        "jobs_j.py",
        "@on_startup\ndef zero(): ...\nimport database_j\n@on_startup\ndef second(): ...\n",
    )
    for _ in range(2):  # imported, and found imported
        found = modules.load(["jobs_j"], [tmp_path])
        assert [each.__name__ for each in found.startup] == ["zero", "first", "second"]


def test_a_module_whose_import_failed_leaves_no_handlers_behind(tmp_path: Path) -> None:
    write(tmp_path, "helper_k.py", '@handler("helper")\ndef helper(): ...\n')
    write(tmp_path, "broken_k.py", 'import helper_k\n@handler("x")\ndef x(): ...\n1 / 0\n')
    write(tmp_path, "other_k.py", '@handler("other")\ndef other(): ...\n')
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        modules.load(["broken_k"], [tmp_path])
    assert sorted(modules.load(["other_k"], [tmp_path]).handlers) == ["other"]


def test_a_name_is_needed() -> None:
    with pytest.raises(UsageError, match="name"):
        handler("")
