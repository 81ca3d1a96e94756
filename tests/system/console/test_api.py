"""The operations API over HTTP: what it shows and does, and whom it refuses."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator

from asyncendpoints_console import routes
from asyncendpoints_console.access import Role
from asyncendpoints_console.actions import LEFT_MS, SEARCH_SECONDS, ActionRunner
from asyncendpoints_console.openapi.document import document
from asyncendpoints_console.reading.logs import Follower
from asyncendpoints_console.target import Target
from asyncendpoints_core.common.time_source import ManualClock
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.policy import Limit, limits_of
from asyncendpoints_core.jobs.records import (
    Attributes,
    NewJob,
    Progress,
    Result,
    complete,
    fail,
    retry_later,
)
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.actions import LOOK, Action, ActionKind, NewAction
from asyncendpoints_core.store.job_logs import AttemptLog, LogWrite
from asyncendpoints_core.store.memory import MemoryStore
from support.cli import Answer
from support.http.console import TOKENS, Site, console, endpoint
from support.store.stores import ERROR, Hand, hand, new, policy, put, settle_one

E = "/endpoints/demo/reports"
API = f"/api/v1{E}"


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def traced(job: NewJob) -> NewJob:
    """Return the job as a client with a trace submits it."""
    headers = {**job.request.headers, "traceparent": TRACEPARENT}
    request = msgspec.structs.replace(job.request, headers=headers)
    return msgspec.structs.replace(job, request=request)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with console({"reports": MemoryStore(), "mails": MemoryStore()}) as running:
        yield running


@pytest.fixture
def store(site: Site) -> Any:
    return site.stores["reports"]


@pytest.fixture
async def worker(store: Any) -> Hand:
    return await hand(store)


async def test_about(site: Site) -> None:
    for role in Role:
        about = (await site.ask("GET", "/api/v1", role=role)).json
        assert about == {
            "version": about["version"],
            "scope": "run",
            "instance": about["instance"],
            "readOnly": False,
            "role": role.value,
        }


async def test_the_document_describes_every_route(site: Site) -> None:
    served = await site.read("/openapi.json")
    OpenAPIV31SpecValidator(served).validate()
    assert served == document()
    operations = [each for item in served["paths"].values() for each in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    app = web.Application()
    routes.add(app.router, site.server._site, site.server._pages)
    added = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource and route.method != "HEAD"
    }
    described = {(method, path) for path, item in served["paths"].items() for method in item}
    assert described == {(method, path) for method, path in added if path.startswith("/api/v1")}


async def test_endpoints_show_their_figures(site: Site, store: Any, worker: Hand) -> None:
    await put(store, *(new() for _ in range(3)), new(delay_ms=60_000))
    one, two = await worker.take(2)
    await settle_one(store, fail(one.claim, ERROR))
    found = {item["name"]: item for item in (await site.read("/endpoints"))["items"]}
    assert set(found) == {"reports", "mails"}
    reports = found["reports"]
    assert reports["namespace"] == "demo"
    assert reports["jobs"] == {
        **{"Queued": 1, "Scheduled": 1, "InProgress": 1},
        **{"Completed": 0, "Failed": 1, "Canceled": 0},
    }
    assert (reports["workers"], reports["used"], reports["failuresLastHour"]) == (1, 1, 1)
    assert reports["oldestQueuedAt"] is not None
    assert (reports["suspended"], reports["paused"], reports["scaling"]) == (False, [], None)
    single = await site.read(E)
    assert single["policy"]["queue"]["maxDepth"] == 10_000
    assert two.job.id


async def test_jobs_are_listed_and_shown(site: Site, store: Any, worker: Hand) -> None:
    queued, scheduled, running, completed = (
        new("build-report", body=b"12345"),
        new("latest", delay_ms=60_000),
        traced(new("latest")),
        new("latest"),
    )
    await put(store, running, completed, scheduled, queued)
    first, second = await worker.take(2)
    await store.progress([(first.claim, Progress(0.5, "half"))])
    await settle_one(store, complete(second.claim, Result("application/json", b"[1,2]")))
    page = await site.read(f"{E}/jobs")
    assert [item["state"] for item in page["items"]] == [
        *("InProgress", "Queued", "Scheduled", "Completed")
    ]
    assert page["nextCursor"] is None
    for item in page["items"]:
        assert item["request"]["path"] == "/reports/7"
        assert [item["request"][name] for name in ("query", "params", "headers")] == [None] * 3
    shown = await site.read(f"{E}/jobs/{ids.text(first.job.id)}")
    assert shown["progress"] == {"fraction": 0.5, "message": "half"}
    assert (shown["worker"], shown["claim"]) == (worker.id, first.claim.number)
    assert shown["deadline"] > shown["startedAt"]
    assert shown["leaseEndsAt"] is not None
    assert shown["traceparent"] == TRACEPARENT
    page_of_it = (await site.ask("GET", f"/e/demo/reports/jobs/{shown['id']}")).body.decode()
    assert f"<code>{TRACEPARENT[3:35]}</code>" in page_of_it
    assert shown["request"]["headers"].items() >= {"x-tenant": "blue", "accept": "*/*"}.items()
    assert shown["request"]["params"] == {"customer": "7"}
    assert shown["links"]["cancel"] == f"{API}/jobs/{ids.text(first.job.id)}/cancel"
    waiting = await site.read(f"{E}/jobs/{ids.text(queued.id)}")
    assert (waiting["position"], waiting["waitingFor"], waiting["deadline"]) == (0, None, None)
    assert waiting["request"]["bytes"] == 5
    done = await site.read(f"{E}/jobs/{ids.text(completed.id)}")
    assert (done["resultBytes"], done["position"]) == (5, None)


async def test_a_secret_in_a_path_is_shown_nowhere(site: Site, store: Any) -> None:
    made = new()
    request = msgspec.structs.replace(
        made.request,
        path="/reset/SECRET/7",
        query="page=1&%74oken=SECRET",
        route_params={"resetToken": "SECRET", "customer": "7"},
        headers={"Authorization": "SECRET", "x-api-key": "SECRET"},
    )
    await put(store, msgspec.structs.replace(made, request=request))
    shown = await site.read(f"{E}/jobs/{ids.text(made.id)}")
    assert shown["request"]["path"] == "/reset/***/7"
    assert shown["request"]["query"] == "page=1&%74oken=***"
    assert shown["request"]["params"] == {"resetToken": "***", "customer": "7"}
    assert shown["request"]["headers"] == {"Authorization": "***", "x-api-key": "***"}
    for path in (f"{API}/jobs", "/e/demo/reports/jobs", f"/e/demo/reports/jobs/{shown['id']}"):
        assert b"SECRET" not in (await site.ask("GET", path)).body


async def test_pages_of_jobs(site: Site, store: Any) -> None:
    order = await put(store, *(new() for _ in range(5)))
    seen: list[str] = []
    cursor = ""
    while True:
        page = await site.read(f"{E}/jobs?state=Queued&limit=2{cursor}")
        seen += [item["id"] for item in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == [ids.text(job_id) for job_id in reversed(order)]


async def test_jobs_are_filtered(site: Site, store: Any) -> None:
    tagged = msgspec.structs.replace(new("a"), attributes=Attributes(tags=("x", "y"), key="k1"))
    other, _ = await put(store, new("b"), tagged)
    for query, expected in (
        ("job=a", tagged.id),
        ("job=b&state=Queued", other),
        ("tag=x&tag=y", tagged.id),
        ("tag=x&tag=z", None),
        ("key=k1", tagged.id),
        ("schedule=nightly", None),
        ("error=requested", None),
        ("since=2020-01-01T00:00:00Z&job=a", tagged.id),
        ("until=2020-01-01T00:00:00%2B01:00", None),
    ):
        items = (await site.read(f"{E}/jobs?{query}"))["items"]
        assert [item["id"] for item in items] == ([ids.text(expected)] if expected else [])
        assert all(item["tags"] == ["x", "y"] for item in items if item["name"] == "a")


@pytest.mark.parametrize(
    "query",
    [
        "state=Lost",
        "limit=0",
        "limit=501",
        "limit=x",
        "cursor=!",
        "cursor=AAAA",
        "colour=red",
        "since=now",
        "state=Queued&state=Failed",
        "job=a&job=b",
    ],
)
async def test_a_wrong_query_is_refused(site: Site, query: str) -> None:
    answer = await site.ask("GET", f"{API}/jobs?{query}")
    assert (answer.status, answer.json["type"]) == (400, "urn:asyncendpoints:problem:invalid-query")
    if "&" in query:
        assert (await site.ask("GET", f"/e/demo/reports/jobs?{query}")).status == 400


async def test_bodies_are_attachments_that_no_browser_runs(
    site: Site, store: Any, worker: Hand
) -> None:
    await put(store, new(body=b"<script>alert(1)</script>"))
    [job] = await worker.take(1)
    name = 'a"\r\nX: y/../<b>.html'
    await settle_one(store, complete(job.claim, Result("text/html", b"<b>", name)))
    here = f"{API}/jobs/{ids.text(job.job.id)}"
    for path, body in (("body", b"<script>alert(1)</script>"), ("result", b"<b>")):
        answer = await site.ask("GET", f"{here}/{path}", role=Role.VIEW)
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment; ")
        assert "\n" not in answer.headers["Content-Disposition"]
        assert "<" not in answer.headers["Content-Disposition"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Content-Security-Policy"].startswith("sandbox")
        assert "X" not in answer.headers
    read = [record["action"] for record in (await site.read(f"{E}/audit"))["items"]]
    assert read == ["read-result", "read-body"]


async def test_bodies_may_be_disabled() -> None:
    store = MemoryStore()
    async with console({"reports": store}, bodies=False) as site:
        [job_id] = await put(store, new())
        for path in ("body", "result"):
            answer = await site.ask("GET", f"{API}/jobs/{ids.text(job_id)}/{path}")
            assert answer.status == 403


async def test_a_job_is_canceled_retried_and_deleted(site: Site, store: Any) -> None:
    [job_id] = await put(store, new())
    here = f"{API}/jobs/{ids.text(job_id)}"
    assert (await site.ask("DELETE", here)).status == 409
    assert (await site.ask("POST", f"{here}/retry")).json["type"].endswith("not-retryable")
    canceled = await site.ask("POST", f"{here}/cancel", Console_User="ada \xad x")
    assert (canceled.status, canceled.json["state"]) == (200, "Canceled")
    assert (await site.ask("POST", f"{here}/cancel")).status == 409
    retried = await site.ask("POST", f"{here}/retry")
    assert (retried.status, retried.headers["Location"], retried.json["state"]) == (
        *(202, here, "Queued"),
    )
    await site.ask("POST", f"{here}/cancel")
    assert (await site.ask("DELETE", here)).json == {"id": ids.text(job_id), "deleted": True}
    for method, path in (("GET", here), ("DELETE", here), ("POST", f"{here}/retry")):
        assert (await site.ask(method, path)).status == 410
    records = (await site.read(f"{E}/audit"))["items"]
    assert [record["action"] for record in records] == ["delete", "cancel", "retry", "cancel"]
    assert records[-1]["claimedUser"] == "ada   x"
    assert (records[0]["role"], records[0]["job"]) == ("operate", ids.text(job_id))


async def test_many_jobs_are_acted_on_at_once(site: Site, store: Any) -> None:
    made = await put(store, *(new("a") for _ in range(150)), new("b"))
    path = f"{API}/actions"
    wanted = {"action": "cancel", "filter": {"job": "a", "state": "Queued"}}
    counted = await site.ask("POST", path, json.dumps({**wanted, "dryRun": True}))
    assert (counted.status, counted.json["matched"], counted.json["done"]) == (202, 150, 0)
    begun = await site.ask("POST", path, json.dumps(wanted), Idempotency_Key="k")
    assert begun.headers["Location"] == f"{path}/{begun.json['id']}"
    ended = await site.read(f"{E}/actions/{begun.json['id']}")
    assert ended == {
        "id": begun.json["id"],
        "action": "cancel",
        "dryRun": False,
        "state": "Done",
        "waitingForRoom": False,
        "matched": 150,
        "done": 150,
        "skipped": 0,
        "startedAt": begun.json["startedAt"],
        "endedAt": ended["endedAt"],
    }
    again = await site.ask("POST", path, json.dumps(wanted), Idempotency_Key="k")
    assert (again.status, again.json["id"]) == (202, begun.json["id"])
    other = await site.ask("POST", path, '{"action": "purge", "all": true}', Idempotency_Key="k")
    assert (other.status, other.json["type"].rpartition(":")[2]) == (422, "idempotency-mismatch")
    chosen = [ids.text(job_id) for job_id in made[-3:]]
    by_ids = await site.ask("POST", path, json.dumps({"action": "retry", "ids": chosen}))
    assert (by_ids.json["done"], by_ids.json["skipped"]) == (2, 1)
    records = (await site.read(f"{E}/audit"))["items"]
    assert [(record["action"], record["count"]) for record in records] == [
        *(("retry", 3), ("cancel", 150)),
    ]
    assert json.loads(records[1]["filter"]) == wanted["filter"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"action": "cancel"}, "an empty filter means all jobs: it needs all: true"),
        ({"action": "cancel", "filter": {}}, "an empty filter means all jobs"),
        ({"action": "drop", "all": True}, "Invalid enum value 'drop'"),
        ({"action": "retry", "filter": {"state": "Queued"}}, "retry acts on jobs that are Failed"),
        ({"action": "retry", "filter": {"status": "Failed"}}, "unknown field `status`"),
        ({"action": "retry", "ids": []}, "ids must have 1 to 1000 items"),
        ({"action": "retry", "ids": [ids.text(ids.new(1))] * 1_001}, "ids must have 1 to 1000"),
        ({"action": "retry", "ids": ["x"]}, "'x' is not a job id"),
        ({"action": "retry", "ids": ["x"], "all": True}, "give ids, or filter and all, not both"),
        ({"action": "retry", "filter": {"tag": ["a,b"]}}, "a tag is not empty and has no comma"),
        ({"action": "retry", "filter": {"since": "2026-01-01T00:00:00"}}, "a time with its zone"),
    ],
)
async def test_a_wrong_action_is_refused(site: Site, body: dict[str, Any], says: str) -> None:
    refused = await site.ask("POST", f"{API}/actions", json.dumps(body))
    assert refused.status == 400
    assert says in refused.json["detail"]


async def test_one_action_runs_at_a_time_and_is_aborted(site: Site, store: Any) -> None:
    waiting = await put(store, new(), new())
    await store.cancel(waiting)
    await store.configure(policy(max_depth=1))
    path = f"{API}/actions"
    begun = await site.ask("POST", path, '{"action": "retry", "all": true}')
    here = begun.headers["Location"]
    assert (begun.json["state"], begun.json["waitingForRoom"], begun.json["done"]) == (
        *("Running", True, 1),
    )
    busy = await site.ask("POST", path, '{"action": "purge", "all": true}')
    assert (busy.status, busy.headers["Location"]) == (409, here)
    assert begun.json["id"] in busy.json["detail"]
    aborted = await site.ask("DELETE", here)
    assert (aborted.status, aborted.json["state"]) == (200, "Aborted")
    records = (await site.read(f"{E}/audit"))["items"]
    assert [record["action"] for record in records] == ["abort", "retry"]
    assert (await site.ask("GET", f"{path}/{ids.text(ids.new(1))}")).status == 404


async def test_the_audit_counts_the_whole_of_a_long_action(site: Site, store: Any) -> None:
    made = await put(store, *(new() for _ in range(4)))
    await store.cancel(made)
    await store.configure(policy(max_depth=1))
    begun = await site.ask("POST", f"{API}/actions", '{"action": "retry", "all": true}')
    assert (begun.json["state"], begun.json["matched"]) == ("Running", 1)
    await store.configure(policy())
    while (await site.read(f"{E}/actions/{begun.json['id']}"))["state"] == "Running":
        pass
    [record] = (await site.read(f"{E}/audit"))["items"]
    assert (record["action"], record["count"]) == ("retry", 4)


async def test_an_action_outlasts_the_process_that_began_it() -> None:
    clock, time = ManualClock(), ManualClock()
    store = MemoryStore(clock)
    made = await put(store, *(new() for _ in range(250)))
    action = NewAction(ids.new(1), ActionKind.CANCEL)
    await store.begin_action(action)
    await store.step_action(action.id)
    target = Target(endpoint("reports"), store)
    runner = ActionRunner(lambda: [target], time)
    runner.start()

    async def seen() -> Action:
        for _ in range(5):
            time.advance(1_000 * SEARCH_SECONDS)
            await asyncio.sleep(0)
        _, found = await store.action(action.id)
        assert found is not None
        return found

    assert (await seen()).done == LOOK  # another process may be at it
    clock.advance(LEFT_MS + 1)
    while (await seen()).state == "Running":
        pass
    await runner.stop()
    states = {found.job.state for found in await store.get(made) if found.job}
    assert states == {State.CANCELED}


class CountingStore(MemoryStore):
    """A store that counts how often actions are looked for."""

    looks = 0

    async def action(self, action_id: JobId | None) -> tuple[int, Action | None]:
        self.looks += action_id is None
        return await super().action(action_id)


async def test_an_idle_endpoint_is_searched_for_actions_once_a_minute() -> None:
    store, time = CountingStore(), ManualClock()
    target = Target(endpoint("reports"), store)
    runner = ActionRunner(lambda: [target], time)
    runner.start()
    for _ in range(3_600):
        time.advance(1_000)
        await asyncio.sleep(0)
    await runner.stop()
    assert 55 <= store.looks <= 65


async def test_an_action_that_was_left_goes_on_when_somebody_asks_for_it() -> None:
    store = MemoryStore(clock := ManualClock())
    made = await put(store, *(new() for _ in range(3)))
    action = NewAction(ids.new(1), ActionKind.CANCEL)
    time = ManualClock()
    async with console({"reports": store}, time=time) as site:
        await store.begin_action(action)
        path = f"{E}/actions/{ids.text(action.id)}"
        assert (await site.read(path))["done"] == 0
        clock.advance(LEFT_MS + 1)
        for _ in range(100):  # less time than until the next search
            time.advance(10)
            if (await site.read(path))["state"] != "Running":
                break
    assert {found.job.state for found in await store.get(made) if found.job} == {State.CANCELED}


async def test_an_endpoint_is_paused_and_resumed(site: Site, store: Any, worker: Hand) -> None:
    await put(store, new())
    for _ in range(2):
        paused = await site.ask("POST", f"{API}/pause")
        assert (paused.status, paused.json["paused"], paused.json["suspended"]) == (
            *(200, ["*"], False),
        )
    assert (await worker.claim()).refused == "paused"
    wrong = await site.ask("POST", f"{API}/resume", '{"jobs": "x"}')
    assert (wrong.status, wrong.json["detail"]) == (
        *(400, "unknown member 'jobs': the only one is job, the name of a job"),
    )
    assert (await site.ask("POST", f"{API}/resume")).json["paused"] == []
    assert len(await worker.take()) == 1
    records = (await site.read(f"{E}/audit"))["items"]
    assert [record["action"] for record in records] == ["resume", "pause", "pause"]


async def test_one_job_is_paused_and_resumed(site: Site, store: Any, worker: Hand) -> None:
    [report] = await put(store, new("build-report"))
    [other] = await put(store, new("other"))
    paused = await site.ask("POST", f"{API}/pause", '{"job": "build-report"}')
    assert (paused.status, paused.json["paused"]) == (200, ["build-report"])
    assert [job.job.id for job in (await worker.claim()).jobs] == [other]
    known = "the jobs are: build-report, checked, latest, other, part"
    for body, why in (
        ('{"job": "nobody"}', f"there is no job 'nobody'; {known}"),
        ('{"job": 5}', f"job must be a string; {known}"),
    ):
        wrong = await site.ask("POST", f"{API}/pause", body)
        assert (wrong.status, wrong.json["detail"]) == (400, why)
    assert (await site.ask("POST", f"{API}/resume")).json["paused"] == ["build-report"]
    assert (await site.ask("POST", f"{API}/resume", '{"job": "build-report"}')).json["paused"] == []
    assert [job.job.id for job in (await worker.claim()).jobs] == [report]
    records = (await site.read(f"{E}/audit"))["items"]
    assert records[-1] == records[-1] | {"action": "pause", "job": "build-report"}


async def test_a_scheduled_job_is_run_now(site: Site, store: Any) -> None:
    [job_id] = await put(store, new(delay_ms=60_000))
    here = f"{API}/jobs/{ids.text(job_id)}"
    answer = await site.ask("POST", f"{here}/run-now")
    assert (answer.status, answer.json["state"]) == (202, "Queued")
    assert (await site.ask("POST", f"{here}/run-now")).status == 409
    await site.ask("POST", f"{here}/cancel")
    await site.ask("DELETE", here)
    assert (await site.ask("POST", f"{here}/run-now")).status == 410


async def test_an_input_is_submitted_again(site: Site, store: Any) -> None:
    old = msgspec.structs.replace(new("latest", body=b"old"), attributes=Attributes(tags=("x",)))
    await put(store, old)
    here = f"{API}/jobs/{ids.text(old.id)}/resubmit"
    for body, content, kind in (
        ("", b"old", "application/json"),
        ('{"text": "n\\u00e9", "contentType": "text/plain"}', "né".encode(), "text/plain"),
        ('{"base64": "AP8="}', b"\0\xff", "application/json"),
    ):
        answer = await site.ask("POST", here, body)
        assert (answer.status, answer.json["parent"]) == (202, ids.text(old.id))
        assert answer.headers["Location"] == f"{API}/jobs/{answer.json['id']}"
        job_id = ids.parse(answer.json["id"])
        assert job_id is not None
        [made] = await store.inspect([job_id], bodies=True)
        assert (made.request.body, made.request.content_type) == (content, kind)
        assert made.found.job.attributes.tags == ("x",)
    for body in ('{"text": 1}', '{"text": "", "base64": ""}', '{"base64": "?"}', "[]", '{"x": 1}'):
        assert (await site.ask("POST", here, body)).status == 400
    assert len((await store.list(None, 10, None)).jobs) == 4


async def test_an_edited_input_is_checked_as_a_new_one(store: Any, site: Site) -> None:
    checked = new("checked", body=b'{"a": 1}')
    await put(store, checked)
    here = f"{API}/jobs/{ids.text(checked.id)}/resubmit"
    refused = await site.ask("POST", here, json.dumps({"text": '{"a": -1}'}))
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "#/a")
    assert (await site.ask("POST", here, json.dumps({"text": "{"}))).status == 400
    large = json.dumps({"text": "x" * 1_100_000})
    assert (await site.ask("POST", here, large)).status == 413
    assert (await site.ask("POST", here, json.dumps({"text": '{"a": 2}'}))).status == 202


async def test_a_running_job_is_asked_to_end(site: Site, store: Any, worker: Hand) -> None:
    [job_id] = await put(store, new())
    await worker.take(1)
    answer = await site.ask("POST", f"{API}/jobs/{ids.text(job_id)}/cancel")
    assert (answer.status, answer.json["state"]) == (202, "InProgress")
    assert answer.json["cancelRequestedAt"] is not None


@pytest.mark.parametrize("job", ["x", "00000000-0001-7b0a-b754-3b25eaab9e43", "../../../etc"])
async def test_unknown_jobs_are_404(site: Site, job: str) -> None:
    for method, path in (("GET", ""), ("GET", "/body"), ("POST", "/cancel"), ("POST", "/retry")):
        assert (await site.ask(method, f"{API}/jobs/{job}{path}")).status == 404
    assert (await site.ask("GET", "/api/v1/endpoints/demo/other/jobs")).status == 404
    assert (await site.ask("PUT", f"{API}/jobs")).status == 405
    assert (await site.ask("GET", "/api/v2")).status == 404


async def test_a_job_shows_the_limit_that_holds_it_back(
    site: Site, store: Any, worker: Hand
) -> None:
    await store.configure(policy(limits=limits_of(every_key=Limit(concurrency=1))))
    await put(store, *(new(attributes=Attributes(key="acme")) for _ in range(2)))
    await worker.take(2)
    [_, held] = (await site.read(f"{E}/jobs"))["items"]
    assert (held["waitingFor"], held["position"]) == ("key-concurrency", None)
    for page in ("jobs", f"jobs/{held['id']}"):
        answer = await site.ask("GET", f"/e/demo/reports/{page}")
        assert "held by the limit key-concurrency" in answer.body.decode()


async def test_workers_show_what_they_run(site: Site, store: Any, worker: Hand) -> None:
    await put(store, new("build-report"))
    [job] = await worker.take(1)
    [shown] = (await site.read(f"{E}/workers"))["items"]
    assert (shown["id"], shown["held"], shown["live"], shown["draining"]) == (
        *(worker.id, 1, True, False),
    )
    assert shown["host"] is None  # a worker of an earlier version
    [running] = shown["running"]
    assert (running["id"], running["name"]) == (ids.text(job.job.id), "build-report")
    assert running["elapsedSeconds"] >= 0


async def test_failures_are_grouped(site: Site, store: Any, worker: Hand) -> None:
    await put(store, *(new("a") for _ in range(3)), new("b"))
    for job in await worker.take(4):
        await settle_one(store, fail(job.claim, ERROR))
    found = await site.read(f"{E}/failures")
    assert [(item["job"], item["error"], item["count"]) for item in found["items"]] == [
        ("a", ERROR.code, 3),
        ("b", ERROR.code, 1),
    ]
    assert found["items"][0]["newest"]["message"] == ERROR.message
    assert (found["examined"], found["complete"]) == (4, True)


async def test_an_unreachable_queue_is_said(site: Site, store: Any) -> None:
    await store.close()
    listed = {item["name"]: item for item in (await site.read("/endpoints"))["items"]}
    assert (listed["reports"]["reachable"], listed["mails"]["reachable"]) == (False, True)
    answer = await site.ask("GET", f"{API}/jobs")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    await store.open()


# Who is refused.

MUTATIONS = [
    ("POST", f"{API}/jobs/{ids.text(ids.new(1))}/cancel"),
    ("POST", f"{API}/jobs/{ids.text(ids.new(1))}/retry"),
    ("POST", f"{API}/jobs/{ids.text(ids.new(1))}/run-now"),
    ("POST", f"{API}/jobs/{ids.text(ids.new(1))}/resubmit"),
    ("DELETE", f"{API}/jobs/{ids.text(ids.new(1))}"),
    ("POST", f"{API}/pause"),
    ("POST", f"{API}/resume"),
    ("POST", f"{API}/schedules/nightly/run"),
    ("POST", f"{API}/deliveries/msg_{ids.new(1).hex()}/replay"),
    ("POST", f"{API}/deliveries/replay-all"),
    ("POST", f"{API}/actions"),
    ("DELETE", f"{API}/actions/{ids.text(ids.new(1))}"),
]


@pytest.mark.parametrize("path", ["/", "/api/v1", f"{API}/jobs", "/nothing", "/static/console.js"])
async def test_without_a_token_nothing_is_shown(site: Site, path: str) -> None:
    attempts: list[dict[str, str]] = [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic dmlldy10b2tlbg=="},
        {"Cookie": f"asyncendpoints-{site.server.port}=wrong"},
    ]
    for headers in attempts:
        answer = await site.ask("GET", path, "", None, **headers)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_view_and_read_only_change_nothing(site: Site) -> None:
    for method, path in MUTATIONS:
        assert (await site.ask(method, path, role=Role.VIEW)).status == 403
    async with console({"reports": MemoryStore()}, read_only=True) as locked:
        for method, path in MUTATIONS:
            assert (await locked.ask(method, path)).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # DNS rebinding: a name of the attacker's for 127.0.0.1
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_other_sites_are_refused(site: Site, headers: dict[str, str]) -> None:
    named = {name.replace("-", "_"): value for name, value in headers.items()}
    for method, path in (("GET", "/api/v1"), ("GET", "/"), *MUTATIONS):
        answer = await site.ask(method, path, "", Role.OPERATE, **named)
        assert (answer.status, answer.json["status"]) == (403, 403)
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_forms_and_preflights_are_refused(site: Site) -> None:
    for method, path in MUTATIONS:
        for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
            assert (await site.ask(method, path, Content_Type=kind)).status == 403
    preflight = await site.ask("OPTIONS", f"{API}/jobs", Access_Control_Request_Method="POST")
    assert preflight.status == 405
    assert "Access-Control-Allow-Origin" not in preflight.headers


async def test_every_answer_has_the_headers_of_a_page_that_nobody_embeds(
    site: Site, store: Any
) -> None:
    [job_id] = await put(store, new())
    here = f"{API}/jobs/{ids.text(job_id)}"
    link = site.server.login_url().removeprefix(site.server.url)
    answers = [
        await site.ask("GET", "/api/v1"),
        await site.ask("GET", f"{here}/body"),
        await site.ask("GET", f"{here}/logs"),
        await site.ask("GET", "/", Accept="text/html"),
        await site.ask("GET", "/static/console.js"),
        await site.ask("GET", "/", role=None, Accept="text/html"),
        await site.ask("GET", link, role=None),
        await site.ask("GET", "/nothing"),
        await site.ask("GET", "/api/v1", role=None),
        await site.ask("GET", "/api/v1", Origin="null"),
        await site.ask(
            "OPTIONS",
            f"{API}/pause",
            Origin=site.server.url,
            Access_Control_Request_Method="POST",
            Access_Control_Request_Private_Network="true",
        ),
        await site.ask("POST", f"{here}/cancel"),
        await site.ask("GET", f"{here}/logs", Accept="text/event-stream"),
    ]
    assert sorted({answer.status for answer in answers}) == [200, 303, 401, 403, 404, 405]
    for answer in answers:
        headers = answer.headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert "Server" not in headers
    form = await site.ask("GET", "/logout", Accept="text/html")
    assert form.headers["Referrer-Policy"] == "same-origin"


async def test_a_repeated_header_is_refused(site: Site) -> None:
    for repeated in ("Host: localhost", "Origin: null", "Authorization: Bearer x"):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
        writer.write(
            f"GET /api/v1 HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
            f"Authorization: Bearer {TOKENS[Role.VIEW]}\r\n{repeated}\r\n\r\n".encode()
        )
        status = await reader.readline()
        writer.close()
        assert status.split()[1] in (b"400", b"403"), (repeated, status)


async def test_it_listens_on_the_loopback_only(site: Site) -> None:
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)}
    for address in addresses - {"127.0.0.1", "::1"}:
        if not str(address).startswith("127."):
            with pytest.raises(OSError, match=r"refused|unreachable|assign"):
                await asyncio.open_connection(str(address), site.server.port)


async def test_a_session_replaces_the_token(site: Site) -> None:
    body = json.dumps({"token": TOKENS[Role.OPERATE]})
    assert (await site.ask("POST", "/api/v1/session", '{"token": "x"}', role=None)).status == 401
    assert (await site.ask("POST", "/api/v1/session", "[]", role=None)).status == 400
    deep = '{"token": "x", "more": ' + "[" * 50_000
    assert (await site.ask("POST", "/api/v1/session", deep, role=None)).status == 400
    form = await site.ask("POST", "/api/v1/session", body, role=None, Content_Type="text/plain")
    assert form.status == 403
    opened = await site.ask("POST", "/api/v1/session", body, role=None)
    cookie = opened.headers["Set-Cookie"]
    assert opened.status == 204
    assert cookie.startswith(f"asyncendpoints-{site.server.port}=")
    for attribute in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"):
        assert attribute in cookie
    session = cookie.partition(";")[0]
    assert (await site.ask("GET", "/api/v1", role=None, Cookie=session)).json["role"] == "operate"
    assert (await site.ask("DELETE", "/api/v1/session", role=None, Cookie=session)).status == 204
    assert (await site.ask("GET", "/api/v1", role=None, Cookie=session)).status == 401


async def test_the_form_that_logs_out_is_of_this_site_only(site: Site) -> None:
    body = json.dumps({"token": TOKENS[Role.VIEW]})
    opened = await site.ask("POST", "/api/v1/session", body, role=None)
    session = opened.headers["Set-Cookie"].partition(";")[0]
    form = {"Cookie": session, "Content_Type": "application/x-www-form-urlencoded"}

    async def send(**headers: str) -> Answer:
        return await site.ask("POST", "/logout", role=None, **{**form, **headers})

    for origin in ("http://evil.example", "null"):
        assert (await send(Origin=origin)).status == 403
    assert (await send(Sec_Fetch_Site="cross-site")).status == 403
    assert (await send(Cookie="")).status == 401
    assert (await site.ask("GET", "/api/v1", role=None, Cookie=session)).json["role"] == "view"
    ended = await send(Origin=site.server.url, Sec_Fetch_Site="same-origin")
    assert (ended.status, ended.headers["Location"]) == (303, "/")
    assert "Max-Age=0" in ended.headers["Set-Cookie"]
    assert (await site.ask("GET", "/api/v1", role=None, Cookie=session)).status == 401


async def test_a_link_logs_in_once(site: Site) -> None:
    url = site.server.login_url()
    path = url.removeprefix(site.server.url)
    opened = await site.ask("GET", path, role=None)
    assert (opened.status, opened.headers["Location"]) == (303, "/")
    session = opened.headers["Set-Cookie"].partition(";")[0]
    assert (await site.ask("GET", "/api/v1", role=None, Cookie=session)).json["role"] == "operate"
    assert (await site.ask("GET", path, role=None)).status == 401
    link = await site.ask("POST", "/api/v1/login-links", role=Role.VIEW)
    assert link.status == 201
    opened = await site.ask("GET", link.json["path"], role=None)
    session = opened.headers["Set-Cookie"].partition(";")[0]
    assert (await site.ask("GET", "/api/v1", role=None, Cookie=session)).json["role"] == "view"


async def test_no_log_line_has_a_body_a_url_or_a_token(
    site: Site, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncendpoints").propagate = True
    [job_id] = await put(store, new(body=b"SECRETBODY"))
    here = f"{API}/jobs/{ids.text(job_id)}"
    await site.ask("GET", f"{here}/body?x=SECRETQUERY")
    await site.ask("POST", f"{here}/cancel", "SECRETBODY")
    await site.ask("GET", site.server.login_url().removeprefix(site.server.url), role=None)
    await site.ask("GET", "/nothing?token=SECRETQUERY")
    logged = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "cancel by operate on demo/reports" in logged
    for secret in ("SECRET", "login?code", *TOKENS.values()):
        assert secret not in logged


async def test_logs_are_text_by_attempt_and_a_stream_while_the_job_runs(
    site: Site, store: Any, worker: Hand
) -> None:
    [job_id] = await put(store, new())
    path = f"{API}/jobs/{ids.text(job_id)}/logs"
    assert (await site.ask("GET", path)).body == b""
    first = await worker.one()
    await add_logs(store, LogWrite(first.claim, 1, 0, "<b>one</b> ☃\n".encode()))
    await settle_one(store, retry_later(first.claim, ERROR, 0))
    second = await worker.one()
    following = asyncio.create_task(site.ask("GET", path, Accept="text/event-stream"))
    await add_logs(store, LogWrite(second.claim, 2, 0, b"two\n"))
    answer = await site.ask("GET", path)
    assert answer.body.decode() == "--- attempt 1 ---\n<b>one</b> ☃\n--- attempt 2 ---\ntwo\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert (await site.ask("GET", f"{path}?attempt=2")).body == b"two\n"
    await settle_one(store, complete(second.claim, Result("text/plain", b"")))
    await add_logs(store, LogWrite(second.claim, 2, 4, b"three\n"))
    stream = await following
    assert stream.headers["Content-Type"] == "text/event-stream"
    assert stream.headers["Cache-Control"] == "no-store"
    assert stream.headers["X-Content-Type-Options"] == "nosniff"
    events = [event.split("\n") for event in stream.body.decode().strip().split("\n\n")]
    lines = [json.loads(event[2][6:]) for event in events if event[0] == "event: log"]
    assert "".join(line["text"] for line in lines) == "<b>one</b> ☃\ntwo\nthree\n"
    assert [line["attempt"] for line in lines][:1] == [1]
    assert events[-1] == ["event: end", "data: {}"]
    # Again from a position on.
    position = next(event[1][4:] for event in events if event[0] == "event: log")
    rest = await site.ask("GET", path, Accept="text/event-stream", Last_Event_ID=position)
    assert b"one" not in rest.body
    assert b"two" in rest.body


async def test_logs_that_are_not_there(site: Site, store: Any) -> None:
    [job_id] = await put(store, new())
    path = f"{API}/jobs/{ids.text(job_id)}/logs"
    for query in ("attempt=0", "attempt=x", "tries=1"):
        assert (await site.ask("GET", f"{path}?{query}")).status == 400
    assert (await site.ask("GET", f"{API}/jobs/{ids.text(new().id)}/logs")).status == 404
    await store.cancel([job_id])
    await store.delete([job_id])
    assert (await site.ask("GET", path)).status == 410
    assert (await site.ask("GET", path, role=None)).status == 401
    async with console({"reports": store}, bodies=False) as closed:
        assert (await closed.ask("GET", path)).status == 403


async def test_a_follower_says_what_it_missed() -> None:
    follower = Follower("", None)
    [first] = follower.new([AttemptLog(1, 5, "one\n", 4)])
    assert (first.text, first.position) == ("one\n", "5-4")
    [second] = follower.new([AttemptLog(1, 5, "nine\n", 40, cut=True)])
    assert second.text == "[earlier lines were dropped]\nnine\n"
    assert follower.new([AttemptLog(1, 5, "nine\n", 40, cut=True)]) == []


async def add_logs(store: Any, write: LogWrite) -> None:
    assert await store.write_logs([write], limit=4_096, budget=100_000) == [True]
