"""The generated reference pages: complete, and without dead links."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import asyncendpoints
from asyncendpoints import testing
from asyncendpoints_core.process.settings import all_settings
from asyncendpoints_core.resource.fields import walk
from support.paths import ROOT


def reference() -> ModuleType:
    spec = spec_from_file_location("reference", ROOT / "tools/generators/reference.py")
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


def test_every_public_name_of_python_is_described() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    names = {name for name in asyncendpoints.__all__ if name not in ("__version__", "testing")}
    for name in (*names, *testing.__all__):
        described = text.partition(f"### `{name}`\n")[2].partition("\n### ")[0]
        assert re.search(r"```\n\n[A-Z`]", described), name
