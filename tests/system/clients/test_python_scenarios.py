"""Both Python clients in every scenario of scenarios.yaml."""

import asyncio
from pathlib import Path

import pytest

from support.clients.python_runner import run_async, run_sync
from support.clients.scenario_server import Scenario, scenario_server, scenarios


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda one: one["name"])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_scenario(scenario: Scenario, kind: str, tmp_path: Path) -> None:
    async with scenario_server() as server:
        run = server.run(kind, scenario)
        url = f"{server.url}/{kind}"
        if kind == "sync":
            outcome = await asyncio.to_thread(run_sync, url, scenario, tmp_path)
        else:
            outcome = await run_async(url, scenario, tmp_path)
    run.check(outcome)
    expected = ["result"] if outcome.get("value") == 300_000 else []
    assert [file.name for file in tmp_path.iterdir()] == expected
