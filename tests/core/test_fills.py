"""Rounding and the walk of a bar: against us, adverse side first."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from executor.core.fills import (
    Resting,
    RestingLimit,
    fee,
    funding_payment,
    market_fill_price,
    quantise_barriers,
    quantise_down,
    quantise_price,
    quantise_quantity,
    quantise_up,
    walk_bar,
)
from executor.core.types import FillKind
from features.costs import Costs
from features.types import Candle

STEPS = st.sampled_from([0.1, 0.01, 0.001, 0.5, 0.05, 0.25, 1.0, 5.0, 10.0, 1e-6, 2.5e-4])
COSTS = Costs()


def candle(open_: float, high: float, low: float, close: float) -> Candle:
    return Candle(open_ms=0, open=open_, high=high, low=low, close=close, volume=1.0)


@given(st.floats(0.0, 1e7), STEPS)
def test_rounding_down_is_the_nearest_multiple_below(value: float, step: float) -> None:
    assume(value / step < 1e12)
    low = quantise_down(value, step)
    assert low <= value
    assert value - low < step * (1.0 + 1e-6)
    exact = Decimal(repr(low)) / Decimal(repr(step))
    assert exact == exact.to_integral_value()  # written as people write it, a multiple of the step


@given(st.floats(0.0, 1e7), STEPS)
def test_rounding_up_is_the_nearest_multiple_above(value: float, step: float) -> None:
    assume(value / step < 1e12)
    high = quantise_up(value, step)
    assert high >= value
    assert high - value < step * (1.0 + 1e-6)


@given(st.integers(0, 10**9), STEPS)
def test_a_multiple_stays_what_it_is(count: int, step: float) -> None:
    value = float(Decimal(count) * Decimal(repr(step)))
    assert quantise_down(value, step) == value
    assert quantise_up(value, step) == value


def test_the_famous_sums_of_tenths() -> None:
    assert quantise_quantity(0.1 + 0.2, 0.1) == 0.3
    assert quantise_quantity(0.3 - 1e-16, 0.1) in (0.2, 0.3)
    assert quantise_quantity(0.29999, 0.1) == 0.2
    assert quantise_quantity(float("nan"), 0.1) == 0.0
    assert quantise_quantity(-1.0, 0.1) == 0.0


@given(
    st.sampled_from([1, -1]), st.floats(1.0, 1e5), st.floats(0.001, 0.2), STEPS, st.floats(0, 0.2)
)
def test_a_rounded_stop_never_risks_more(
    side: int, entry: float, loss: float, tick: float, profit: float
) -> None:
    assume(tick < entry * loss)
    take, stop = entry * (1 + side * profit), entry * (1 - side * loss)
    rounded_take, rounded_stop = quantise_barriers(side, take, stop, tick)
    assert abs(entry - rounded_stop) <= abs(entry - stop)
    assert side * (rounded_take - take) <= 0.0


@given(
    st.sampled_from([1, -1]), st.floats(1.0, 1e5), st.floats(0, 0.1), st.sampled_from([0.1, 0.01])
)
def test_a_market_order_never_fills_better_than_its_slippage(
    side: int, reference: float, volatility: float, tick: float
) -> None:
    price = market_fill_price(reference, side, volatility, COSTS, tick)
    slipped = reference * (1 + side * (0.0001 + 0.1 * volatility))
    assert side * (price - slipped) >= -1e-9
    assert abs(price - slipped) <= tick * 1.001


def test_unknown_volatility_still_pays_the_base_slippage() -> None:
    assert market_fill_price(1000.0, 1, float("nan"), COSTS, 0.01) == 1000.1


def test_a_long_that_holds_both_barriers_in_one_bar_is_stopped() -> None:
    resting = Resting(side=1, quantity=2.0, take_price=102.0, stop_price=99.0)
    (fill,) = walk_bar(resting, candle(100.0, 103.0, 98.0, 101.0), 0.0, COSTS, 0.01)
    assert fill.kind is FillKind.STOP
    assert fill.price == pytest.approx(99.0 * 0.9999, abs=0.01)
    assert fill.price <= 99.0 * 0.9999
    assert fill.fee == fee(2.0, fill.price, COSTS.taker_fee)


def test_a_bar_that_opens_past_the_take_is_a_win_although_it_falls_to_the_stop() -> None:
    resting = Resting(side=1, quantity=1.0, take_price=102.0, stop_price=99.0)
    (fill,) = walk_bar(resting, candle(102.5, 103.0, 98.0, 98.5), 0.0, COSTS, 0.01)
    assert fill.kind is FillKind.TAKE
    assert fill.price <= 102.0  # a market order at the barrier, with slippage


def test_a_gap_through_the_stop_fills_at_the_open() -> None:
    resting = Resting(side=-1, quantity=1.0, take_price=98.0, stop_price=101.0)
    (fill,) = walk_bar(resting, candle(105.0, 106.0, 104.0, 105.0), 0.01, COSTS, 0.1)
    assert fill.price == quantise_price(105.0 * (1 + 0.0001 + 0.001), 0.1, 1)


def test_a_limit_take_fills_at_its_price_and_pays_maker() -> None:
    costs = Costs(take_profit_is_market=False)
    resting = Resting(side=-1, quantity=3.0, take_price=98.0, stop_price=101.0)
    (fill,) = walk_bar(resting, candle(100.0, 100.5, 97.0, 97.5), 0.01, costs, 0.1)
    assert (fill.kind, fill.price, fill.fee) == (FillKind.TAKE, 98.0, 0.0588)


def test_a_limit_take_must_be_traded_through_by_a_tick() -> None:
    costs = Costs(take_profit_is_market=False)
    resting = Resting(side=1, quantity=1.0, take_price=102.0, stop_price=99.0)
    assert walk_bar(resting, candle(100.0, 102.0, 99.5, 101.0), 0.0, costs, 0.1) == ()
    assert len(walk_bar(resting, candle(100.0, 102.1, 99.5, 101.0), 0.0, costs, 0.1)) == 1


def test_a_partial_fills_before_the_take_and_shares_the_quantity() -> None:
    partial = RestingLimit(client_order_id="p", quantity=0.4, price=101.0)
    resting = Resting(side=1, quantity=1.0, take_price=102.0, stop_price=99.0, limits=(partial,))
    fills = walk_bar(resting, candle(100.0, 102.5, 99.5, 102.0), 0.0, COSTS, 0.1)
    assert [(f.client_order_id, f.quantity) for f in fills] == [("p", 0.4), ("", 0.6)]


def test_a_partial_does_not_fill_in_a_bar_that_stops_unless_it_opened_past_it() -> None:
    partial = RestingLimit(client_order_id="p", quantity=0.4, price=101.0)
    resting = Resting(side=1, quantity=1.0, take_price=102.0, stop_price=99.0, limits=(partial,))
    (stopped,) = walk_bar(resting, candle(100.0, 101.5, 98.0, 98.5), 0.0, COSTS, 0.1)
    assert (stopped.kind, stopped.quantity) == (FillKind.STOP, 1.0)
    fills = walk_bar(resting, candle(101.5, 101.6, 98.0, 98.5), 0.0, COSTS, 0.1)
    assert [(f.kind, f.quantity) for f in fills] == [(FillKind.ORDER, 0.4), (FillKind.STOP, 0.6)]


def test_nothing_rests_nothing_fills() -> None:
    bare = Resting(side=1, quantity=1.0, take_price=0.0, stop_price=0.0)
    assert walk_bar(bare, candle(100.0, 1e6, 1e-6, 50.0), 0.0, COSTS, 0.1) == ()
    bare = Resting(side=-1, quantity=1.0, take_price=0.0, stop_price=0.0)
    assert walk_bar(bare, candle(100.0, 1e6, 1e-6, 50.0), 0.0, COSTS, 0.1) == ()


def test_a_long_pays_a_positive_rate_and_a_short_receives_it() -> None:
    assert funding_payment(1, 2.0, 100.0, 0.0001) == pytest.approx(-0.02)
    assert funding_payment(-1, 2.0, 100.0, 0.0001) == pytest.approx(0.02)


def test_a_limit_within_a_tick_of_the_take_is_closed_by_the_take() -> None:
    """The price reaches the take before it goes a tick beyond the limit; at its open, after it."""
    near = RestingLimit(client_order_id="p1", quantity=1.0, price=102.0)
    resting = Resting(side=1, quantity=3.0, take_price=102.0, stop_price=99.0, limits=(near,))
    (whole,) = walk_bar(resting, candle(100.0, 103.0, 99.5, 101.0), 0.0, COSTS, 0.1)
    assert (whole.kind, whole.quantity) == (FillKind.TAKE, 3.0)
    before = replace(near, price=101.9)
    beside = walk_bar(
        replace(resting, limits=(before,)), candle(100.0, 103.0, 99.5, 101.0), 0.0, COSTS, 0.1
    )
    assert [fill.quantity for fill in beside] == [1.0, 2.0]
    gapped = walk_bar(resting, candle(102.5, 103.0, 102.0, 102.5), 0.0, COSTS, 0.1)
    assert [fill.quantity for fill in gapped] == [1.0, 2.0]


def test_money_is_kept_in_the_venues_decimals() -> None:
    assert fee(3.0, 98.0, 0.0002) == 0.0588
    assert funding_payment(1, 0.1, 3.0, 0.0001) == -0.00003
