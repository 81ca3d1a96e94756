"""The code of docs/code-first.md, imported and run verbatim."""

import re
import sys
from pathlib import Path

import pytest

from asyncendpoints import Endpoint
from support.paths import ROOT

PAGE = ROOT / "docs" / "code-first.md"


def test_the_code_of_the_page_makes_an_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for number, block in enumerate(blocks):
        first = block.partition("\n")[0]
        (tmp_path / (first[2:] if first.startswith("# ") else f"page{number}.py")).write_text(block)
    try:
        import shop  # type: ignore[import-not-found]  # written above

        for block in blocks[1:]:
            exec(compile(block, str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102 - our page
        assert isinstance(shop.ep, Endpoint)
        [route] = shop.ep.resource().spec.routes
        assert (route.job, route.path) == ("place-order", "/orders/{customer}")
        assert route.result is not None
        assert "totalCents" in (route.result.schema_ or {})["properties"]
    finally:
        sys.modules.pop("shop", None)
