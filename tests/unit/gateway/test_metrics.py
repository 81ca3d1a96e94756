"""The gateway's metrics."""

from prometheus_client.exposition import generate_latest

from asyncendpoints_gateway.metrics import Metrics


def test_each_application_has_metrics_of_its_own() -> None:
    one, two = Metrics(lambda: 3), Metrics(lambda: 0)
    one.submission("a", "created")
    one.request("submit", 202, 0.004)
    text = generate_latest(one.registry).decode()
    assert 'asyncendpoints_submissions_total{job="a",outcome="created"} 1.0' in text
    assert "asyncendpoints_http_waiters 3.0" in text
    assert 'le="0.005",operation="submit",status="202"} 1.0' in text
    assert 'outcome="created"' not in generate_latest(two.registry).decode()
