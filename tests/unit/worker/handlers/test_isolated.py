"""Modules of the same names in the folders of several endpoints."""

import builtins
import copy
import pickle
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncendpoints_cli.code_first.find import find
from asyncendpoints_core.errors import UsageError
from asyncendpoints_worker.handlers import isolated, modules

HANDLER = "from asyncendpoints_worker import handler\n"


@pytest.fixture(autouse=True)
def _clean_imports() -> Iterator[None]:
    path, loaded, finders = list(sys.path), set(sys.modules), list(sys.meta_path)
    yield
    isolated.FOLDERS.clear()
    isolated.FORGOTTEN.clear()
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


def returning(expression: str, imports: str = "") -> str:
    """Return a module whose only handler returns an expression."""
    return f'{HANDLER}{imports}\n@handler("w")\ndef f():\n    return {expression}\n'


def test_folders_without_init_files(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        text = returning("NAME, util.NAME", f"from app_n import util\nNAME = {name!r}\n")
        write(tmp_path / name, app_n__jobs=text, app_n__util=f"NAME = {name!r}\n")
        found.append(load(tmp_path / name, "app_n.jobs"))
    assert [each() for each in found] == [("a", "a"), ("b", "b")]


@pytest.mark.parametrize("module", ["jobs_n", "jobs_{}_n"])
def test_helpers_in_folders_without_init_files(tmp_path: Path, module: str) -> None:
    found = []
    for name in ("a", "b"):
        text = returning("util.NAME", "from lib_n.deep import util")
        jobs = module.format(name)
        write(tmp_path / name, **{jobs: text})
        write(tmp_path / name / "lib_n" / "deep", util=f"NAME = {name!r}\n")
        found.append(load(tmp_path / name, jobs))
    assert [each() for each in found] == ["a", "b"]


def test_a_package_that_is_installed_comes_before_a_folder_without_init_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "installed", lib_n____init__="NAME = 'installed'\n")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    for name in ("a", "b"):
        write(tmp_path / name, jobs_n=returning("lib_n.NAME", "import lib_n"), lib_n__util="")
        assert load(tmp_path / name, "jobs_n")() == "installed"


def test_handlers_of_an_installed_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "installed", shop_n=returning("1"))
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    for name in ("a", "b"):
        write(tmp_path / name, jobs_n="")
        assert load(tmp_path / name, "shop_n").__module__ == "shop_n"


def test_a_module_that_is_added_beside_one_of_its_name_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, **{f"jobs_{name}_n": returning("1")})
        load(tmp_path / name, f"jobs_{name}_n")
    for name in ("a", "b"):
        write(tmp_path / name, app_n__jobs=returning(repr(name)))
    assert load(tmp_path / "a", "app_n.jobs")() == "a"
    with pytest.raises(UsageError, match=r'two modules are called "app_n.jobs": .*; rename one'):
        modules.load(["app_n.jobs"], [tmp_path / "b"])


def test_the_package_of_a_folder_stays_the_same(tmp_path: Path) -> None:
    one, two = folder(tmp_path, "one"), folder(tmp_path, "two")
    assert (load(one).__module__, load(two).__module__) == ("jobs_m", "run:two.jobs_m")
    assert load(one).__module__ == "jobs_m"
    modules.forget([one, two])
    text = (one / "jobs_m.py").read_text()
    (one / "jobs_m.py").write_text("def\n")
    with pytest.raises(UsageError, match="SyntaxError"):
        load(one)
    assert load(two).__module__ == "run:two.jobs_m"
    (one / "jobs_m.py").write_text(text)
    assert load(one).__module__ == "jobs_m"
    assert (load(one)()[0], load(two)()[0]) == ("one", "two")


def test_an_endpoint_in_code_is_found_in_its_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        text = f"from asyncendpoints import Endpoint\nep = Endpoint({name!r})\n"
        write(tmp_path / name, code_m=text)
        found = find("code_m:ep", tmp_path / name)
        assert (found.name, found.declared().module) == (name, "code_m")


def test_names_that_python_uses_itself_are_not_shared(tmp_path: Path) -> None:
    text = returning("__main__.__name__", "import __main__")
    for name, module in (("a", "jobs_a_n"), ("b", "jobs_b_n"), ("c", "jobs_a_n")):
        write(tmp_path / name, **{module: text})
        for own in ("__init__", "__main__"):
            (tmp_path / name / f"{own}.py").write_text("1 / 0\n")
        work = load(tmp_path / name, module)
        assert work() == "__main__"
        assert work.__module__ == ("run:c.jobs_a_n" if name == "c" else module)


def test_builtins_that_are_installed_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for name in ("a", "b"):
        write(tmp_path / name, jobs_n=returning("translated_n('x')"))
        found.append(load(tmp_path / name, "jobs_n"))
    for each in found:
        with pytest.raises(NameError, match="translated_n"):
            each()
    monkeypatch.setattr(builtins, "translated_n", str.upper, raising=False)
    assert [each() for each in found] == ["X", "X"]


@pytest.mark.parametrize(("module", "own"), [("this", True), ("json", False), ("time", False)])
def test_a_helper_that_is_named_as_a_module_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, own: bool
) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    found = []
    for name in ("a", "b"):
        text = returning(f"getattr({module}, 'NAME_N', None)", f"import {module}")
        write(tmp_path / name, **{"jobs_n": text, module: f"NAME_N = {name!r}\n"})
        found.append(load(tmp_path / name, "jobs_n"))
    assert [each() for each in found] == (["a", "b"] if own else [None, None])


def test_a_helper_whose_name_begins_with_setup(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        text = returning("setup_db_n.NAME", "import setup_db_n")
        write(tmp_path / name, **{f"jobs_{name}_n": text, "setup_db_n": f"NAME = {name!r}\n"})
        found.append(load(tmp_path / name, f"jobs_{name}_n"))
    assert [each() for each in found] == ["a", "b"]


def test_folders_without_modules_and_virtual_environments_do_not_count(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, **{f"jobs_{name}_n": returning("1")}, tests__factories="")
        (tmp_path / name / "templates").mkdir()
        write(tmp_path / name / "venv" / "lib", other="")
        (tmp_path / name / "venv" / "pyvenv.cfg").touch()
        assert load(tmp_path / name, f"jobs_{name}_n").__module__ == f"jobs_{name}_n"
