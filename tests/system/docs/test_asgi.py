"""docs/asgi.md: its application runs as the page says."""

import asyncio
import importlib.util
import sys
from pathlib import Path

import pytest

from support.http.asgi_call import ask, started
from support.pages import blocks
from support.paths import ROOT

ENDPOINT = """
apiVersion: asyncendpoints.io/v1alpha1
kind: AsyncEndpoint
metadata: {name: sums}
spec:
  routes: [{path: "/sums/{customer}", job: add-up}]
  worker: {handlers: page_jobs}
"""
CODE = """\
from asyncendpoints import handler

@handler("add-up")
async def add_up() -> str:
    return "done"
"""


async def test_the_application_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = blocks(ROOT / "docs" / "asgi.md", "python")
    (tmp_path / "endpoint.yaml").write_text(ENDPOINT)
    (tmp_path / "page_jobs.py").write_text(CODE)
    (tmp_path / "page_app.py").write_text(program)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = importlib.util.spec_from_file_location("page_app", tmp_path / "page_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        async with started(module.app):
            refused = await ask(
                module.app, "POST", "/async/sums/acme", raw_path=b"/async/sums/acme"
            )
            assert (refused.status, refused.json["detail"]) == (403, "send X-Tenant")
            headers = [(b"x-tenant", b"acme"), (b"prefer", b"wait=30")]
            done = await asyncio.wait_for(
                ask(module.app, "POST", "/async/sums/acme", headers=headers), 30
            )
            assert (done.status, done.body) == (200, b"done")
            assert done.headers["location"].startswith("/async/jobs/")
    finally:
        sys.modules.pop("page_jobs", None)
