"""Exits, leverage and modes as clients ask for them: what is set and what is refused."""

from typing import Any

import pytest

from executor.paper.venue import placing, protecting
from executor.paper.venue.account import CROSS, ISOLATED, PORTFOLIO
from executor.paper.venue.errors import VenueError
from executor.paper.venue.events import PositionChanged, WalletChanged
from executor.paper.venue.orders import Order, Status
from executor.paper.venue.protecting import TradingStop
from tests.support.venue import D, Desk, bracket, desk

SYMBOL = "AAAUSDT"


def protect(d: Desk, **fields: Any) -> None:
    values: dict[str, Any] = {k: D(v) if isinstance(v, str) else v for k, v in fields.items()}
    protecting.trading_stop(d.state, d.account, TradingStop(symbol=SYMBOL, **values))


def exits(d: Desk, idx: int = 0) -> dict[str, Order]:
    """Return the live exits of a position by kind."""
    position = d.account.position(SYMBOL, idx)
    found = d.state.orders.open_at(position.key)
    return {order.stop_kind: order for order in found if order.stop_kind not in ("", "Stop")}


def refused(d: Desk, **fields: Any) -> int:
    """Ask for exits that are refused, which leaves no trace; return the code."""
    before = len(d.state.events)
    with pytest.raises(VenueError) as error:
        protect(d, **fields)
    assert len(d.state.events) == before
    return error.value.code


def test_exits_are_set_moved_and_removed() -> None:
    d = desk()
    d.trade("Buy", "2")
    protect(d, stop_loss="95", take_profit="110")
    first = exits(d)
    assert {k: (str(o.side), o.trigger_price, o.quantity) for k, o in first.items()} == {
        "StopLoss": ("Sell", D("95"), D("2")),
        "TakeProfit": ("Sell", D("110"), D("2")),
    }
    protect(d, stop_loss="96")
    assert exits(d)["StopLoss"].order_id == first["StopLoss"].order_id
    assert exits(d)["StopLoss"].trigger_price == D("96")
    assert exits(d)["TakeProfit"] == first["TakeProfit"]
    protect(d, take_profit="0")
    assert set(exits(d)) == {"StopLoss"}
    gone = d.now(first["TakeProfit"])
    assert (gone.status, gone.cancel_type) == (Status.DEACTIVATED, "CancelByTpSlTsClear")


def test_exits_grow_and_shrink_with_their_position() -> None:
    d = desk()
    d.trade("Buy", "2", bracket=bracket("95"))
    d.trade("Buy", "1")
    assert exits(d)["StopLoss"].quantity == D("3")
    d.trade("Sell", "2.5", reduce_only=True)
    assert exits(d)["StopLoss"].quantity == D("0.5")
    d.trade("Sell", "1.5")  # closes the half and opens one short: the exit was the long's
    assert exits(d) == {}
    assert d.account.position(SYMBOL, 0).stop_loss == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"stop_loss": "100"}, 10001),
        ({"stop_loss": "101"}, 10001),
        ({"take_profit": "99"}, 10001),
        ({"stop_loss": "95.05"}, 10001),
        ({"stop_loss": "-1"}, 10001),
        ({"trail": "-1"}, 10001),
        ({"trail": "1.05"}, 10001),
        ({"trail": "1", "active_price": "99"}, 10001),
        ({"position_idx": 1, "stop_loss": "95"}, 10001),
        ({"partial": True, "stop_loss": "95", "size": "0.05"}, 10001),
        ({"stop_loss": "95"}, 34040),
        ({}, 34040),
    ],
)
def test_what_cannot_be_set_is_refused(fields: dict[str, Any], code: int) -> None:
    d = desk()
    d.trade("Buy", "2", bracket=bracket("95"))
    d.state.drain()
    assert refused(d, **fields) == code


def test_nothing_protects_a_flat_position() -> None:
    assert refused(desk(), stop_loss="95") == 10001


def test_partial_exits_stand_beside_each_other() -> None:
    d = desk()
    d.trade("Buy", "3")
    protect(d, take_profit="105", partial=True, size="1")
    protect(d, take_profit="110", partial=True, size="1", take_limit="110")
    found = d.state.orders.open_at(d.account.position(SYMBOL, 0).key)
    assert [(o.stop_kind, o.quantity, o.is_market) for o in found] == [
        ("PartialTakeProfit", D("1"), True),
        ("PartialTakeProfit", D("1"), False),
    ]
    d.walk("100", "112", "100", "111")
    assert d.quantity() == D("1")
    assert [o.status for o in map(d.now, found)] == [Status.FILLED, Status.FILLED]


def test_a_partial_exit_closes_no_more_than_its_size() -> None:
    d = desk()
    d.trade("Buy", "3")
    protect(d, stop_loss="95", partial=True, size="9")
    assert exits(d)["PartialStopLoss"].quantity == D("3")
    d.trade("Sell", "2", reduce_only=True)
    d.walk("100", "100", "94", "94")
    assert d.quantity() == 0


def test_amending_or_cancelling_an_exit_moves_or_removes_that_of_the_position() -> None:
    d = desk()
    d.trade("Buy", "2", bracket=bracket("95", "110"))
    position = d.account.position(SYMBOL, 0)
    change = {"quantity": None, "price": None, "bracket": None}
    stop, take = exits(d)["StopLoss"], exits(d)["TakeProfit"]
    placing.amend(d.state, d.account, stop, trigger_price=D("94"), **change)
    placing.amend(d.state, d.account, take, trigger_price=D("111"), **change)
    assert (position.stop_loss, position.take_profit) == (D("94"), D("111"))
    placing.cancel(d.state, d.account, d.now(stop))
    assert (position.stop_loss, position.take_profit) == (D("0"), D("111"))
    placing.cancel(d.state, d.account, d.now(take))
    assert exits(d) == {}


