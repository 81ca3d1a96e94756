"""Requests generated from the served OpenAPI document; the long form is in tests/hostile."""

from pathlib import Path

import pytest

from asyncendpoints_core.store.memory import MemoryStore
from support.http.document_fuzz import schemathesis


async def test_the_document_is_true_of_every_response(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = ("--include-operation-id-regex", "Job|Result|post_typed")
    options = ("--phases", "coverage,stateful", "--max-examples", "4", "--seed", "1")
    await schemathesis(MemoryStore(), tmp_path, *chosen, *options)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
