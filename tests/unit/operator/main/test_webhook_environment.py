"""What the chart says of webhooks, as the gateways of all endpoints get it."""

from pathlib import Path

from asyncendpoints_core.process.settings import load
from asyncendpoints_gateway.webhooks.addresses import AddressRules, networks
from asyncendpoints_gateway.webhooks.start import WebhookOptions
from asyncendpoints_operator.main.operator import webhook_environment
from support.redis.tls import certificates

PREFIX = "ASYNCENDPOINTS_WEBHOOK_"


def test_gateways_get_what_the_operator_was_given(tmp_path: Path) -> None:
    certificates(tmp_path)
    bundle = (tmp_path / "cert.pem").read_text().strip()
    given = {
        "ALLOW_PRIVATE_CIDRS": "10.0.0.0/8,fd00::/8",
        "DENY_CIDRS": "10.1.0.0/16",
        "PORTS": "8443,9443",
        "PROXY": "http://proxy.example.com:3128",
        "CA_BUNDLE": bundle,
        "MAX_PENDING": "5000",
    }
    operator = load({}, {PREFIX + name: value for name, value in given.items()})
    options = WebhookOptions.of(load({}, webhook_environment(operator)), None)
    assert options == WebhookOptions(
        AddressRules(
            private=networks("10.0.0.0/8", "fd00::/8"),
            denied=networks("10.1.0.0/16"),
            ports=frozenset({8443, 9443}),
        ),
        proxy="http://proxy.example.com:3128",
        ca_bundle=bundle,
        max_pending=5_000,
    )


def test_defaults_are_not_passed_on() -> None:
    assert webhook_environment(load({}, {})) == {}


def test_certificates_may_be_in_a_file(tmp_path: Path) -> None:
    certificates(tmp_path)
    found = load({}, {PREFIX + "CA_BUNDLE": str(tmp_path / "cert.pem")})
    assert found.webhook_ca_bundle == (tmp_path / "cert.pem").read_text().strip()
