"""The exit rule, bar by bar, against cases worked out by hand and against its own mirror image."""

import math

from hypothesis import given
from hypothesis import strategies as st

from features.barriers import (
    NONE,
    PROFIT,
    STOP,
    ambiguous,
    barrier_fractions,
    barrier_prices,
    touch,
    traded_through,
)

TAKE, LOSS = 102.0, 99.0


def test_prices_lie_on_the_right_sides():
    assert barrier_prices(100.0, 1, 0.02, 0.01) == (102.0, 99.0)
    assert barrier_prices(100.0, -1, 0.02, 0.01) == (98.0, 101.0)


def test_scaled_barriers_are_multiples_of_volatility():
    assert barrier_fractions(4.0, 2.0, True, 0.003) == (0.012, 0.006)
    assert barrier_fractions(0.02, 0.01, False, 0.003) == (0.02, 0.01)


def test_quiet_bar_touches_nothing():
    assert touch(1, TAKE, LOSS, 100.0, 101.9, 99.1) == (NONE, 0.0)


def test_barriers_are_touched_at_equality():
    assert touch(1, TAKE, LOSS, 100.0, 102.0, 99.5) == (PROFIT, 102.0)
    assert touch(1, TAKE, LOSS, 100.0, 101.0, 99.0) == (STOP, 99.0)
    assert touch(-1, 98.0, 101.0, 100.0, 100.5, 98.0) == (PROFIT, 98.0)
    assert touch(-1, 98.0, 101.0, 100.0, 101.0, 99.0) == (STOP, 101.0)


def test_both_touched_is_the_stop():
    assert touch(1, TAKE, LOSS, 100.0, 103.0, 98.0) == (STOP, 99.0)
    assert touch(-1, 98.0, 101.0, 100.0, 103.0, 97.0) == (STOP, 101.0)
    assert ambiguous(1, TAKE, LOSS, 100.0, 103.0, 98.0)


def test_both_touched_is_the_profit_when_the_open_was_past_it():
    assert touch(1, TAKE, LOSS, 102.5, 103.0, 98.0) == (PROFIT, 102.0)
    assert touch(-1, 98.0, 101.0, 97.5, 103.0, 97.0) == (PROFIT, 98.0)
    assert not ambiguous(1, TAKE, LOSS, 102.5, 103.0, 98.0)


def test_stop_gaps_to_the_open():
    assert touch(1, TAKE, LOSS, 97.0, 98.0, 96.0) == (STOP, 97.0)
    assert touch(-1, 98.0, 101.0, 103.0, 104.0, 102.0) == (STOP, 103.0)
    # the gap came first, whatever the bar did later
    assert touch(1, TAKE, LOSS, 97.0, 105.0, 96.0) == (STOP, 97.0)
    assert not ambiguous(1, TAKE, LOSS, 97.0, 105.0, 96.0)


def test_profit_is_never_better_than_its_barrier():
    assert touch(1, TAKE, LOSS, 105.0, 106.0, 104.0) == (PROFIT, 102.0)


def test_limit_take_profit_needs_a_tick_more():
    assert traded_through(1, 102.0, 0.5) == 102.5
    assert traded_through(-1, 98.0, 0.5) == 97.5


_price = st.floats(50.0, 150.0)


@given(st.tuples(_price, _price, _price, _price), st.floats(0.001, 0.3), st.floats(0.001, 0.3))
def test_short_is_the_long_of_the_mirrored_market(prices, profit, loss):
    """Reflecting prices about zero turns a short into a long: the rule must not know the side."""
    low, open_, _, high = sorted(prices)
    take, stop = barrier_prices(100.0, -1, profit, loss)
    reason, price = touch(-1, take, stop, open_, high, low)
    mirrored, price_mirrored = touch(1, -take, -stop, -open_, -low, -high)
    assert reason == mirrored
    assert price == -price_mirrored
    assert ambiguous(-1, take, stop, open_, high, low) == ambiguous(
        1, -take, -stop, -open_, -low, -high
    )


@given(st.tuples(_price, _price, _price, _price), st.sampled_from([1, -1]))
def test_exit_price_was_traded_in_the_bar(prices, side):
    low, open_, _, high = sorted(prices)
    take, stop = barrier_prices(100.0, side, 0.02, 0.01)
    reason, price = touch(side, take, stop, open_, high, low)
    if reason == STOP:
        assert low <= price <= high
        assert (price - 100.0) * side < 0.0
    if reason == PROFIT:
        assert math.isclose(side * (price / 100.0 - 1.0), 0.02, rel_tol=1e-9)
