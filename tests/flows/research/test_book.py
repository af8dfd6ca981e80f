"""The book: one position a symbol, and days that sum to the trades."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.research.book import DAY_MS, Prices, RoundTrips, daily_returns, one_at_a_time

HOUR = 3_600_000


def trips(rows):
    """Rows of (symbol, side, entry, exit, entry_price, gross, net)."""
    columns = list(zip(*rows, strict=True)) if rows else [[]] * 7
    names = ("symbol", "side", "entry_index", "exit_index", "entry_price", "gross", "net")
    kinds = (np.int64,) * 4 + (np.float64,) * 3
    return RoundTrips(
        **{n: np.array(c, dtype=k) for n, c, k in zip(names, columns, kinds, strict=True)}
    )


@st.composite
def markets(draw):
    """Two symbols of hourly closes and events in order of entry."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    bars = draw(st.integers(30, 200))
    prices = [
        Prices(
            close=100 * np.exp(np.cumsum(rng.normal(0, 0.01, bars))),
            close_ms=(np.arange(bars, dtype=np.int64) + 1) * HOUR + draw(st.integers(0, 23)) * HOUR,
        )
        for _ in range(2)
    ]
    rows = []
    for symbol in range(2):
        entries = np.sort(rng.integers(0, bars, draw(st.integers(0, 25))))
        for entry in entries:
            leave = int(min(bars - 1, entry + rng.integers(0, 40)))
            price = float(prices[symbol].close[entry])
            side = int(rng.choice([-1, 1]))
            gross = side * (float(prices[symbol].close[leave]) / price - 1)
            cost = rng.uniform(0, 0.003)
            rows.append((symbol, side, int(entry), leave, price, gross, gross - cost))
    return prices, trips(rows), rng


@given(markets())
def test_a_book_never_holds_two_positions_of_a_symbol_and_never_waits_without_need(case):
    _, events, rng = case
    wished = rng.random(events.symbol.size) < 0.7
    rows = one_at_a_time(events, wished)
    assert wished[rows].all()
    for symbol in (0, 1):
        mine = rows[events.symbol[rows] == symbol]
        assert (events.entry_index[mine][1:] > events.exit_index[mine][:-1]).all()
        for row in np.flatnonzero(wished & (events.symbol == symbol)):
            if row not in mine:
                held = (events.entry_index[mine] <= events.entry_index[row]) & (
                    events.exit_index[mine] >= events.entry_index[row]
                )
                assert held.any()


@given(markets())
def test_days_sum_to_the_net_returns(case):
    prices, events, _ = case
    rows = one_at_a_time(events, np.ones(events.symbol.size, dtype=bool))
    held = events.take(rows)
    daily = daily_returns(held, prices, first_day=0, days=12)
    assert daily.sum() == pytest.approx(held.net.sum() / 2, abs=1e-12)
    stressed = daily_returns(held, prices, first_day=0, days=12, cost_factor=2.0)
    assert stressed.sum() == pytest.approx((2 * held.net - held.gross).sum() / 2, abs=1e-12)


def test_an_overnight_position_is_marked_at_midnight():
    close = np.full(48, 100.0)
    close[23] = 103.0  # the bar that closes at midnight belongs to the day before
    close[24:] = 101.0
    prices = [Prices(close=close, close_ms=(np.arange(48, dtype=np.int64) + 1) * HOUR)]
    held = trips([(0, 1, 20, 30, 100.0, 0.01, 0.008)])
    daily = daily_returns(held, prices, first_day=0, days=2)
    assert daily == pytest.approx([0.03 - 0.002, -0.02])
    assert DAY_MS == 24 * HOUR


def test_an_empty_book_is_an_idle_series():
    prices = [Prices(close=np.ones(5), close_ms=np.arange(5, dtype=np.int64) * HOUR)]
    assert one_at_a_time(trips([]), np.zeros(0, dtype=bool)).size == 0
    np.testing.assert_array_equal(
        daily_returns(trips([]), prices, first_day=0, days=3), np.zeros(3)
    )
