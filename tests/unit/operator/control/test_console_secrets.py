"""The Secrets with the console's tokens: made once, made again, and never somebody else's."""

import pytest

from asyncendpoints_console.access import Role
from asyncendpoints_core.common.console import ROLES
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_operator.control.console_secrets import CHECK_SECONDS, ConsoleSecrets
from asyncendpoints_operator.control.failures import MAX_SECONDS, Failures
from asyncendpoints_operator.desired.gateway import console_uids
from asyncendpoints_operator.desired.naming import Live, Manifest, Platform, is_ours
from asyncendpoints_operator.desired.objects import desired, identity
from asyncendpoints_operator.kube.client import Ref, Refused, Unreachable
from asyncendpoints_operator.status.observed import RefusalReason
from support.kube.fake_cluster import FakeCluster
from support.resources import MINIMAL, merge

VIEW, OPERATE = "reports-console-view", "reports-console-operate"
PLATFORM = Platform("gateway:1", "worker:1", "it")


class Console:
    """The Secrets of one endpoint in a cluster in memory; `now` is set by the test."""

    def __init__(self) -> None:
        self.cluster, self.now = FakeCluster(), 1_000.0
        self.cluster.save(MINIMAL)
        self.deployment: Manifest | None = None
        self.restart()

    def restart(self) -> None:
        """Another operator takes over, which knows the Deployment only."""
        self.failures = Failures(lambda: self.now)
        self.secrets = ConsoleSecrets(self.cluster, self.failures, lambda: self.now)

    async def ensure(self, **console: bool) -> list[str]:
        """Ensure the Secrets, apply the Deployment, and return the roles that are on."""
        saved = self.cluster.save(merge(MINIMAL, {"spec": {"gateway": {"console": console}}}))
        names = ("name", "namespace", "uid")
        self.endpoint = AsyncEndpoint.parse(
            {**saved, "metadata": {name: saved["metadata"][name] for name in names}}
        )
        await self.secrets.ensure(self.endpoint, console_uids(self.deployment))
        found = self.secrets.uids(self.endpoint.metadata.uid)
        children = desired(self.endpoint, PLATFORM, Live(console_secrets=found))
        name = "reports-gateway"
        self.deployment = next(one for one in children if identity(one) == ("Deployment", name))
        return list(found)

    def mounted(self) -> list[str]:
        """The Secrets with the console's tokens that the gateway's pods mount."""
        assert self.deployment is not None
        volumes = self.deployment["spec"]["template"]["spec"]["volumes"]
        [found] = [one for one in volumes if one["name"] == "asyncendpoints-console"] or [None]
        return [one["secret"]["name"] for one in found["projected"]["sources"]] if found else []

    def token(self, name: str) -> str:
        found = self.cluster.find("Secret", name)
        assert found is not None
        return str(found["stringData"]["token"])

    def drop(self, name: str) -> None:
        self.cluster.drop(Ref("v1", "Secret", "demo", name))

    def foreign(self, name: str) -> None:
        """Create a Secret of that name as somebody else does."""
        meta = {"name": name, "namespace": "demo"}
        data = {"token": "mine"}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}
        self.cluster.save(secret)

    def reasons(self) -> list[str]:
        return [one.reason for one in self.failures.shown(self.endpoint.metadata.uid)]


def test_the_roles_are_those_of_the_console() -> None:
    assert list(ROLES) == list(Role)


async def test_two_secrets_with_different_tokens_are_made_once() -> None:
    it = Console()
    assert await it.ensure() == ["view", "operate"]
    view, operate = it.token(VIEW), it.token(OPERATE)
    assert view != operate
    assert min(len(view), len(operate)) >= 43
    secret = it.cluster.find("Secret", VIEW)
    assert secret is not None
    assert is_ours(secret, it.endpoint)
    requests = it.cluster.requests
    assert await it.ensure() == ["view", "operate"]
    assert it.cluster.requests == requests
    assert it.mounted() == [VIEW, OPERATE]


async def test_another_operator_keeps_them() -> None:
    it = Console()
    await it.ensure()
    before = it.token(VIEW)
    it.restart()
    assert await it.ensure() == ["view", "operate"]
    assert it.token(VIEW) == before
    assert it.reasons() == []


@pytest.mark.parametrize("restart", [True, False])
async def test_a_deleted_secret_is_made_again_with_a_new_token(restart: bool) -> None:
    it = Console()
    await it.ensure()
    before = it.token(OPERATE)
    it.drop(OPERATE)
    if restart:
        it.restart()
    else:
        it.now += CHECK_SECONDS
    assert await it.ensure() == ["view", "operate"]
    assert it.token(OPERATE) != before


async def test_a_secret_of_somebody_else_is_left_alone_and_its_token_off() -> None:
    it = Console()
    it.foreign(VIEW)
    assert await it.ensure() == ["operate"]
    assert it.token(VIEW) == "mine"
    assert it.mounted() == [OPERATE]
    assert it.reasons() == [RefusalReason.CONSOLE]
    it.now += MAX_SECONDS
    assert await it.ensure() == ["operate"]
    assert it.token(VIEW) == "mine"
    it.drop(VIEW)
    it.now += MAX_SECONDS
    assert await it.ensure() == ["view", "operate"]
    assert it.reasons() == []


async def test_one_that_replaced_ours_is_not_taken_for_ours() -> None:
    it = Console()
    await it.ensure()
    it.drop(VIEW)
    it.foreign(VIEW)
    it.restart()
    assert await it.ensure() == ["operate"]
    assert it.token(VIEW) == "mine"


async def test_without_a_console_ours_are_removed() -> None:
    it = Console()
    await it.ensure()
    it.drop(OPERATE)
    it.foreign(OPERATE)
    assert await it.ensure(enabled=False) == []
    assert it.cluster.find("Secret", VIEW) is None
    assert it.mounted() == []
    assert it.token(OPERATE) == "mine"


async def test_an_error_of_the_api_server_takes_no_token_away() -> None:
    it = Console()
    await it.ensure()
    it.restart()
    it.cluster.refusals["Secret"] = Refused(503, "ServiceUnavailable", "not now")
    assert await it.ensure() == ["view", "operate"]
    del it.cluster.refusals["Secret"]
    it.now += MAX_SECONDS
    assert await it.ensure() == ["view", "operate"]
    assert it.reasons() == []


async def test_one_that_was_made_before_a_failure_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console()
    create = console.cluster.create

    async def fail(manifest: Manifest) -> Manifest:
        if manifest["metadata"]["name"] == OPERATE:
            raise Unreachable("the API server did not respond")
        return await create(manifest)

    monkeypatch.setattr(console.cluster, "create", fail)
    with pytest.raises(Unreachable):
        await console.ensure()
    monkeypatch.setattr(console.cluster, "create", create)
    assert await console.ensure() == list(ROLES)
    assert not console.failures.shown(console.endpoint.metadata.uid)
