"""Which bar a settlement falls to: the one in which it is due, in batch and stream alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.batch import feature_matrix
from features.catalog import default_catalog
from features.errors import InputError
from features.funding import on_minute, settled_between, settled_columns
from features.types import Candles, Funding
from flows.lake.settlements import settlement_ms
from tests.support.candles import INTERVAL_MS, START_MS, hostile, simulated, without

HOUR_MS = 3_600_000


def funding_of(*settlements: tuple[int, float]) -> Funding:
    return Funding(
        time_ms=np.array([at for at, _ in settlements], np.int64),
        rate=np.array([rate for _, rate in settlements], np.float64),
    )


def flat(bars: int, start_ms: int = START_MS) -> Candles:
    ones = np.ones(bars)
    return Candles(
        interval_ms=INTERVAL_MS,
        open_ms=start_ms + INTERVAL_MS * np.arange(bars),
        open=ones,
        high=ones,
        low=ones,
        close=ones,
        volume=ones,
    )


@pytest.mark.parametrize(
    ("offset_ms", "bar"),
    [
        (0, 0),  # due at the open
        (47, 0),  # venues stamp some milliseconds late
        (-47, 0),  # or early
        (1, 0),
        (INTERVAL_MS - 60_000, 0),
        (INTERVAL_MS - 47, 1),  # means the close: nobody lists it by then
        (INTERVAL_MS, 1),
        (2 * INTERVAL_MS, 2),
    ],
)
def test_a_settlement_belongs_to_the_bar_in_which_it_is_due(offset_ms: int, bar: int) -> None:
    funding = funding_of((START_MS + offset_ms, 0.25))
    settled, rate = settled_columns(flat(4), funding)
    assert settled.tolist() == [float(i == bar) for i in range(4)]
    assert rate.tolist() == [0.25 * (i == bar) for i in range(4)]
    for i in range(4):
        open_ms = START_MS + i * INTERVAL_MS
        found = settled_between(funding, open_ms, open_ms + INTERVAL_MS)
        assert found == (0.25 if i == bar else None)


def test_after_a_gap_the_newest_settlement_counts() -> None:
    funding = funding_of(*((START_MS + i * HOUR_MS, float(i)) for i in range(1, 4)))
    candles = without(flat(20), list(range(2, 15)))
    settled, rate = settled_columns(candles, funding)
    assert candles.open_ms[2] == START_MS + 15 * INTERVAL_MS
    assert (settled[2], rate[2]) == (1.0, 3.0)
    assert settled.sum() == 1.0


def test_settlements_before_the_first_bar_do_not_count() -> None:
    settled, _ = settled_columns(flat(3), funding_of((START_MS - 5_001, 1.0)))
    assert settled.sum() == 0.0


@given(at=st.integers(0, 600_000))
def test_what_the_lake_rounds_is_what_the_executor_reads(at: int) -> None:
    """The lake keeps whole minutes, the venue's own stamps reach the executor."""
    raw, stored = np.array([at]), np.array([settlement_ms(at)])
    assert on_minute(raw) == on_minute(stored)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_columns_and_single_bars_agree_and_lose_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    candles = hostile(rng, 60)
    span = candles.open_ms[0] - HOUR_MS, candles.close_ms[-1] + HOUR_MS
    times = np.unique(rng.integers(*span, 40))
    funding = Funding(time_ms=times, rate=rng.normal(size=times.size))
    settled, rate = settled_columns(candles, funding)
    before_ms = int(candles.open_ms[0])
    for i, close_ms in enumerate(candles.close_ms.tolist()):
        minutes = (times + 5_000) // 60_000 * 60_000
        inside = funding.rate[(minutes >= before_ms) & (minutes < close_ms)]
        expected = float(inside[-1]) if inside.size else None
        assert settled_between(funding, before_ms, close_ms) == expected
        assert (settled[i], rate[i]) == ((1.0, expected) if inside.size else (0.0, 0.0))
        before_ms = close_ms


def test_the_features_of_funding_on_a_schedule_of_eight_hours() -> None:
    """Worked by hand: at 15 minutes a bar, 32 bars lie between two settlements."""
    start_ms = START_MS // (8 * HOUR_MS) * 8 * HOUR_MS
    rates = [0.001 * i for i in range(1, 12)]
    funding = funding_of(*((start_ms + i * 8 * HOUR_MS, rate) for i, rate in enumerate(rates)))
    names = ["funding_rate", "funding_mean_9", "funding_due"]
    rows = feature_matrix(flat(32 * 11, start_ms), default_catalog().subset(names), funding)
    np.testing.assert_array_equal(rows[::32, 0], rates)
    np.testing.assert_array_equal(rows[31::32, 0], rates)
    assert np.isnan(rows[: 8 * 32, 1]).all()
    np.testing.assert_allclose(rows[8 * 32 :: 32, 1], [0.005, 0.006, 0.007], rtol=1e-12)
    assert np.isnan(rows[:32, 2]).all()
    np.testing.assert_array_equal(rows[32:64, 2], 1.0 - np.arange(32) / 32)


@pytest.mark.parametrize(
    ("times", "rates", "message"),
    [
        ([1, 2], [0.1], "2 times and 1 rates"),
        ([3, 3], [0.1, 0.1], "funding row 1, column time_ms: not after"),
        ([3, 2], [0.1, 0.1], "funding row 1, column time_ms"),
        ([1, 2], [0.1, np.nan], "funding row 1, column rate: nan"),
        ([1, 2], [np.inf, 0.1], "funding row 0, column rate: inf"),
    ],
)
def test_bad_settlements_are_named(times: list[int], rates: list[float], message: str) -> None:
    candles, _ = simulated(3)
    funding = Funding(time_ms=np.array(times, np.int64), rate=np.array(rates))
    with pytest.raises(InputError, match=message):
        feature_matrix(candles, default_catalog(), funding)
