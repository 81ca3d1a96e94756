"""The settings of an installation for webhooks: which addresses may be sent to, and how."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from asyncendpoints_core.process.role_settings import ProcessSettings
from asyncendpoints_core.process.setting_info import About


@dataclass(frozen=True, slots=True)
class WebhookSettings(ProcessSettings):
    """Settings of whoever sends webhooks; in a cluster the chart sets them."""

    webhook_allow: Annotated[
        tuple[str, ...],
        About(
            "Receiver of webhooks, as HOST:PORT, that may have any address, such as a server on "
            "this machine, and may be reached by http:. For development. The option may be "
            "repeated, the variable separates receivers by commas.",
            flag="--webhook-allow",
            kind="addresses",
            shown="none",
            readers="run",
        ),
    ] = ()
    webhook_allow_private_cidrs: Annotated[
        tuple[str, ...],
        About(
            "Blocks of addresses that are not public and that webhooks may be sent to, such as "
            "10.0.0.0/8, separated by commas. Loopback, link-local and metadata addresses stay "
            "refused.",
            kind="cidrs",
            shown="none",
            readers="run gateway operator",
        ),
    ] = ()
    webhook_deny_cidrs: Annotated[
        tuple[str, ...],
        About(
            "Blocks of addresses that webhooks are never sent to, in addition to those that are "
            "always refused, separated by commas.",
            kind="cidrs",
            shown="none",
            readers="run gateway operator",
        ),
    ] = ()
    webhook_ports: Annotated[
        tuple[int, ...],
        About(
            "Ports that webhooks may be sent to besides 443 and 80, separated by commas.",
            kind="ports",
            shown="none",
            readers="run gateway operator",
        ),
    ] = ()
    webhook_proxy: Annotated[
        str | None,
        About(
            "URL of an HTTP proxy that all webhooks are sent through, by CONNECT with the "
            "receiver's name. The proxy resolves names, so it must enforce which addresses are "
            "allowed. Proxies of the environment are ignored.",
            kind="url",
            readers="gateway operator",
        ),
    ] = None
    webhook_ca_bundle: Annotated[
        str | None,
        About(
            "Certificates (PEM) of the authorities that receivers of webhooks are verified by, "
            "instead of the system's, or a file with them.",
            kind="certificates",
            shown="the system's",
            readers="run gateway operator",
        ),
    ] = None
    webhook_max_pending: Annotated[
        int,
        About(
            "How many events and deliveries of an endpoint may wait; beyond it the oldest of the "
            "receiver with most of them is dropped.",
            unit="deliveries",
            readers="run gateway operator",
            low=100,
            high=10_000_000,
        ),
    ] = 100_000
    webhooks_folder: Annotated[
        Path | None,
        About(
            "Folder with the secrets and URLs of webhooks that are in Secrets, NAME.secrets and "
            "NAME.url. Set by the operator.",
            readers="gateway",
        ),
    ] = None
