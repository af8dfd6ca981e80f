"""Exit plans: partial take-profit, break-even and trailing stop, by hand and against a ledger."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.barriers import NONE, PROFIT, STOP, TIME, touch
from features.costs import Costs, FlatFunding
from features.errors import InputError
from features.exit_plan import ExitPlan, exit_step, favourable, managed_stop, plan_prices
from features.labels import Barriers, Labels, triple_barrier
from features.types import Candles
from tests.support.markets import MINUTE, market

FREE = Costs(taker_fee=0.0, maker_fee=0.0, slippage_base=0.0, slippage_volatility=0.0)
LADDER = ExitPlan(partial_fraction=0.4, partial_at=0.5, break_even=True)
TICK = 1e-9


def test_default_plan_is_the_barriers_alone():
    assert ExitPlan().barriers_alone
    assert not LADDER.barriers_alone
    assert not ExitPlan(trail=1.0).barriers_alone


def test_prices_of_a_plan():
    prices = plan_prices(100.0, 1, 0.04, 0.02, 0.5, 0.001, 1.5, 0.25)
    assert prices == pytest.approx((102.0, 100.1, 3.0, 101.0))
    prices = plan_prices(100.0, -1, 0.04, 0.02, 0.5, 0.001, 1.5, 0.25)
    assert prices == pytest.approx((98.0, 99.9, 3.0, 99.0))


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        # open, high, low -> partial fills, reason, price, unclear
        ((100.0, 100.5, 99.5), (False, NONE, 0.0, False)),
        ((100.0, 101.0, 99.5), (True, NONE, 0.0, False)),
        ((100.0, 102.0, 99.5), (True, PROFIT, 102.0, False)),
        # adverse side first: the stop takes all, unless the open was past the partial
        ((100.0, 101.5, 98.0), (False, STOP, 99.0, True)),
        ((101.2, 101.5, 98.0), (True, STOP, 99.0, False)),
        ((101.2, 102.5, 98.0), (True, STOP, 99.0, True)),
        ((97.0, 101.5, 96.0), (False, STOP, 97.0, False)),
    ],
)
def test_one_bar_with_a_partial_resting(bar, expected):
    assert exit_step(1, 102.0, 99.0, 101.0, True, *bar) == expected
    open_, high, low = bar
    fills, reason, price, unclear = exit_step(-1, -102.0, -99.0, -101.0, True, -open_, -low, -high)
    assert (fills, reason, -price, unclear) == expected


@given(
    st.sampled_from([1, -1]),
    st.tuples(*[st.floats(90.0, 110.0)] * 4),
    st.floats(90.0, 110.0),
)
def test_without_a_partial_a_step_is_a_touch(side, prices, stop):
    low, open_, _, high = sorted(prices)
    fills, reason, price, _ = exit_step(side, 100.0 + 5 * side, stop, 0.0, False, open_, high, low)
    assert not fills
    assert (reason, price) == touch(side, 100.0 + 5 * side, stop, open_, high, low)


@given(
    st.sampled_from([1, -1]),
    st.floats(50.0, 150.0),
    st.floats(50.0, 150.0),
    st.booleans(),
    st.booleans(),
    st.floats(50.0, 150.0),
    st.floats(0.0, 10.0),
    st.floats(50.0, 150.0),
)
def test_the_stop_only_ever_tightens(side, stop, best, filled, even, even_price, points, start):
    moved = managed_stop(side, stop, best, filled, even, even_price, points, start)
    assert (moved - stop) * side >= 0.0


def test_the_stop_moves_to_break_even_after_the_partial_only():
    assert managed_stop(1, 99.0, 101.0, False, True, 100.1, 0.0, 0.0) == 99.0
    assert managed_stop(1, 99.0, 101.0, True, True, 100.1, 0.0, 0.0) == 100.1
    assert managed_stop(1, 99.0, 101.0, True, False, 100.1, 0.0, 0.0) == 99.0
    assert managed_stop(-1, 101.0, 99.0, True, True, 99.9, 0.0, 0.0) == 99.9


def test_the_stop_trails_the_best_price_once_armed():
    assert managed_stop(1, 99.0, 103.9, False, False, 0.0, 2.0, 104.0) == 99.0
    assert managed_stop(1, 99.0, 104.0, False, False, 0.0, 2.0, 104.0) == 102.0
    assert managed_stop(-1, 101.0, 96.0, False, False, 0.0, 2.0, 96.0) == 98.0
    assert favourable(1, 103.0, 104.0, 90.0) == 104.0
    assert favourable(-1, 97.0, 104.0, 90.0) == 90.0


def label(rows, plan: ExitPlan, side: int = 1, costs: Costs = FREE) -> Labels:
    open_, high, low, close = np.array([(100.0,) * 4, *rows], float).T.copy()
    bars = Candles(
        interval_ms=15 * MINUTE,
        open_ms=np.arange(open_.size, dtype=np.int64) * 15 * MINUTE,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=np.ones(open_.size),
    )
    return triple_barrier(
        bars,
        np.zeros(1, np.int64),
        np.array([side], np.int8),
        Barriers(profit=0.02, loss=0.01, horizon_bars=5),
        costs,
        FlatFunding(rate=0.0),
        volatility=np.zeros(open_.size),
        plan=plan,
        tick=TICK,
    )


def test_partial_then_break_even():
    """40 % leaves at +1 %, the rest at the entry price in a later bar."""
    got = label([(100, 101.1, 99.5, 101), (101, 101.2, 99.8, 100)], LADDER)
    assert (got.reason[0], got.exit_index[0]) == (STOP, 2)
    assert got.gross[0] == pytest.approx(0.4 * 0.01)


def test_a_moved_stop_acts_from_the_next_bar():
    """The bar that fills the partial falls back below the entry: its old stop is what rests."""
    got = label([(100, 101.1, 99.5, 99.6), (99.6, 99.7, 99.5, 99.6)], LADDER)
    # the stop now at 100 is jumped over at the next open
    assert (got.reason[0], got.exit_index[0]) == (STOP, 2)
    assert got.gross[0] == pytest.approx(0.4 * 0.01 + 0.6 * -0.004)


def test_partial_then_take_profit():
    got = label([(100, 101.1, 99.5, 101), (101, 102.5, 100.5, 102)], LADDER)
    assert got.reason[0] == PROFIT
    assert got.gross[0] == pytest.approx(0.4 * 0.01 + 0.6 * 0.02)


def test_partial_pays_maker_and_the_rest_taker():
    costs = Costs(taker_fee=0.001, maker_fee=0.0002, slippage_base=0.0, slippage_volatility=0.0)
    got = label([(100, 102.5, 99.5, 102)], LADDER, costs=costs)
    gross = 0.4 * 0.01 + 0.6 * 0.02
    fees = 0.001 + 0.4 * 1.01 * 0.0002 + 0.6 * 1.02 * 0.001
    assert got.net[0] == pytest.approx(gross - fees)


def test_trailing_stop_keeps_most_of_the_move():
    plan = ExitPlan(trail=1.0, trail_from=0.5)  # 1 % from the best price, once +1 % was seen
    got = label([(100, 101.8, 99.5, 101.5), (101.5, 101.7, 100.6, 100.8)], plan)
    assert (got.reason[0], got.exit_index[0]) == (STOP, 2)
    assert got.gross[0] == pytest.approx(0.008)


def test_time_ends_what_the_plan_leaves_open():
    got = label([(100, 101.1, 99.5, 101)] + [(101, 101.2, 100.4, 100.8)] * 5, LADDER)
    assert (got.reason[0], got.exit_index[0]) == (TIME, 6)
    assert got.gross[0] == pytest.approx(0.4 * 0.01 + 0.6 * 0.01)


def by_hand(bars: Candles, event: int, side: int, plan: ExitPlan, profit, loss, horizon):
    """Lead one position of one unit through its orders; return (exit index, points won)."""
    entry = float(bars.open[event + 1])
    stop = entry * (1 - side * loss)
    book = {"take": (entry * (1 + side * profit), 1.0 - plan.partial_fraction)}
    if plan.partial_fraction:
        level = entry * (1 + side * (plan.partial_at * profit))
        book["partial"] = (level, plan.partial_fraction)
    best, won = entry, 0.0
    for index in range(event + 1, bars.n):
        if index == event + 1 + horizon:
            left = sum(share for _, share in book.values())
            return index, won + left * side * (float(bars.open[index]) - entry)
        bar = bars.candle(index)
        worst, reach = (bar.low, bar.high) if side == 1 else (bar.high, bar.low)
        stopped = (stop - worst) * side >= 0
        # what the open already passed fills first, then the stop, then what the bar reached
        for name in ("partial", "take"):
            beyond = bar.open if stopped else reach
            tick = TICK if name == "partial" else 0.0
            if name in book and (beyond - book[name][0]) * side - tick >= 0:
                level, share = book.pop(name)
                won += share * side * (level - entry)
                if name == "take":
                    return index, won
        if stopped:
            price = min(bar.open, stop) if side == 1 else max(bar.open, stop)
            return index, won + sum(s for _, s in book.values()) * side * (price - entry)
        best = max(best, bar.high) if side == 1 else min(best, bar.low)
        if plan.break_even and "partial" not in book:
            even = entry * (1 + side * plan.break_even_offset)
            stop = max(stop, even) if side == 1 else min(stop, even)
        if plan.trail and (best - entry * (1 + side * (plan.trail_from * profit))) * side >= 0:
            trailed = best - side * entry * (plan.trail * loss)
            stop = max(stop, trailed) if side == 1 else min(stop, trailed)
    return None


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    partial=st.sampled_from([0.0, 0.4, 0.75]),
    trail=st.sampled_from([0.0, 0.5, 2.0]),
    trail_from=st.sampled_from([0.0, 0.5]),
    even=st.booleans(),
    deviation=st.sampled_from([0.002, 0.01, 0.05]),
)
def test_labels_of_a_plan_equal_a_position_led_by_hand(
    seed, partial, trail, trail_from, even, deviation
):
    plan = ExitPlan(
        partial_fraction=partial,
        break_even=even and partial > 0.0,
        break_even_offset=0.001,
        trail=trail,
        trail_from=trail_from,
    )
    rng = np.random.default_rng(seed)
    bars = market(rng, 60, deviation=deviation, gaps=True)
    side = rng.choice(np.array([1, -1], np.int8), bars.n)
    got = triple_barrier(
        bars,
        np.arange(bars.n, dtype=np.int64),
        side,
        Barriers(profit=0.03, loss=0.015, horizon_bars=20),
        FREE,
        FlatFunding(rate=0.0),
        volatility=np.zeros(bars.n),
        plan=plan,
        tick=TICK,
    )
    for event in range(bars.n - 1):
        want = by_hand(bars, event, int(side[event]), plan, 0.03, 0.015, 20)
        assert bool(got.truncated[event]) is (want is None)
        if want is not None:
            index, points = want
            assert got.exit_index[event] == index
            gross = points / float(bars.open[event + 1])
            assert math.isclose(got.gross[event], gross, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize(
    "bad",
    [
        {"partial_fraction": 1.0},
        {"partial_fraction": math.nan},
        {"partial_at": 0.0},
        {"break_even": True},
        {"break_even_offset": -0.1},
        {"trail": -1.0},
        {"trail_from": 2.0},
    ],
)
def test_impossible_plans_are_refused_by_name(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        ExitPlan(**bad)