def test_a_trailing_stop_is_moved_with_its_distance_and_removed() -> None:
    d = desk()
    d.trade("Sell", "1")
    protect(d, trail="2")
    assert exits(d)["TrailingStop"].trigger_price == D("102")
    protect(d, trail="3")
    assert exits(d)["TrailingStop"].trigger_price == D("103")
    d.walk("100", "100", "90", "91")
    assert exits(d)["TrailingStop"].trigger_price == D("93")
    placing.cancel(d.state, d.account, exits(d)["TrailingStop"])
    assert d.account.position(SYMBOL, 0).trail == 0
    d.walk("91", "120", "91", "119")
    assert d.quantity() == D("-1")


def test_leverage_has_its_limits() -> None:
    d = desk()
    for leverage, code in (("0.99", 110013), ("51", 110013), ("10", 110043)):
        with pytest.raises(VenueError) as error:
            protecting.set_leverage(d.state, d.account, SYMBOL, D(leverage))
        assert error.value.code == code
    protecting.set_leverage(d.state, d.account, SYMBOL, D("12.345"))
    assert d.account.leverage_of(SYMBOL) == D("12.34")


def test_leverage_that_the_account_cannot_carry_is_refused() -> None:
    d = desk(balance="1000")
    d.trade("Buy", "50")  # 5000, a tenth of it bound
    with pytest.raises(VenueError, match="110007"):
        protecting.set_leverage(d.state, d.account, SYMBOL, D("4"))
    assert d.account.leverage_of(SYMBOL) == D("10")
    protecting.set_leverage(d.state, d.account, SYMBOL, D("5.5"))
    told = [event for event in d.state.drain() if isinstance(event, PositionChanged)]
    assert (told[-1].leverage, told[-1].initial_margin) == (D("5.5"), D("909.09090909"))


def test_leverage_moves_the_margin_of_an_isolated_position() -> None:
    d = desk()
    protecting.set_margin_mode(d.state, d.account, ISOLATED)
    d.trade("Buy", "10")
    assert d.account.position(SYMBOL, 0).margin == D("100")
    protecting.set_leverage(d.state, d.account, SYMBOL, D("20"))
    assert d.account.position(SYMBOL, 0).margin == D("50")


def test_resting_orders_bind_by_the_leverage_of_now() -> None:
    d = desk(balance="1000")
    d.order("Buy", "10", price="90")
    bound = [event.order_margin for event in wallet_after(d, "20")]
    assert bound == [D("45")]


def wallet_after(d: Desk, leverage: str) -> list[WalletChanged]:
    protecting.set_leverage(d.state, d.account, SYMBOL, D(leverage))
    d.state.drain()
    order = d.order("Buy", "0.1", price="90")
    placing.cancel(d.state, d.account, order)
    return [event for event in d.state.drain() if isinstance(event, WalletChanged)]


def test_position_modes_need_a_clean_slate() -> None:
    d = desk(symbols=2)
    switch = protecting.switch_mode

    def code(symbols: list[str], *, hedge: bool) -> int:
        with pytest.raises(VenueError) as error:
            switch(d.state, d.account, symbols, hedge=hedge)
        return error.value.code

    assert code([SYMBOL], hedge=False) == 110025
    assert code(["NOPEUSDT"], hedge=True) == 10001
    resting = d.order("Buy", "1", price="90")
    assert code([SYMBOL, "BBBUSDT"], hedge=True) == 110028
    switch(d.state, d.account, ["BBBUSDT"], hedge=True)
    placing.cancel(d.state, d.account, resting)
    d.trade("Buy", "1")
    assert code([SYMBOL], hedge=True) == 110024
    d.trade("Sell", "1")
    switch(d.state, d.account, [SYMBOL], hedge=True)
    assert d.account.indices(SYMBOL) == (1, 2)


def test_hedge_mode_keeps_two_positions_that_only_their_own_side_opens() -> None:
    d = desk()
    protecting.switch_mode(d.state, d.account, [SYMBOL], hedge=True)
    for idx in (0, 3):
        with pytest.raises(VenueError, match="position idx not match position mode"):
            d.order("Buy", "1", position_idx=idx)
    d.trade("Buy", "2", position_idx=1)
    d.trade("Sell", "1", position_idx=2)
    assert (d.quantity(1), d.quantity(2)) == (D("2"), D("-1"))
    d.trade("Sell", "5", position_idx=1)  # the long's closing side: only ever reduces
    assert (d.quantity(1), d.quantity(2)) == (D("0"), D("-1"))
    with pytest.raises(VenueError, match="110017"):
        d.order("Sell", "1", position_idx=1)


def test_the_margin_mode_is_the_accounts_and_needs_it_flat() -> None:
    d = desk()
    with pytest.raises(VenueError, match="3400045"):
        protecting.set_margin_mode(d.state, d.account, PORTFOLIO)
    with pytest.raises(VenueError, match="10001"):
        protecting.set_margin_mode(d.state, d.account, "ANY")
    protecting.set_margin_mode(d.state, d.account, CROSS)
    assert d.state.drain() == []
    order = d.order("Buy", "1", price="90")
    with pytest.raises(VenueError, match="3400045") as refused:
        protecting.set_margin_mode(d.state, d.account, ISOLATED)
    assert [code for code, _ in refused.value.reasons] == ["3400102"]
    placing.cancel(d.state, d.account, order)
    protecting.set_margin_mode(d.state, d.account, ISOLATED)
    assert d.account.margin_mode == ISOLATED
