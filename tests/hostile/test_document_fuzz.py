"""Many requests generated from the served OpenAPI document, on both stores."""

from pathlib import Path

import pytest

from asyncendpoints_core.store.protocol import Store
from support.http.document_fuzz import schemathesis
from support.http.fixtures import store

__all__ = ["store"]


@pytest.mark.timeout(900)
async def test_the_document_is_true_of_every_response(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await schemathesis(store, tmp_path, "--max-examples", "60")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
