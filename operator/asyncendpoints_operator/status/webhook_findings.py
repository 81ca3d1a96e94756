"""The condition WebhooksHealthy, computed from the receivers' states in the store. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from asyncendpoints_core.jobs.policy import CLIENTS
from asyncendpoints_core.resource import EndpointSpec
from asyncendpoints_core.resource.webhooks import receiver_part
from asyncendpoints_core.store.deliveries import (
    HOST_BYTES,
    ReceiverHealth,
    ReceiverState,
    WebhookStatus,
)

DELIVERING: Final = ReceiverHealth.DELIVERING.value
FAILING: Final = ReceiverHealth.FAILING.value
GONE: Final = ReceiverHealth.GONE.value
INVALID: Final = ReceiverHealth.SECRET_INVALID.value


def find(spec: EndpointSpec, status: WebhookStatus) -> tuple[str, str]:
    """Return the reason that concerns most, and a message about all receivers that have one."""
    problems = list(_problems(spec, status.receivers))
    for reason in (INVALID, GONE, FAILING):
        if any(each == reason for each, _ in problems):
            return reason, "; ".join(dict.fromkeys(text for _, text in problems))
    return DELIVERING, "no receiver fails"


def _problems(spec: EndpointSpec, receivers: Iterable[ReceiverState]) -> Iterator[tuple[str, str]]:
    current = {receiver_part(webhook): webhook.name for webhook in spec.webhooks}
    for each in receivers:
        # A webhook that was changed is another receiver; clients answer for theirs themselves.
        name = current.get(each.receiver[HOST_BYTES:])
        health = each.health.value
        clients = each.webhook == CLIENTS and spec.webhook_requests is not None
        if health == INVALID and (name or clients):
            text = "its secrets or URL are missing or not valid, and deliveries wait"
            what = name or "spec.webhookRequests"
            yield INVALID, f"{what}: {text}; the gateways' logs say which"
        elif name and health == GONE:
            yield GONE, f"{name}: it answered 410 and gets nothing until the webhook is changed"
        elif name and health == FAILING:
            answer = f"it answers {each.status}" if each.status else "it does not answer"
            yield FAILING, f"{name}: {answer}"
