"""Webhooks on the cluster: across the death of the gateway, and while the secret is rotated."""

import base64
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from support.kube.installed import Endpoint, Installed
from support.kube.own_redis import bring_secrets
from support.kube.provider.shell import wait_until
from support.kube.watching import Load, kill_pod, starts, until_ended
from support.kube.webhook_receiver import WebhookReceiver, webhook_receiver

JOBS = 10
OLD, NEW = (
    f"whsec_{base64.b64encode(text * 3).decode()}" for text in (b"old-secret", b"new-secret")
)
RECEIVER = "receiver"


@pytest.fixture(scope="module")
def receiver(installed: Installed) -> Iterator[WebhookReceiver]:
    """The receiver of the module's endpoint."""
    image = installed.cluster.base_image()
    with (
        installed.cluster.namespace("webhooks") as place,
        webhook_receiver(installed.cluster, place, image) as receiver,
    ):
        yield receiver


@pytest.fixture(scope="module")
def endpoint(installed: Installed, receiver: WebhookReceiver) -> Iterator[Endpoint]:
    """An endpoint with one permanent worker, that notifies the receiver of every job."""
    sign_with(receiver, OLD)
    webhook = {
        "name": RECEIVER,
        "url": receiver.url,
        "secrets": {"secretRef": {"name": "signing", "key": "secrets"}},
        "timeoutSeconds": 20,
    }
    stays = {"minReplicas": 1, "maxReplicas": 1}
    with installed.endpoint(
        receiver.namespace, "hooked", autoscaling=stays, webhooks=[webhook]
    ) as endpoint:
        endpoint.until_workers(1)
        yield endpoint


def test_events_survive_the_gateway_that_was_delivering_them(
    installed: Installed, receiver: WebhookReceiver, endpoint: Endpoint
) -> None:
    receiver.hold()
    jobs = [endpoint.submit(value=number) for number in range(JOBS)]
    until_ended(endpoint, jobs)
    wait_until("a delivery", lambda: bool(receiver.deliveries()), seconds=30)
    [gateway] = endpoint.pods("gateway")
    kill_pod(installed.cluster, endpoint.namespace, gateway["metadata"]["name"])
    unanswered = {each.job_id for each in receiver.deliveries()}
    receiver.release()

    def tries() -> dict[str, list[str]]:
        found = defaultdict(list)
        for each in receiver.deliveries():
            found[each.job_id].append(each.id)
        return found

    # What was being delivered is delivered again once its lease has expired, after 30 s.
    wait_until(
        "each event to be delivered, those without an answer twice",
        lambda: all(len(tries()[job]) > (job in unanswered) for job in jobs),
        seconds=90,
    )
    assert all(len(set(ids)) == 1 for ids in tries().values())
    assert all(each.signed_by(OLD) for each in receiver.deliveries())
    assert len({each.id for each in receiver.deliveries()}) == JOBS


def test_a_secret_rotated_under_load_signs_every_delivery(
    receiver: WebhookReceiver, endpoint: Endpoint
) -> None:
    endpoint.until_ready()
    pods, earlier = starts(endpoint), len(receiver.deliveries())
    with Load(endpoint) as load:
        load.until_more(5)
        rotate(receiver, endpoint, [OLD, NEW])
        rotate(receiver, endpoint, [NEW])
        load.until_more(5)
    until_ended(endpoint, load.accepted)

    def notified() -> set[str]:
        return {each.job_id for each in receiver.deliveries()[earlier:]}

    wait_until("each event", lambda: notified() == set(load.accepted), seconds=60)
    found = receiver.deliveries()[earlier:]
    assert all(each.signed_by(OLD) or each.signed_by(NEW) for each in found)
    assert set(load.answers) == {202}
    assert starts(endpoint) == pods
    assert endpoint.condition("WebhooksHealthy")["status"] == "True"


def rotate(receiver: WebhookReceiver, endpoint: Endpoint, secrets: list[str]) -> None:
    """Change the Secret, and wait for a delivery that is signed by exactly these."""
    sign_with(receiver, *secrets)
    bring_secrets(
        endpoint.cluster, endpoint.namespace, f"asyncendpoints.io/endpoint={endpoint.name}"
    )

    def signed() -> bool:
        last = receiver.deliveries()[-1]
        return [secret for secret in (OLD, NEW) if last.signed_by(secret)] == secrets

    wait_until(f"deliveries signed by {len(secrets)} secrets", signed, seconds=120)


def sign_with(receiver: WebhookReceiver, *secrets: str) -> None:
    """Write the Secret with which deliveries are signed."""
    meta = {"name": "signing", "namespace": receiver.namespace}
    data: dict[str, Any] = {"secrets": "\n".join(secrets)}
    receiver.cluster.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}
    )
