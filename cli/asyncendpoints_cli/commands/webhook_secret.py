"""`asyncendpoints webhook-secret`: prints the secret of a receiver that clients name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.resource.receiver_urls import parse_url

if TYPE_CHECKING:
    from argparse import Namespace


def execute(options: Namespace) -> int:
    """Print one line for each secret of the endpoint."""
    from asyncendpoints_gateway.webhooks.signing import parse_secrets, secret_for, show_secret

    try:
        origin = parse_url(options.origin).origin
    except ValueError as error:
        raise UsageError(f"ORIGIN {error}") from None
    try:
        secrets = parse_secrets(_read(options.secrets))
    except ValueError as error:
        where = "stdin" if options.secrets == "-" else options.secrets
        raise UsageError(f"{where} {error}") from None
    for secret in secrets:
        sys.stdout.write(show_secret(secret_for(secret, origin)) + "\n")
    return 0


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {(error.strerror or 'error').lower()}") from None
