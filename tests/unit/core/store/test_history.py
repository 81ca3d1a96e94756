"""Recorded calls: one line each with what was asked and answered, also of calls that failed."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from asyncendpoints_core.errors import WorkerGone
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Progress, complete
from asyncendpoints_core.store.history import DESCRIPTIONS, record_history
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.replies import Cause, WorkerInfo
from support.store.stores import DONE, new


def lines(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.glob("run-*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_life_of_a_job_is_recorded(tmp_path: Path) -> None:
    store = record_history(MemoryStore(), tmp_path / "history", "run")
    await store.open()
    job = new(key="k")
    await store.enqueue([job])
    await store.register(WorkerInfo("w1", "pod", "n", 4))
    (claimed,) = (await store.claim("w1", 1, 5)).jobs
    await store.progress([(claimed.claim, Progress(0.5))])
    await store.settle([complete(claimed.claim, DONE)])
    await store.cancel([job.id])
    await store.redrive([job.id])
    await store.reconcile("w1", [])
    await store.release_worker("w1", Cause.DRAINED)
    await store.recover()
    await store.delete([job.id])
    await store.close()
    found = lines(tmp_path / "history")
    assert [line["verb"] for line in found] == [
        *("enqueue", "register", "claim", "progress", "settle", "cancel", "redrive"),
        *("reconcile", "release_worker", "recover", "delete"),
    ]
    by_verb = {line["verb"]: line for line in found}
    job_id, number = ids.text(job.id), claimed.claim.number
    (submitted,) = by_verb["enqueue"]["items"]
    assert (submitted["job"], submitted["key"], submitted["status"]) == (job_id, "k", "created")
    assert by_verb["claim"]["items"] == [{"job": job_id, "claim": number, "attempt": 1}]
    (settled,) = by_verb["settle"]["items"]
    assert (settled["status"], settled["state"]) == ("applied", "Completed")
    assert (settled["claim"], settled["worker"], settled["kind"]) == (number, "w1", "COMPLETE")
    assert by_verb["progress"]["items"][0]["fraction"] == 0.5
    assert by_verb["cancel"]["items"][0]["status"] == "final"
    assert by_verb["redrive"]["items"][0]["status"] == "not-retryable"
    assert by_verb["reconcile"]["released"] == 0
    assert by_verb["release_worker"]["cause"] == "drained"
    assert by_verb["delete"]["items"] == [{"job": job_id, "status": "deleted"}]
    assert all(line["begun"] <= line["ended"] for line in found)


def test_descriptions_take_the_arguments_of_their_verbs() -> None:
    for verb, describe in DESCRIPTIONS.items():
        _, *taken = inspect.signature(describe).parameters
        _, *given = inspect.signature(getattr(Store, verb)).parameters
        if taken[-1:] == ["_"]:  # what does not matter here
            taken, given = taken[:-1], given[: len(taken) - 1]
        assert taken == given, verb


async def test_failed_call_is_recorded_with_its_error(tmp_path: Path) -> None:
    store = record_history(MemoryStore(), tmp_path, "run")
    await store.open()
    with pytest.raises(WorkerGone):
        await store.claim("nobody", 1, 5)
    (line,) = lines(tmp_path)
    assert (line["error"], line["worker"], line["items"]) == ("WorkerGone", "nobody", [])


def test_without_a_folder_the_store_is_as_it_was() -> None:
    store = MemoryStore()
    assert record_history(store, None, "run") is store
    assert "claim" not in vars(store)
