"""How long a gateway keeps a delivery to itself."""

from asyncendpoints_gateway.webhooks.delivery import lease_ms
from asyncendpoints_gateway.webhooks.receivers import receivers_of
from support.store.work import endpoint


def hook(name: str, **fields: object) -> dict[str, object]:
    secrets = {"secretRef": {"name": "hooks", "key": "current"}}
    return {"name": name, "url": f"https://{name}.example", "secrets": secrets, **fields}


def test_a_lease_is_the_longest_timeout_and_ten_seconds() -> None:
    fast, slow = hook("fast", timeoutSeconds=2), hook("slow", timeoutSeconds=5)
    for webhooks, seconds in (([fast], 12), ([fast, slow], 15), ([hook("usual")], 25), ([], 10)):
        described = endpoint(webhooks=webhooks)
        assert lease_ms(receivers_of(described, None, None)) == seconds * 1_000, webhooks
