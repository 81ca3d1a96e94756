"""Histograms: Prometheus' buckets, and sums over processes."""

from asyncendpoints_core.common.histogram import Histogram

BOUNDS = (1, 2)


def test_a_histogram_has_the_buckets_of_prometheus() -> None:
    found = Histogram.empty(BOUNDS)
    for value in (0.5, 1, 1.5, 2, 3):
        found.observe(BOUNDS, value)
    assert found.buckets(BOUNDS) == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert found.total == 8


def test_histograms_of_two_processes_add_up() -> None:
    total = Histogram([1, 2, 3], 4.0)
    total.merge(Histogram([1, 0, 1], 0.5))
    assert total == Histogram([2, 2, 4], 4.5)
