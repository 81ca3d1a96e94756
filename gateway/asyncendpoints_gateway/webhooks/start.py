"""Starts the delivery of an endpoint's events with the settings of an installation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from asyncendpoints_core.jobs.policy import WEBHOOK_PENDING
from asyncendpoints_gateway.webhooks.addresses import AddressRules, networks
from asyncendpoints_gateway.webhooks.delivery import Deliveries
from asyncendpoints_gateway.webhooks.receivers import receivers_of
from asyncendpoints_gateway.webhooks.sending import Sender, SystemLookup

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.store.deliveries import WebhookStatus
    from asyncendpoints_gateway.webhooks.delivery import Source


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """How events are sent: `volume` has the files of Secrets, relative paths in the resource are
    resolved against `folder`; the rest is as in the settings.
    """

    rules: AddressRules = field(default_factory=AddressRules)
    volume: Path | None = None
    folder: Path | None = None
    proxy: str | None = None
    ca_bundle: str | None = None
    max_pending: int = WEBHOOK_PENDING

    @classmethod
    def of(cls, settings: Settings, folder: Path | None) -> WebhookOptions:
        """Return the options that settings give."""
        rules = AddressRules(
            private=networks(*settings.webhook_allow_private_cidrs),
            denied=networks(*settings.webhook_deny_cidrs),
            ports=frozenset(settings.webhook_ports),
            local=frozenset(map(_host_and_port, settings.webhook_allow)),
        )
        return cls(
            rules,
            settings.webhooks_folder,
            folder,
            settings.webhook_proxy,
            settings.webhook_ca_bundle,
            settings.webhook_max_pending,
        )


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def deliver(
    source: Source,
    options: WebhookOptions,
    time: TimeSource,
    count: Callable[[str, str], None],
    on_status: Callable[[WebhookStatus | None], None],
) -> None:
    """Send the events of an endpoint until cancelled; see Deliveries."""
    lookup = SystemLookup()
    sender = Sender(options.rules, time, lookup, proxy=options.proxy, ca_bundle=options.ca_bundle)
    receivers = receivers_of(source.endpoint, options.volume, options.folder)
    try:
        await Deliveries(source, receivers, sender, time, count, on_status).run()
    finally:
        lookup.close()
