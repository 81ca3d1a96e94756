"""An endpoint in code, served: schemas of its annotations at the gateway and in OpenAPI."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import validate
from pydantic import BaseModel, Field

from asyncendpoints import Endpoint, JobContext, MemoryStore, UsageError, attach, load, on_startup

ep = Endpoint("pets", worker={"concurrency": 2})
started: list[str] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives_left: int = Field(9, alias="livesLeft")


class Dog(BaseModel):
    kind: Literal["dog"]


class Owner(BaseModel):
    name: str
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


@on_startup
def start() -> None:
    started.append("started")


@ep.post("/owners/{town}")
async def add_owner(body: Owner, job: JobContext) -> Owner:
    return body.model_copy(update={"name": f"{body.name} of {job.route_params['town']}"})


@ep.post("/counts")
def count(body: list[int] | None) -> int:
    return -1 if body is None else sum(body)


Client = TestClient[web.Request, web.Application]
WAIT = {"Prefer": "wait=20"}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    app = web.Application()
    attach(app, ep, MemoryStore(), worker=True)
    async with TestClient(TestServer(app)) as made:
        yield made


async def test_bodies_and_results_are_what_the_annotations_say(client: Client) -> None:
    body: dict[str, Any] = {"name": "Ann", "pet": {"kind": "cat", "livesLeft": 3}}
    answer = await client.post("/owners/Rome", json=body, headers=WAIT)
    assert (answer.status, await answer.json()) == (200, body | {"name": "Ann of Rome"})
    refused = await client.post("/owners/Rome", json={"name": "Ann", "pet": {"kind": "cow"}})
    assert refused.status == 422
    assert (await client.post("/counts", json=["1"])).status == 422
    assert started[:1] == ["started"]


async def test_a_body_that_may_be_none_takes_an_empty_request(client: Client) -> None:
    for options in ({}, {"json": None}):
        answer = await client.post("/counts", headers=WAIT, **options)  # type: ignore[arg-type]
        assert (answer.status, await answer.json()) == (200, -1)
    answer = await client.post("/counts", json=[1, 2], headers=WAIT)
    assert (answer.status, await answer.json()) == (200, 3)
    for content_type in ("", "text/plain"):
        headers = {"Content-Type": content_type} if content_type else None
        skip = () if content_type else ("Content-Type",)
        wrong = await client.post("/counts", data=b"[1]", headers=headers, skip_auto_headers=skip)
        assert wrong.status == 415
    assert (await client.post("/owners/Rome")).status in (400, 415)


async def test_openapi_has_the_whole_types(client: Client) -> None:
    document = await (await client.get("/openapi.json")).json()
    validate(document)
    schemas = document["components"]["schemas"]
    pet = schemas["add-owner.body"]["properties"]["pet"]
    assert pet["discriminator"]["mapping"] == {
        "cat": "#/components/schemas/add-owner.body.Cat",
        "dog": "#/components/schemas/add-owner.body.Dog",
    }
    assert pet["oneOf"][0]["$ref"] in pet["discriminator"]["mapping"].values()
    assert "livesLeft" in schemas["add-owner.result.Cat"]["properties"]
    submission = document["paths"]["/counts"]["post"]
    assert submission["requestBody"]["required"] is False
    result = submission["responses"]["200"]["content"]["application/json"]["schema"]
    assert schemas[result["$ref"].rpartition("/")[2]]["type"] == "integer"
    assert document["paths"]["/owners/{town}"]["post"]["requestBody"]["required"] is True


FILE = """\
apiVersion: asyncendpoints.io/v1alpha1
kind: AsyncEndpoint
metadata: {name: from-file}
spec:
  routes: [{path: /twice, job: twice}]
  worker: {handlers: jobs_of_a_file}
"""
JOBS = """\
from asyncendpoints import handler

@handler("twice")
def twice(body: int) -> int:
    return body * 2
"""


async def test_attach_takes_a_file_or_what_load_returned(tmp_path: Path) -> None:
    (tmp_path / "endpoint.yaml").write_text(FILE)
    (tmp_path / "jobs_of_a_file.py").write_text(JOBS)
    sources = (tmp_path / "endpoint.yaml", load([tmp_path / "endpoint.yaml"]))
    for source in sources:
        app = web.Application()
        attach(app, source, MemoryStore(), worker=True)
        async with TestClient(TestServer(app)) as client:
            answer = await client.post("/twice", json=4, headers=WAIT)
            assert (answer.status, await answer.json()) == (200, 8)


def test_attach_refuses_what_is_not_one_endpoint(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.yaml"
    for text, message in (
        (FILE.replace("path: /twice", "path: twice"), "spec.routes"),
        (FILE + "---\n" + FILE.replace("from-file", "other"), "there are 2: from-file, other"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=message):
            attach(web.Application(), str(file), MemoryStore())
    with pytest.raises(UsageError, match="is needed, not dict"):
        attach(web.Application(), {}, MemoryStore())  # type: ignore[arg-type]
