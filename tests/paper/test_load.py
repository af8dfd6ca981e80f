"""The load of issue 6 in small: the bench's own clients against a few symbols, all of it answered.

How fast it is, is for ``make bench`` to say; here nothing may be lost, refused or left open.
"""

import pytest

from tests.benchmarks.bench_paper import Load, measured

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def test_a_small_load_is_carried_whole() -> None:
    load = Load(symbols=20, clients=4, rate=40, warm_seconds=1.5, seconds=2.0)
    figures = measured(load)
    assert (figures["orders"], figures["refused"]) == (80, 0)
    assert figures["private"] > 100
    assert figures["klines"] > 0
    assert 0 < figures["ack_p50"] <= figures["ack_p99"] <= figures["ack_most"]
    assert 10e6 < figures["rss"] < 400e6
