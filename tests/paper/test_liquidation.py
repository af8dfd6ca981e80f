"""Margin that runs out, reckoned by hand, and positions that the venue closes itself.

AAAUSDT's first tier keeps 1 % of the position; leverage is 10, so a unit at 100 binds 10.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.paper.venue import liquidation, protecting
from executor.paper.venue.account import ISOLATED, Booking
from executor.paper.venue.events import Executed, PositionChanged
from executor.paper.venue.funding import settle
from executor.paper.venue.margin import totals, view
from features.costs import Costs
from tests.support.venue import D, Desk, bracket, desk

SYMBOL = "AAAUSDT"
SLIPPING = Costs(taker_fee=0.00055, maker_fee=0.0, slippage_base=0.0002, slippage_volatility=0.0)


def isolated(balance: str = "10000") -> Desk:
    d = desk(balance=balance)
    protecting.set_margin_mode(d.state, d.account, ISOLATED)
    return d


def shown(d: Desk) -> PositionChanged:
    return view(d.state, d.account, d.account.position(SYMBOL, 0))


def executed(d: Desk) -> list[Executed]:
    return [event for event in d.state.drain() if isinstance(event, Executed)]


@pytest.mark.parametrize(
    ("side", "liquidated_at", "bankrupt_at"), [("Buy", "90.9", "90.0"), ("Sell", "108.9", "110.0")]
)
def test_an_isolated_position_loses_its_margin_and_no_more(
    side: str, liquidated_at: str, bankrupt_at: str
) -> None:
    """Buy: 10 + (p - 100) = p / 100 at p = 90.909; sell: 10 + (100 - p) = p / 100 at 108.911."""
    d = isolated()
    d.trade(side, "10")
    assert (shown(d).liquidation, shown(d).bankruptcy) == (D(liquidated_at), D(bankrupt_at))
    other, price = ("Sell", "120") if side == "Buy" else ("Buy", "80")
    resting = d.order(other, "1", price=price, reduce_only=True)
    executed(d)
    far = "85" if side == "Buy" else "115"
    d.walk("100", max("100", far, key=float), min("100", far, key=float), far)
    bust = executed(d)[-1]
    assert (bust.kind, bust.price) == ("BustTrade", D(bankrupt_at))
    assert (bust.order.create_type, bust.order.quantity) == ("CreateByLiq", bust.quantity)
    assert d.quantity() == 0
    assert d.now(resting).cancel_type == "CancelAllBeforeLiq"
    assert d.state.insurance == 0


def test_the_rest_of_the_account_does_not_back_an_isolated_position() -> None:
    d = isolated(balance="100000")
    d.trade("Buy", "10")
    d.walk("100", "100", "90", "95")
    assert (d.quantity(), d.account.wallet) == (D("0"), D("99900"))


def test_a_cross_position_is_backed_by_the_whole_account() -> None:
    """500 + 50 · (p - 100) = 50 · p / 100, so p = 4500 / 49.5 = 90.909…"""
    d = desk(balance="500")
    d.trade("Buy", "50")
    assert shown(d).liquidation == D("90.9")
    resting = d.order("Sell", "1", price="120", reduce_only=True)
    d.walk("100", "101", "91", "92")
    assert d.quantity() == D("50")
    d.walk("92", "92", "90", "91")
    assert d.quantity() == 0
    assert d.now(resting).cancel_type == "CancelAllBeforeLiq"
    told = [e for e in d.state.drain() if isinstance(e, PositionChanged)]
    assert "Liq" in {event.status for event in told}


def test_a_gap_beyond_the_margin_is_the_insurance_funds_loss() -> None:
    d = desk(balance="500")
    d.trade("Buy", "50")
    d.walk("85", "86", "84", "85")
    assert (d.account.wallet, d.state.insurance) == (D("0"), D("-250"))
    assert d.account.booked[Booking.INSURED] == D("250")


def test_a_stop_before_the_liquidation_price_comes_first() -> None:
    d = desk(balance="500")
    d.trade("Buy", "50", bracket=bracket("92"))
    d.walk("100", "100", "80", "85")
    fills = executed(d)
    assert [(f.kind, f.price) for f in fills] == [("Trade", D("100.0")), ("Trade", D("92.0"))]


def test_one_symbols_loss_takes_another_symbols_position() -> None:
    d = desk(balance="500", symbols=2)
    d.trade("Buy", "30")
    d.trade("Buy", "10", symbol="BBBUSDT")
    executed(d)
    d.walk("100", "100", "84", "84")  # -480 of 500: 20 left for the 35 that both must keep
    first = executed(d)[0]
    assert (first.kind, first.order.symbol, d.quantity()) == ("BustTrade", SYMBOL, D("0"))
    left = totals(d.state, d.account)
    assert left.maintenance_margin == 0 or left.equity > left.maintenance_margin


@given(quantity=st.integers(10, 400), leverage=st.integers(2, 50), long=st.booleans())
def test_the_price_that_is_shown_is_the_price_that_liquidates(
    quantity: int, leverage: int, long: bool
) -> None:
    """A tick before it nothing happens, a tick beyond it the position is gone."""
    d = isolated(balance="100000")
    if leverage != 10:
        protecting.set_leverage(d.state, d.account, SYMBOL, D(leverage))
    d.trade("Buy" if long else "Sell", str(D(quantity) / 10))
    price = shown(d).liquidation
    away = D("0.1") if long else D("-0.1")
    here, beyond = str(price + away), str(price - away)
    d.walk(here, here, here, here)
    assert d.quantity() != 0
    d.walk(beyond, beyond, beyond, beyond)
    assert d.quantity() == 0


def test_deleveraging_closes_at_the_last_price_without_a_fee() -> None:
    d = desk()
    d.account.taker_fee = 0.001
    d.trade("Sell", "2", bracket=bracket("110"))
    d.walk("100", "100", "94", "95")
    liquidation.deleverage(d.state, d.account, d.account.position(SYMBOL, 0))
    closed = executed(d)[-1]
    assert (closed.kind, closed.price, closed.fee) == ("AdlTrade", D("95.0"), D("0"))
    assert d.account.wallet == D("10000") + D("10") - D("0.2")
    assert list(d.state.orders.open_of("main")) == []


def test_a_position_closed_by_hand_pays_its_fee_and_takes_its_exits_along() -> None:
    d = desk()
    d.account.taker_fee = 0.001
    d.trade("Buy", "1", bracket=bracket("90", "120"))
    liquidation.close_by_hand(d.state, d.account, d.account.position(SYMBOL, 0))
    assert d.account.wallet == D("9999.8")
    assert list(d.state.orders.open_of("main")) == []


def test_a_fill_that_is_under_water_at_once_does_not_wait_for_its_own_symbol() -> None:
    """At a price of ten ticks a market order slips by a whole one, more than its margin bears."""
    d = desk(SLIPPING, balance="2000", symbols=2)
    protecting.set_margin_mode(d.state, d.account, ISOLATED)
    protecting.set_leverage(d.state, d.account, "BBBUSDT", D("14"))
    d.state.move("BBBUSDT", D("1"))
    d.trade("Buy", "18000", symbol="BBBUSDT")
    assert d.quantity(symbol="BBBUSDT") == D("18000")
    d.walk("100", "100", "100", "100")
    assert d.quantity(symbol="BBBUSDT") == 0


def test_a_settlement_that_takes_the_margin_liquidates_at_the_next_move_of_any_symbol() -> None:
    d = desk(balance="500", symbols=2)
    d.trade("Buy", "40", symbol="BBBUSDT")
    settle(d.state, "BBBUSDT", 0.12, D("100"))  # 480 of 500: 20 left for the 40 to be kept
    d.walk("100", "100", "100", "100")
    assert d.quantity(symbol="BBBUSDT") == 0
