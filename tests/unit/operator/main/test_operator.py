"""How the parts of an operator are put together."""

import pytest

from asyncendpoints_core.process.settings import Settings
from asyncendpoints_operator.kube.client import Cluster, Ref
from asyncendpoints_operator.kube.election import NotLeader
from asyncendpoints_operator.kube.kubernetes_aio import client
from asyncendpoints_operator.main.operator import Operator


async def test_its_writes_need_the_lease() -> None:
    """Docs/rules.md K15: one that does not lead sends none."""
    api = client.ApiClient(client.Configuration(host="http://127.0.0.1:1"))
    operator = Operator(Settings(), Cluster(api, lambda: None))
    service = Ref("v1", "Service", "demo", "reports")
    with pytest.raises(NotLeader):
        await operator._cluster.merge(service, {})
    await api.close()
