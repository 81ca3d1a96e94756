"""Modules of the same names in the folders of several endpoints."""

import copy
import pickle
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncendpoints_core.errors import UsageError
from asyncendpoints_worker.handlers import modules

HANDLER = "from asyncendpoints_worker import handler\n"


@pytest.fixture(autouse=True)
def _clean_imports() -> Iterator[None]:
    path, loaded, finders = list(sys.path), set(sys.modules), list(sys.meta_path)
    yield
    sys.path[:], sys.meta_path[:] = path, finders
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    """Write modules; `__` in a name is a folder's end."""
    for name, text in files.items():
        file = folder / f"{name.replace('__', '/', 1)}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def load(folder: Path, name: str = "jobs_m") -> Any:
    """Return the function of the one handler of a folder."""
    [found] = modules.load([name], [folder]).handlers.values()
    return found.function


JOBS = (
    HANDLER
    + """
import dataclasses
import shared_m
from package_m import part
import package_m.other as other

@dataclasses.dataclass
class Order:
    part: "Part"

@dataclasses.dataclass
class Part:
    name: str

@handler("work")
def work(body=None, job=None):
    import late_m
    from package_m.part import NAME
    return shared_m.NAME, part.NAME, other.NAME, late_m.NAME, NAME, package_m.NAME

import package_m
"""
)


def folder(tmp_path: Path, name: str) -> Path:
    """Write the modules of an endpoint, whose names are those of every other one."""
    value = f"NAME = {name!r}\n"
    write(tmp_path / name, jobs_m=JOBS, shared_m=value, late_m=value)
    below = {"package_m____init__": value, "package_m__part": value}
    write(tmp_path / name, **below, package_m__other="from .part import NAME\n")
    return tmp_path / name


def test_each_has_the_modules_of_its_folder(tmp_path: Path) -> None:
    names = ("one", "two", "three")
    found = {name: load(folder(tmp_path, name)) for name in names}
    for name in names:
        assert found[name]() == (name,) * 6


def test_what_looks_for_modules_by_their_names_finds_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        work = load(folder(tmp_path, name))
        order, part = work.__globals__["Order"], work.__globals__["Part"]
        assert typing.get_type_hints(order) == {"part": part}
        assert copy.deepcopy(part("a")) == part("a")
        assert pickle.dumps(part("a"))  # looks for the class, and compares it
        assert pickle.dumps(work)


def test_folders_of_one_name_are_two(tmp_path: Path) -> None:
    found = [load(folder(tmp_path / place, "api.v1")) for place in ("a", "b", "c")]
    paths = [each.__globals__["__file__"] for each in found]
    assert paths == [str(tmp_path / place / "api.v1" / "jobs_m.py") for place in ("a", "b", "c")]
    assert len({each.__module__ for each in found}) == 3


def test_a_helper_of_the_same_name_is_that_of_the_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        text = f'{HANDLER}import helper_m\n@handler("w")\ndef f(): return helper_m.NAME\n'
        write(tmp_path / name, **{f"jobs_{name}_m": text, "helper_m": f"NAME = {name!r}\n"})
    found = [load(tmp_path / name, f"jobs_{name}_m") for name in ("a", "b")]
    assert [each() for each in found] == ["a", "b"]


def test_tests_beside_the_modules_do_not_count(tmp_path: Path) -> None:
    for name in ("a", "b"):
        text = f'{HANDLER}@handler("w")\ndef f(): ...\n'
        write(tmp_path / name, **{f"own_{name}_m": text, "conftest": "", "test_jobs": ""})
        assert load(tmp_path / name, f"own_{name}_m").__module__ == f"own_{name}_m"


def test_an_edited_module_is_imported_again(tmp_path: Path) -> None:
    load(folder(tmp_path, "one"))
    two = folder(tmp_path, "two")
    load(two)
    write(two, jobs_m=f'{HANDLER}@handler("w")\ndef f(): return "edited"\n')
    modules.forget([two])
    assert load(two)() == "edited"


def test_a_module_that_is_missing_is_named_as_in_the_resource(tmp_path: Path) -> None:
    load(folder(tmp_path, "one"))
    two = folder(tmp_path, "two")
    with pytest.raises(UsageError) as caught:
        modules.load(["absent_m"], [two])
    said = str(caught.value)
    assert "cannot import absent_m: ModuleNotFoundError: No module named 'absent_m'; looked" in said
    assert said.endswith(f"; {two / 'absent_m.py'} does not exist")
    write(two, jobs_m="import nowhere_m\n")
    with pytest.raises(UsageError, match=r"No module named 'nowhere_m' \(.*jobs_m.py:1\)"):
        modules.load(["jobs_m"], [two])
