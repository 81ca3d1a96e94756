"""Signatures, secrets and ids of webhooks by the Standard Webhooks specification."""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncendpoints_core.jobs.ids import JobId

PREFIX: Final = "whsec_"
MIN_SECRET_BYTES: Final = 24
MAX_SECRETS: Final = 8


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """Return the secrets in `text`, one a line; empty lines and # comments are ignored.

    Raises ValueError with the reason, which quotes no secret.
    """
    lines = [line.strip() for line in text.splitlines()]
    found = tuple(_secret(line) for line in lines if line and not line.startswith("#"))
    if not found:
        raise ValueError("contains no secret")
    if len(found) > MAX_SECRETS:
        raise ValueError(f"contains more than {MAX_SECRETS} secrets")
    return found


def _secret(line: str) -> bytes:
    if not line.startswith(PREFIX):
        raise ValueError(f"contains a line that does not begin with {PREFIX}")
    encoded = line.removeprefix(PREFIX)
    try:
        secret = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"contains a secret that is not base64 after {PREFIX}") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"contains a secret of less than {MIN_SECRET_BYTES} bytes")
    return secret


def show_secret(secret: bytes) -> str:
    """Return a secret in the form in which receivers are given it."""
    return PREFIX + b64encode(secret).decode()


def secret_for(secret: bytes, origin: str) -> bytes:
    """Return the secret of one origin's receivers, so that none can sign for another."""
    return hmac.digest(secret, b"asyncendpoints webhook " + origin.encode(), "sha256")


def signature(secrets: Iterable[bytes], webhook_id: str, seconds: int, body: bytes) -> str:
    """Return the header webhook-signature: one signature for each secret."""
    signed = f"{webhook_id}.{seconds}.".encode() + body
    digests = (hmac.digest(secret, signed, "sha256") for secret in secrets)
    return " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests)


def delivery_id(endpoint: str, job_id: JobId, revision: int, webhook: str) -> bytes:
    """Return the id of one job's end for one receiver: the same for every try."""
    parts = (endpoint.encode(), job_id, b"%d" % revision, webhook.encode())
    packed = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return hashlib.sha256(packed).digest()[:16]
