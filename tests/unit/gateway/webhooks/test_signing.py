"""Signatures, as the official verifier accepts them."""

import time
from base64 import b64encode

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.store.deliveries import delivery_of, webhook_id
from asyncendpoints_gateway.webhooks import signing

OLD, NEW = bytes(range(24)), bytes(range(32))


def headers(body: bytes, *secrets: bytes) -> dict[str, str]:
    now = int(time.time())
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": signing.signature(secrets, "msg_1", now, body),
    }


def test_the_official_verifier_accepts_each_secret_of_a_rotation() -> None:
    body = '{"type": "job.completed", "data": "ü"}'.encode()
    for secret in (OLD, NEW):
        Webhook(signing.show_secret(secret)).verify(body, headers(body, OLD, NEW))
        with pytest.raises(WebhookVerificationError):
            Webhook(signing.show_secret(secret)).verify(body + b" ", headers(body, OLD, NEW))
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.show_secret(OLD)).verify(body, headers(body, NEW))


def test_secrets_are_read_one_a_line() -> None:
    text = f"# rotation\n{signing.show_secret(OLD)}\n\n whsec_{b64encode(NEW).decode().rstrip('=')}"
    assert signing.parse_secrets(text) == (OLD, NEW)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no secret"),
        ("# none", "no secret"),
        ("hunter2hunter2hunter2hunter2", "begin with whsec_"),
        ("whsec_??", "not base64"),
        ("whsec_" + b64encode(b"x" * 23).decode(), "less than 24 bytes"),
        ("\n".join(["whsec_" + b64encode(OLD).decode()] * 9), "more than 8"),
    ],
)
def test_what_is_no_secret_is_refused_without_quoting_it(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        signing.parse_secrets(text)
    assert "hunter" not in str(raised.value)


def test_each_origin_has_a_secret_of_its_own() -> None:
    first = signing.secret_for(OLD, "https://a.example.com")
    assert first == signing.secret_for(OLD, "https://a.example.com")
    assert first != signing.secret_for(OLD, "https://b.example.com")
    assert len(first) == 32


def test_an_id_is_that_of_one_end_of_a_job_for_one_webhook() -> None:
    job = ids.new(0)
    found = {
        signing.delivery_id(endpoint, job, revision, webhook)
        for endpoint in ("a/b", "a/c")
        for revision in (3, 7)
        for webhook in ("billing", "audit")
    }
    assert len(found) == 8
    again = signing.delivery_id("a/b", job, 3, "billing")
    assert again in found
    assert webhook_id(again) == "msg_" + again.hex()
    assert delivery_of(webhook_id(again)) == again
