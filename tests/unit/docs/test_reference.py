"""The generated reference pages: complete, and without dead links."""

import ast
import dataclasses
import inspect
import pkgutil
import re
import textwrap
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

import pytest

import asyncendpoints
import asyncendpoints_client
from asyncendpoints import testing
from asyncendpoints_core.process.settings import all_settings
from asyncendpoints_core.resource.fields import walk
from support.paths import ROOT


@cache
def reference(name: str = "reference") -> ModuleType:
    spec = spec_from_file_location(name, ROOT / f"tools/generators/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_record_and_field_is_described() -> None:
    text = reference().resource_md("")
    for field in walk():
        if field.path not in ("metadata.uid", "metadata.generation"):
            assert f"| `{field.name}` |" in text, field.path
    assert "see below" in text
    # The DNS policy of that name is not an absent value.
    assert "None" not in re.sub("None of|`None`|dnsPolicy None", "", text)


def test_links_lead_to_headings() -> None:
    text = reference().resource_md("")
    headings = {re.sub(r"[^a-z0-9_-]", "", h.lower()) for h in re.findall(r"^## (.*)$", text, re.M)}
    links = set(re.findall(r"\(#([^)]*)\)", text))
    assert links
    assert links <= headings


def test_tables_have_as_many_cells_as_their_heads() -> None:
    for text, cells in ((reference().resource_md(""), 4), (reference().settings_md(""), 6)):
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert rows
        for row in rows:
            assert len(re.findall(r"(?<!\\)\|", row)) == cells + 1, row


def test_every_setting_is_described() -> None:
    text = reference().settings_md("")
    for one in all_settings():
        assert f"`{one.env}`" in text
        assert not one.about.flag or f"`{one.about.flag}`" in text


def test_the_pages_in_the_checkout_are_current() -> None:
    assert (ROOT / "docs/resource.md").read_text() == reference().resource_md("")
    assert (ROOT / "docs/settings.md").read_text() == reference().settings_md("")


FACES = (asyncendpoints, testing, asyncendpoints_client)
NAMES = [
    (face, name)
    for face in FACES
    for name in face.__all__
    if not name.startswith("__") and not inspect.ismodule(getattr(face, name))
]


def entry(face: ModuleType, name: str) -> str:
    """Return what docs/api.md says about a public name."""
    page = (ROOT / "docs" / "api.md").read_text() + "\n## "
    section = page.partition(f"\n## {face.__name__}\n")[2].partition("\n## ")[0]
    return section.partition(f"\n### `{name}`\n")[2].partition("\n### ")[0]


def functions(value: Any) -> list[tuple[str, Any]]:
    """Return the functions that a public name offers: itself, or its constructor and members."""
    if not inspect.isclass(value):
        return [("", value)]
    made = vars(value).get("__init__")
    found: list[tuple[str, Any]] = reference("api").members(value)
    if dataclasses.is_dataclass(value):
        return found
    if made is not None and value.__name__ not in reference("api").MADE:
        found.append(("__init__", made))
    return found


@pytest.mark.parametrize(("face", "name"), NAMES, ids=[f"{f.__name__}.{n}" for f, n in NAMES])
def test_every_public_name_of_python_is_described(face: ModuleType, name: str) -> None:
    """By its docstring, with each member and field, types, units, and what it raises."""
    text, value = entry(face, name), getattr(face, name)
    assert re.search(r"```\n\n[A-Z`]", text)
    fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    for field in fields:
        assert f"- `{field.name}: " in text or f"{field.name}: " in text.partition("```\n\n")[0]
    for member, function in functions(value):
        described = inspect.getdoc(function) or inspect.getdoc(value) or ""
        assert described, member
        if member and member != "__init__":
            assert re.search(rf"^- `(async )?{member}[`(].*: [A-Z]", text, re.MULTILINE), member
        if isinstance(function, property):
            continue
        everything = described + (inspect.getdoc(value) or "")
        for each in inspect.signature(function).parameters.values():
            assert each.name == "self" or each.annotation is not each.empty, (member, each)
            if "float" in str(each.annotation) and each.name not in ("fraction", "cancel_at"):
                assert "second" in everything + each.name, (member, each)
        for raised in raises(function):
            assert raised in everything, (member, raised)


def raises(function: Any) -> set[str]:
    """Return the names of the errors that a function raises itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc]
    names = [node.func if isinstance(node, ast.Call) else node for node in calls]
    return {node.id for node in names if isinstance(node, ast.Name) and node.id[0].isupper()}


@pytest.mark.parametrize(
    ("face", "modules"),
    [(asyncendpoints, {"testing"}), (testing, set()), (asyncendpoints_client, {"errors", "jobs"})],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_nothing_else_can_be_imported(face: ModuleType, modules: set[str]) -> None:
    assert {name for name in vars(face) if name[0] not in "_@"} <= {*face.__all__, *modules}
    found = {each.name for each in pkgutil.iter_modules(getattr(face, "__path__", []))}
    assert {name for name in found if not name.startswith("_")} == modules
