"""Costs against a ledger kept by hand: cash out at entry, cash in at exit, fees on fills."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.costs import (
    Costs,
    FlatFunding,
    net_return,
    pays_settlement,
    slippage,
    slipped_price,
)
from features.errors import InputError

HOUR = 3_600_000


def test_slippage_grows_with_volatility():
    assert slippage(0.0001, 0.1, 0.0) == 0.0001
    assert slippage(0.0001, 0.1, 0.01) == pytest.approx(0.0011)


def test_buy_slips_up_and_sell_slips_down():
    assert slipped_price(100.0, 1, 0.001) == pytest.approx(100.1)
    assert slipped_price(100.0, -1, 0.001) == pytest.approx(99.9)


@given(
    side=st.sampled_from([1, -1]),
    entry=st.floats(1e-6, 1e6),
    move=st.floats(-0.5, 0.5),
    slips=st.tuples(st.floats(0.0, 0.01), st.floats(0.0, 0.01)),
    fees=st.tuples(st.floats(0.0, 0.001), st.floats(-0.0005, 0.001)),
    funding_rate=st.floats(-0.01, 0.01),
)
def test_net_return_is_what_a_ledger_books(side, entry, move, slips, fees, funding_rate):
    exit_ = entry * (1.0 + move)
    quantity = 1_000.0 / entry  # reference notional 1000
    filled_in = slipped_price(entry, side, slips[0])
    filled_out = slipped_price(exit_, -side, slips[1])
    cash = -side * quantity * filled_in + side * quantity * filled_out
    cash -= quantity * filled_in * fees[0] + quantity * filled_out * fees[1]
    cash -= side * quantity * entry * funding_rate
    gross, net = net_return(
        side, entry, exit_, slips[0], slips[1], fees[0], fees[1], funding_rate * entry
    )
    assert math.isclose(gross, side * move, rel_tol=1e-9, abs_tol=1e-12)
    assert math.isclose(net, cash / 1_000.0, rel_tol=1e-9, abs_tol=1e-12)


def test_open_at_the_instant_of_settlement_pays():
    assert not pays_settlement(8 * HOUR, 9 * HOUR, 8 * HOUR)  # entered at it
    assert pays_settlement(7 * HOUR, 8 * HOUR, 8 * HOUR)  # left at it
    assert pays_settlement(7 * HOUR, 9 * HOUR, 8 * HOUR)
    assert not pays_settlement(7 * HOUR, 8 * HOUR - 1, 8 * HOUR)


@pytest.mark.parametrize(
    "bad", [{"taker_fee": -0.1}, {"slippage_base": math.nan}, {"slippage_volatility": math.inf}]
)
def test_bad_costs_are_refused_by_name(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        Costs(**bad)


def test_maker_rebate_is_a_cost_below_zero():
    assert Costs(maker_fee=-0.0001, take_profit_is_market=False).take_profit_fee == -0.0001
    assert Costs().take_profit_fee == Costs().taker_fee


@pytest.mark.parametrize("bad", [{"rate": math.nan}, {"rate": 0.0001, "interval_ms": 0}])
def test_bad_flat_funding_is_refused(bad):
    with pytest.raises(InputError, match="flat funding"):
        FlatFunding(**bad)
