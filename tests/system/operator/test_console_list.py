"""The console of all endpoints: the operator lists them in its Redis, and a process shows them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.redis.endpoint_list import ListedEndpoint, list_key, revision_of
from asyncendpoints_core.store.redis.users import console_user_of
from asyncendpoints_operator.control import console_list
from asyncendpoints_operator.control.console_list import ConsoleList
from asyncendpoints_operator.control.endpoint_state import Reconciled, Resource
from asyncendpoints_operator.queues.redis_locations import RedisLocation, RedisLocations
from support.cli import Answer, Command, ask, eventually, once
from support.kube.fake_cluster import FakeCluster
from support.ports import free_port
from support.queues import reading
from support.redis.server import RedisServer
from support.resources import merge, resource
from support.store.stores import new, put

OTHER = {"redis": {"url": "redis://elsewhere:6379/0"}}


def endpoint(namespace: str, name: str, **spec: Any) -> AsyncEndpoint:
    about = {"metadata": {"namespace": namespace, "name": name, "uid": f"uid-{name}"}}
    return AsyncEndpoint.parse(merge(resource(**spec), about))


@dataclass
class Kept:
    """The operator's part, for endpoints that a test names."""

    list: ConsoleList
    reconciled: dict[str, Reconciled] = field(default_factory=dict)

    async def keep(self, *endpoints: AsyncEndpoint) -> None:
        self.reconciled.clear()
        for one in endpoints:
            known = self.reconciled.get(one.key)
            if known is None or known.resource.endpoint is not one:
                known = Reconciled(Resource(one.key, one.metadata.uid, 1, one))
            self.reconciled[one.key] = known
        await self.list.keep()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(requirepass="owner") as one:
        yield one


@pytest.fixture
async def kept(server: RedisServer, tmp_path: Path) -> AsyncIterator[Kept]:
    password = tmp_path / "password"
    password.write_text("of-the-console")
    locations = RedisLocations(FakeCluster(), lambda: server.url)
    async with reading() as (queues, _):
        own = locations.own()
        assert isinstance(own, RedisLocation)
        await asyncio.wait_for(connected(queues.poll(own).redis), 30)
        known: dict[str, Reconciled] = {}
        made = ConsoleList(lambda: None, known, locations, queues, "here", password, acl=True)
        yield Kept(made, known)


async def connected(redis: Any) -> None:
    while not redis.connects:  # noqa: ASYNC110 - nothing says when the first poll was answered
        await asyncio.sleep(0.05)


@dataclass
class Console:
    """The process, and how to ask it."""

    url: str
    admin: str

    def ask(self, path: str, token: str = "see", method: str = "GET") -> Answer:
        headers = {"Authorization": f"Bearer {token}", "Content_Type": "application/json"}
        return ask(f"{self.url}/api/v1{path}", method, **headers)

    @property
    def shown(self) -> dict[str, Any]:
        items = self.ask("/endpoints").json["items"]
        return {f"{item['namespace']}/{item['name']}": item for item in items}


@pytest.fixture
def console(
    server: RedisServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Console]:
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    (tokens / "view").write_text("see")
    (tokens / "operate").write_text("do")
    port, admin = free_port(), free_port()
    user = f"{console_user_of('here')}:of-the-console@"
    env = {
        "REDIS_URL": server.url.replace(":owner@", user),
        "CONSOLE_FOLDER": str(tokens),
        "CONSOLE_PORT": str(port),
        "ADMIN_PORT": str(admin),
        "INSTALLATION_ID": "here",
        "CONSOLE_BODIES": getattr(request, "param", "false"),
    }
    named = {f"ASYNCENDPOINTS_{name}": value for name, value in env.items()}
    with Command(module="asyncendpoints_console", env=named) as process:
        process.said("the console listens on")
        yield Console(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}")
        assert process.stop() == 0


async def served(server: RedisServer, one: AsyncEndpoint) -> tuple[RedisStore, str]:
    """Configure an endpoint's queue as its operator does; return it with a job that waits."""
    store = RedisStore(server.url, one.key)
    await store.open()
    await store.configure(one.spec.policy())
    [job] = await put(store, new())
    return store, str(job.hex())


async def until(holds: Any) -> None:
    await asyncio.to_thread(eventually, holds)


async def test_it_shows_what_the_operator_lists_and_honours_each_resource(
    kept: Kept, server: RedisServer, console: Console
) -> None:
    assert ask(f"{console.admin}/readyz").status == 503
    reports, mails = endpoint("shop", "reports"), endpoint("post", "mails")
    off = endpoint("shop", "off", gateway={"console": {"enabled": False}})
    store, _ = await served(server, reports)
    await kept.keep(reports, mails, off, endpoint("shop", "own", **OTHER))
    await until(lambda: ask(f"{console.admin}/readyz").status == 200)
    shown = console.shown
    assert set(shown) == {"shop/reports", "post/mails", "shop/own"}
    assert shown["shop/reports"]["jobs"]["Queued"] == 1
    assert shown["shop/own"]["reachable"] is False
    assert "a Redis of its own" in shown["shop/own"]["message"]
    assert console.ask("/endpoints/shop/own").status == 503
    assert console.ask("/endpoints/shop/off").status == 404
    assert console.ask("").json["scope"] == "all"
    await kept.keep(mails)
    await until(lambda: set(console.shown) == {"post/mails"})
    await store.close()


