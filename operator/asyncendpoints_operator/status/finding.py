"""A condition without its timestamps, and the types and shared reasons of conditions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

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
    return shorten("; ".join(message for message in messages if message), MAX_MESSAGE_CHARS)


def shorten(text: str, limit: int) -> str:
    """Return a text with at most that many characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def condition_of(status: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any] | None:
    """Return a condition of a status by its type, or None."""
    for condition in (status or {}).get("conditions") or ():
        if condition.get("type") == kind:
            return condition  # type: ignore[no-any-return]
    return None
