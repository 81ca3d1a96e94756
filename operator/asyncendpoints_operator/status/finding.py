"""A condition without its timestamps, and the types and shared reasons of conditions."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from asyncendpoints_operator.status.model import MAX_MESSAGE_CHARS

Value = Literal["True", "False", "Unknown"]

READY: Final = "Ready"
PROGRESSING: Final = "Progressing"
DEGRADED: Final = "Degraded"
GATEWAY_AVAILABLE: Final = "GatewayAvailable"
WORKERS_AVAILABLE: Final = "WorkersAvailable"
QUEUE_REACHABLE: Final = "QueueReachable"
SCALING_ACTIVE: Final = "ScalingActive"
ROUTES_ACCEPTED: Final = "RoutesAccepted"
QUEUE_NOT_DURABLE: Final = "QueueNotDurable"
QUEUE_SHARED: Final = "QueueShared"
WEBHOOKS_HEALTHY: Final = "WebhooksHealthy"
FEATURES_HELD: Final = "FeaturesHeld"
JOBS_UNMATCHED: Final = "JobsUnmatched"

HANDLER_MISSING: Final = "HandlerMissing"
GATEWAY_CRASHED: Final = "GatewayCrashed"
WORKER_CRASHED: Final = "WorkerCrashed"
ROLLING_OUT: Final = "RollingOut"
TERMINATING: Final = "Terminating"


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition without its timestamps."""

    type: str
    status: Value
    reason: str
    message: str = ""


def join(messages: Iterable[str]) -> str:
    """Join messages, cut to the length that a condition may have."""
    text = "; ".join(message for message in messages if message)
    return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"