async def test_without_bodies_it_shows_figures_only(
    kept: Kept, server: RedisServer, console: Console
) -> None:
    reports = endpoint("shop", "reports")
    store, _ = await served(server, reports)
    await kept.keep(reports)
    await until(lambda: bool(console.shown))
    here = "/endpoints/shop/reports"
    for path in (here, f"{here}/figures", f"{here}/audit"):
        assert console.ask(path).status == 200
    for path in ("jobs", "workers", "failures", "schedules", "webhooks"):
        refused = console.ask(f"{here}/{path}", "do")
        assert (refused.status, "figures only" in refused.json["detail"]) == (403, True), path
    assert console.ask(f"{here}/pause", "see", "POST").status == 403
    assert console.ask(f"{here}/pause", "do", "POST").json["paused"] == ["*"]
    html = {"Authorization": "Bearer see", "Accept": "text/html"}
    page = ask(f"{console.url}/", **html).body.decode()
    assert "/e/shop/reports/scaling" in page
    assert "/e/shop/reports/jobs" not in page
    scaling = ask(f"{console.url}/e/shop/reports/scaling", **html)
    assert scaling.status == 200
    assert b"/e/shop/reports/jobs" not in scaling.body
    await store.close()


@pytest.mark.parametrize("console", ["true"], indirect=True)
async def test_with_bodies_it_acts_as_the_resource_allows(
    kept: Kept, server: RedisServer, console: Console
) -> None:
    free = endpoint("shop", "free")
    locked = endpoint("shop", "locked", gateway={"console": {"readOnly": True, "bodies": False}})
    stores = [await served(server, one) for one in (free, locked)]
    await kept.keep(free, locked)
    await until(lambda: len(console.shown) == 2)
    jobs = {
        name: f"/endpoints/shop/{name}/jobs/"
        + console.ask(f"/endpoints/shop/{name}/jobs").json["items"][0]["id"]
        for name in ("free", "locked")
    }
    assert console.ask(f"{jobs['free']}/body").status == 200
    assert console.ask(f"{jobs['locked']}/body").status == 403
    assert console.ask(f"{jobs['free']}/cancel", "see", "POST").status == 403
    assert console.ask(f"{jobs['locked']}/cancel", "do", "POST").status == 403
    assert console.ask(f"{jobs['free']}/cancel", "do", "POST").json["state"] == "Canceled"
    words = ("jobs", "list", "--url", console.url, "-e", "shop/free", "-o", "name")
    named = {"ASYNCENDPOINTS_CONSOLE_TOKEN": "see"}
    status, out, err = await asyncio.to_thread(lambda: once(*words, env=named))
    assert not err
    assert (status, out.split()) == (0, [jobs["free"].rpartition("/")[2]])
    for store, _ in stores:
        await store.close()


def test_with_a_log_in_json_the_last_error_is_json_too() -> None:
    with Command(
        module="asyncendpoints_console", env={"ASYNCENDPOINTS_LOG_FORMAT": "json"}
    ) as process:
        assert process.wait() == 2
    said = json.loads(process.err.splitlines()[-1])
    assert said["level"] == "error"
    assert said["message"].startswith("set ASYNCENDPOINTS_REDIS_URL_FILE")


async def test_a_list_without_a_change_is_not_hashed_again(
    kept: Kept, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists: list[int] = []

    def counted(listed: Sequence[ListedEndpoint]) -> str:
        lists.append(len(listed))
        return revision_of(listed)

    monkeypatch.setattr(console_list, "revision_of", counted)
    reports, mails = endpoint("shop", "reports"), endpoint("post", "mails")
    for _ in range(3):
        await kept.keep(reports, mails)
    assert lists == [2]
    with Redis.from_url(server.url) as owner:
        owner.delete(list_key("here"))
        await kept.keep(reports, mails)
        assert json.loads(owner.hget(list_key("here"), "endpoints"))
        locked = endpoint("post", "mails", gateway={"console": {"readOnly": True}})
        await kept.keep(reports, locked)
        assert owner.hget(list_key("here"), "endpoints").count(b'"readOnly":true') == 1
    assert lists == [2, 2]


async def test_its_user_reads_the_namespaces_that_have_endpoints(
    kept: Kept, server: RedisServer
) -> None:
    await kept.keep(endpoint("shop", "reports"))
    user = f"{console_user_of('here')}:of-the-console@"
    with Redis.from_url(server.url.replace(":owner@", user)) as redis:
        assert json.loads(redis.hget(list_key("here"), "endpoints"))
        assert redis.hget("aep:{shop/reports}:meta", "seq") is None
        for key in ("aep:{post/mails}:meta", "aep:{here}:endpoints", "else"):
            with pytest.raises(NoPermissionError):
                redis.hget(key, "seq")
        with pytest.raises(NoPermissionError):
            redis.execute_command("ACL", "LIST")
    with Redis.from_url(server.url) as owner:
        owner.acl_deluser(console_user_of("here"))
        kept.list._user_checked -= 60  # its next look for the user is due
        await kept.list.keep()
        assert console_user_of("here") in owner.acl_users()
