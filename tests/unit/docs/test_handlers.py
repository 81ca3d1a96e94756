"""The handlers in docs/handlers.md, imported and run verbatim."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_worker.handlers import modules, registry
from asyncendpoints_worker.local import LocalWorker
from support.paths import ROOT
from support.store.work import endpoint, new_job, submit, until_final

PAGE = ROOT / "docs" / "handlers.md"

RUNS = [
    ("build-report", b'{"customer": "a", "lines": [1, 2]}', b'{"customer":"a","total":3}'),
    ("build-report", b'{"customer": "a", "lines": []}', "empty-report"),
    ("build-report", b'{"customer": "a"}', "invalid-payload"),
    ("order", b'{"sku": "x"}', b'{"sku":"x","count":1}'),
    ("upload", b"abc", b"3"),
    ("upload", b"", b"0"),
    ("ping", b"", b"null"),
    ("export", b'{"a": 1}', b"a,1"),
    ("fetch", b"{}", b"fetched in run 2"),
    ("fetch", b'{"gone": true}', "unknown-customer"),
    ("steps", b"5", b"5"),
    ("connected", b"", b'["database"]'),
    ("import-orders", b'["a", "b"]', b"2"),
    ("import-order", b'{"sku": "a"}', b"a"),
]


@pytest.fixture
def handlers(tmp_path: Path) -> Iterator[registry.Registry]:
    """The handlers of every block of the page that names its file."""
    path, loaded = list(sys.path), set(sys.modules)
    names = []
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        file = tmp_path / block.partition("\n")[0].removeprefix("# ")
        file.parent.mkdir(exist_ok=True)
        file.write_text(block)
        names.append(".".join(file.relative_to(tmp_path).with_suffix("").parts))
    yield modules.load(names, [tmp_path])
    sys.path[:] = path
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


async def test_every_handler_of_the_page_does_what_it_says(handlers: registry.Registry) -> None:
    assert {name for name, _, _ in RUNS} == set(handlers.handlers)
    store = MemoryStore()
    await store.open()
    worker = LocalWorker(endpoint(), store, handlers)
    await worker.start()
    job_ids = await submit(store, *(new_job(name, body) for name, body, _ in RUNS))
    jobs = await until_final(store, *job_ids)
    for job, (name, _, expected) in zip(jobs, RUNS, strict=True):
        if isinstance(expected, str):
            assert job.error is not None, name
            assert (job.state, job.error.code) == (State.FAILED, expected)
        else:
            result = (await store.result(job.id))[1]
            assert result is not None, (name, job.error)
            assert result.body == expected
    await worker.stop()
    await store.close()
