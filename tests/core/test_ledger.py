"""The ledger: equity is cash plus unrealised whatever happens, and money is conserved."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from executor.core.events import FundingPaid
from executor.core.ledger import Ledger, Opening
from executor.core.types import Fill, Trade

SYMBOLS = ("AUSDT", "BUSDT")
OPENING = Opening(
    entry_id="e",
    origin="signal",
    decided_ms=1,
    deadline_ms=2,
    reference_price=100.0,
    stop_price=99.0,
    take_price=102.0,
)
sides = st.sampled_from([1, -1])
lots = st.integers(1, 5000).map(lambda n: n / 1000)
prices = st.integers(100, 1_000_000).map(lambda n: n / 100)


def fill(symbol: str, side: int, quantity: float, price: float, fee: float = 0.0) -> Fill:
    return Fill(
        fill_id="",
        symbol=symbol,
        side=side,
        quantity=quantity,
        price=price,
        fee=fee,
        time_ms=5,
        client_order_id="",
    )


class LedgerMachine(RuleBasedStateMachine):
    """Drives a ledger beside the plainest books there are: cash paid and units held."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(start=1e6, cash=1e6)
        self.paid = 1e6  # every fill paid for in full, as in a spot account
        self.units = dict.fromkeys(SYMBOLS, 0.0)
        self.trades: list[Trade] = []

    @rule(
        symbol=st.sampled_from(SYMBOLS),
        side=sides,
        quantity=lots,
        price=prices,
        fee=st.floats(-1.0, 5.0),
    )
    def execute(self, symbol: str, side: int, quantity: float, price: float, fee: float) -> None:
        booked = self.ledger.apply_fill(fill(symbol, side, quantity, price, fee), OPENING, "x")
        assert booked.opened + booked.closed == pytest.approx(quantity)
        self.paid -= side * quantity * price + fee
        self.units[symbol] = round(self.units[symbol] + side * quantity, 9)
        if booked.trade is not None:
            self.trades.append(booked.trade)

    @rule(symbol=st.sampled_from(SYMBOLS), amount=st.floats(-10.0, 10.0))
    def settle(self, symbol: str, amount: float) -> None:
        self.ledger.apply_funding(FundingPaid(symbol=symbol, time_ms=9, amount=amount, rate=0.0001))
        self.paid += amount

    @rule(symbol=st.sampled_from(SYMBOLS), price=prices)
    def mark(self, symbol: str, price: float) -> None:
        self.ledger.marks[symbol] = price

    @rule(symbol=st.sampled_from(SYMBOLS), price=prices)
    def drop(self, symbol: str, price: float) -> None:
        position = self.ledger.positions.get(symbol)
        if position is not None:
            self.paid += position.side * position.quantity * price
            self.units[symbol] = 0.0
            self.trades.append(self.ledger.drop(symbol, price, 7, "gone"))

    @invariant()
    def positions_are_the_units_held(self) -> None:
        for symbol, units in self.units.items():
            position = self.ledger.positions.get(symbol)
            held = position.side * position.quantity if position is not None else 0.0
            assert held == pytest.approx(units, abs=1e-9)

    @invariant()
    def equity_is_cash_plus_unrealised(self) -> None:
        ledger = self.ledger
        value = sum(units * ledger.marks.get(s, 0.0) for s, units in self.units.items())
        assert ledger.equity() == pytest.approx(ledger.cash + ledger.unrealised())
        assert ledger.equity() == pytest.approx(self.paid + value, rel=1e-9, abs=1e-3)

    @invariant()
    def cash_is_explained(self) -> None:
        ledger = self.ledger
        explained = ledger.start + ledger.realised - ledger.fees + ledger.funding
        assert ledger.cash == pytest.approx(explained, abs=1e-4)

    @invariant()
    def trades_and_open_positions_hold_all_that_was_realised(self) -> None:
        open_part = sum(p.realised for p in self.ledger.positions.values())
        closed = sum(trade.gross for trade in self.trades)
        assert closed + open_part == pytest.approx(self.ledger.realised, abs=1e-3)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(sides, st.lists(lots, min_size=1, max_size=6), prices, prices)
def test_a_position_taken_apart_in_lots_is_flat_to_the_last_bit(
    side: int, parts: list[float], entry: float, leave: float
) -> None:
    ledger = Ledger(start=1e5, cash=1e5)
    for part in parts:
        ledger.apply_fill(fill("AUSDT", side, part, entry), OPENING, "")
    for part in reversed(parts):
        ledger.apply_fill(fill("AUSDT", -side, part, leave), OPENING, "out")
    assert ledger.positions == {}


def test_a_round_trip_by_hand() -> None:
    ledger = Ledger(start=1000.0, cash=1000.0)
    ledger.apply_fill(fill("AUSDT", -1, 2.0, 100.0, fee=0.1), OPENING, "")
    ledger.apply_funding(FundingPaid(symbol="AUSDT", time_ms=3, amount=0.02, rate=0.0001))
    trade = ledger.apply_fill(fill("AUSDT", 1, 2.0, 90.0, fee=0.09), OPENING, "take").trade
    assert trade is not None
    assert (trade.gross, trade.entry_price, trade.exit_price) == (20.0, 100.0, 90.0)
    assert trade.pnl == pytest.approx(20.0 - 0.19 + 0.02)
    assert trade.net_return == pytest.approx(trade.pnl / 200.0)
    assert ledger.cash == pytest.approx(1000.0 + trade.pnl)


def test_a_flip_closes_one_trade_and_opens_the_rest() -> None:
    ledger = Ledger(start=1000.0, cash=1000.0)
    ledger.apply_fill(fill("AUSDT", 1, 1.0, 100.0), OPENING, "")
    booked = ledger.apply_fill(fill("AUSDT", -1, 3.0, 110.0, fee=0.3), OPENING, "flip")
    assert booked.trade is not None
    assert (booked.trade.gross, booked.opened) == (10.0, 2.0)
    assert booked.trade.fees == pytest.approx(0.1)
    position = ledger.positions["AUSDT"]
    assert (position.side, position.quantity, position.entry_price) == (-1, 2.0, 110.0)


def test_the_entry_price_of_a_trade_is_the_average_of_all_that_was_opened() -> None:
    ledger = Ledger(start=1000.0, cash=1000.0)
    ledger.apply_fill(fill("AUSDT", 1, 1.0, 100.0), OPENING, "")
    ledger.apply_fill(fill("AUSDT", -1, 0.5, 120.0), OPENING, "partial")
    ledger.apply_fill(fill("AUSDT", 1, 0.5, 110.0), OPENING, "")
    trade = ledger.apply_fill(fill("AUSDT", -1, 1.0, 130.0), OPENING, "out").trade
    assert trade is not None
    assert trade.entry_price == pytest.approx((100.0 + 0.5 * 110.0) / 1.5)
    assert trade.gross == pytest.approx(0.5 * 20.0 + 1.0 * (130.0 - 105.0))
