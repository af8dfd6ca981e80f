"""What the market does to orders: the rules of ``core.fills``, and those that only a venue has."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.core.fills import Resting, RestingLimit, walk_bar
from executor.paper.venue import matching, placing
from executor.paper.venue.events import Executed, OrderChanged
from executor.paper.venue.margin import totals
from executor.paper.venue.orders import Status
from features.costs import Costs
from features.types import Candle
from tests.support.venue import D, Desk, bracket, desk

COSTS = Costs(taker_fee=0.00055, maker_fee=0.0002, slippage_base=0.0003, slippage_volatility=0.1)
TICKS = st.integers(-60, 60)


def executed(d: Desk) -> list[Executed]:
    return [event for event in d.state.drain() if isinstance(event, Executed)]


@given(
    long=st.booleans(),
    stop=st.integers(1, 50),
    take=st.integers(1, 50),
    limits=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 20)), max_size=3),
    bar=st.tuples(TICKS, TICKS, TICKS, TICKS),
    volatility=st.floats(0.0, 0.05),
)
def test_a_position_is_walked_as_the_simulation_walks_it(
    long: bool,
    stop: int,
    take: int,
    limits: list[tuple[int, int]],
    bar: tuple[int, int, int, int],
    volatility: float,
) -> None:
    """Same fills, prices and fees as ``core.fills.walk_bar`` for stop, take and partial limits."""
    side = 1 if long else -1
    d = desk(COSTS)
    d.state.volatility["AAAUSDT"] = volatility

    def at(ticks: int) -> Decimal:
        return D(1000 + ticks) / 10

    d.trade(
        "Buy" if long else "Sell",
        "3.0",
        bracket=bracket(str(at(-side * stop)), str(at(side * take))),
    )
    placed = [
        d.order(
            "Sell" if long else "Buy",
            str(D(size) / 10),
            price=at(side * distance),
            reduce_only=True,
        )
        for distance, size in limits
    ]
    executed(d)
    opened, high, low, close = at(bar[0]), at(max(bar)), at(min(bar)), at(bar[1])
    expected = walk_bar(
        Resting(
            side=side,
            quantity=3.0,
            take_price=float(at(side * take)),
            stop_price=float(at(-side * stop)),
            limits=tuple(
                RestingLimit(
                    client_order_id=order.order_id,
                    quantity=float(order.quantity),
                    price=float(order.price),
                )
                for order in placed
            ),
        ),
        Candle(
            open_ms=0,
            open=float(opened),
            high=float(high),
            low=float(low),
            close=float(close),
            volume=1.0,
        ),
        volatility,
        COSTS,
        0.1,
    )
    d.walk(str(opened), str(high), str(low), str(close))
    got = [
        (
            "" if fill.order.stop_kind else fill.order.order_id,
            float(fill.quantity),
            float(fill.price),
            float(fill.fee),
        )
        for fill in executed(d)
    ]
    want = [(fill.client_order_id, fill.quantity, fill.price, fill.fee) for fill in expected]
    assert [(w[0], w[2]) for w in want] == [(g[0], g[2]) for g in got]
    for have, wanted in zip(got, want, strict=True):
        assert (
            have == pytest.approx(wanted) if not have[0] else have[1:] == pytest.approx(wanted[1:])
        )


def test_both_barriers_in_one_bar_are_the_stop() -> None:
    d = desk()
    d.trade("Buy", "1", bracket=bracket("95", "105"))
    d.walk("100", "110", "90", "108")
    assert [float(fill.price) for fill in executed(d)] == [100.0, 95.0]
    assert d.quantity() == 0


def test_a_short_meets_its_high_first() -> None:
    d = desk()
    d.trade("Sell", "1", bracket=bracket("105", "95"))
    d.walk("100", "110", "90", "92")
    assert [float(fill.price) for fill in executed(d)] == [100.0, 105.0]


def test_a_stop_that_the_market_jumps_over_fills_at_the_open() -> None:
    d = desk()
    d.trade("Buy", "1", bracket=bracket("95", "105"))
    d.walk("91", "93", "90", "92")
    assert executed(d)[-1].price == D("91")


def test_a_profit_is_never_better_than_its_level() -> None:
    d = desk()
    d.trade("Buy", "1", bracket=bracket("95", "105"))
    d.walk("112", "113", "90", "100")
    assert executed(d)[-1].price == D("105")


def test_a_limit_needs_the_price_to_go_through_it() -> None:
    d = desk()
    order = d.order("Buy", "1", price="99")
    d.walk("100", "100", "99", "99.5")
    assert d.now(order).status is Status.NEW
    d.walk("99.5", "99.5", "98.9", "99.5")
    filled = executed(d)
    assert [(f.price, f.is_maker) for f in filled] == [(D("99"), True)]


def test_a_marketable_limit_pays_no_more_than_its_price() -> None:
    slipping = Costs(taker_fee=0.0, maker_fee=0.0, slippage_base=0.01, slippage_volatility=0.0)
    d = desk(slipping)
    assert d.trade("Buy", "1", price="100.5").filled_value == D("100.5")
    assert d.trade("Buy", "1", price="102").filled_value == D("101.0")


def test_post_only_that_would_take_is_cancelled() -> None:
    d = desk()
    order = d.trade("Buy", "1", price="101", time_in_force="PostOnly")
    assert (order.status, order.reject_reason) == (Status.CANCELLED, "EC_PostOnlyWillTakeLiquidity")
    assert d.trade("Buy", "1", price="99", time_in_force="PostOnly").status is Status.NEW


@pytest.mark.parametrize("kind", ["IOC", "FOK"])
def test_what_must_trade_at_once_and_cannot_is_cancelled(kind: str) -> None:
    d = desk()
    order = d.trade("Buy", "1", price="99", time_in_force=kind)
    assert (order.status, order.reject_reason) == (Status.CANCELLED, "EC_NoImmediateQtyToFill")


def test_an_order_takes_no_more_than_its_share_of_the_volume() -> None:
    d = desk()
    d.state.liquidity["AAAUSDT"] = D("2.05")
    ioc = d.trade("Buy", "3", price="101", time_in_force="IOC")
    assert (ioc.filled, ioc.status) == (D("2.0"), Status.PARTIALLY_FILLED_CANCELED)
    d.state.liquidity["AAAUSDT"] = D("2.05")
    assert d.trade("Buy", "3", price="101", time_in_force="FOK").filled == 0
    resting = d.trade("Buy", "3", price="101")
    assert (resting.filled, resting.status) == (D("2.0"), Status.PARTIALLY_FILLED)
    d.state.liquidity["AAAUSDT"] = D("10")
    d.walk("102", "102", "100.5", "101")
    assert d.now(resting).status is Status.FILLED


def test_a_resting_limit_fills_its_share_bar_by_bar() -> None:
    d = desk()
    order = d.order("Buy", "1", price="99")
    for filled in ("0.4", "0.8", "1.0"):
        d.state.liquidity["AAAUSDT"] = D("0.45")
        d.walk("100", "100", "98", "100")
        assert d.now(order).filled == D(filled)
    assert d.now(order).status is Status.FILLED


def test_reduce_only_never_turns_a_position() -> None:
    d = desk()
    d.trade("Buy", "1")
    order = d.trade("Sell", "5", reduce_only=True)
    assert (order.filled, d.quantity()) == (D("1"), D("0"))


def test_a_flat_position_takes_its_reducing_orders_along() -> None:
    d = desk()
    d.trade("Buy", "1", bracket=bracket("95", "105"))
    partial = d.order("Sell", "0.5", price="103", reduce_only=True)
    d.walk("100", "100", "94", "94")
    ended = d.now(partial)
    assert (ended.status, ended.cancel_type) == (Status.CANCELLED, "CancelByReduceOnly")
    assert list(d.state.orders.open_of("main")) == []


def test_a_conditional_entry_triggers_and_then_meets_its_adverse_extreme() -> None:
    """Entered at 105 on the way up: the low may have come before, but no bar proves it."""
    d = desk()
    d.order("Buy", "1", trigger_price="105", trigger_direction=1, bracket=bracket("96", "120"))
    d.walk("100", "121", "95", "110")
    assert [float(fill.price) for fill in executed(d)] == [105.0, 96.0]


def test_a_conditional_limit_rests_once_triggered() -> None:
    d = desk()
    order = d.order("Buy", "1", price="94", trigger_price="95", trigger_direction=2)
    d.walk("100", "100", "94.5", "96")
    assert d.now(order).status is Status.NEW
    d.walk("96", "96", "93.9", "95")
    assert d.now(order).status is Status.FILLED


def test_a_conditional_order_without_money_is_rejected_when_it_triggers() -> None:
    d = desk(balance="100")
    order = d.order("Buy", "50", trigger_price="105", trigger_direction=1)
    d.walk("100", "106", "100", "106")
    assert d.now(order).status is Status.REJECTED
    assert d.quantity() == 0


def test_a_trailing_stop_follows_and_never_retreats() -> None:
    d = desk()
    d.trade("Buy", "1")
    position = d.account.position("AAAUSDT", 0)
    position.trail = D("2")
    matching.stops.sync(d.state, position)
    d.walk("100", "103", "99", "102")  # low first: 98 holds; then best 103, stop 101
    assert d.quantity() == D("1")
    d.walk("102", "102", "100", "100")
    assert executed(d)[-1].price == D("101")


def test_a_trailing_stop_waits_for_its_active_price() -> None:
    d = desk()
    d.trade("Buy", "1")
    position = d.account.position("AAAUSDT", 0)
    position.trail, position.active_price = D("2"), D("104")
    matching.stops.sync(d.state, position)
    d.walk("100", "103.9", "90", "103")
    assert d.quantity() == D("1")
    d.walk("103", "104", "103", "103.5")
    d.walk("103.5", "103.5", "101", "101")
    assert executed(d)[-1].price == D("102")


def test_a_profit_is_held_back_while_the_stop_is_still_to_come() -> None:
    """Ticks show a high before the low: the long is stopped all the same, as the bar rules."""
    d = desk()
    d.trade("Buy", "1", bracket=bracket("95", "105"))
    up = matching.Path(
        start=D(100), high=D(106), low=D(100), end=D(106), ahead_high=D(106), ahead_low=D(94)
    )
    matching.walk(d.state, "AAAUSDT", up)
    assert d.quantity() == D("1")
    down = matching.Path(
        start=D(106),
        high=D(106),
        low=D(94),
        end=D(94),
        is_opening=False,
        ahead_high=D(94),
        ahead_low=D(94),
    )
    matching.walk(d.state, "AAAUSDT", down)
    assert executed(d)[-1].price == D("95")


def test_hedge_mode_walks_each_side_by_itself() -> None:
    d = desk()
    d.account.hedged.add("AAAUSDT")
    d.trade("Buy", "1", position_idx=1, bracket=bracket("95", "105"))
    d.trade("Sell", "1", position_idx=2, bracket=bracket("105", "95"))
    d.walk("100", "106", "94", "100")
    stopped = [f for f in executed(d) if f.order.stop_kind]
    assert [(f.order.position_idx, f.price) for f in stopped] == [(1, D("95")), (2, D("105"))]


def test_orders_of_a_symbol_without_a_bar_wait() -> None:
    d = desk(symbols=2)
    first = d.order("Buy", "1")
    second = d.order("Buy", "1", symbol="BBBUSDT")
    matching.match_takers(d.state, {"BBBUSDT"})
    assert (d.now(first).status, d.now(second).status) == (Status.NEW, Status.FILLED)


def test_a_fill_is_told_in_the_venues_order() -> None:
    d = desk()
    d.trade("Buy", "1", bracket=bracket("95", "105"))
    told = [
        (type(event).__name__, event.order.stop_kind if isinstance(event, OrderChanged) else "")
        for event in d.state.drain()
    ]
    assert told == [
        ("Executed", ""),
        ("PositionChanged", ""),
        ("OrderChanged", ""),
        ("WalletChanged", ""),
        ("OrderChanged", "StopLoss"),
        ("OrderChanged", "TakeProfit"),
    ]


def test_an_order_at_the_market_that_waits_is_bound_at_the_market() -> None:
    d = desk()
    d.order("Buy", "10")
    before = totals(d.state, d.account).order_margin
    d.state.move("AAAUSDT", D("110"))
    assert (before, totals(d.state, d.account).order_margin) == (D("100"), D("110"))


def test_an_amended_order_needs_only_what_it_binds_more() -> None:
    d = desk(balance="1000")
    order = d.order("Buy", "80", price="99")  # binds 792 of 1000
    placing.amend(
        d.state, d.account, order, quantity=None, price=D("99.5"), trigger_price=None, bracket=None
    )
    assert totals(d.state, d.account).order_margin == D("796")


def test_a_conditional_order_needs_its_margin_once() -> None:
    d = desk(balance="1000")
    order = d.order("Buy", "70", trigger_price="105", trigger_direction=1)  # 735 of 1000
    d.walk("100", "106", "100", "106")
    assert d.now(order).status is Status.FILLED


def test_what_only_reduces_needs_no_margin() -> None:
    d = desk(balance="11")
    d.trade("Buy", "1")
    order = d.order("Sell", "500", price="110", reduce_only=True)
    d.walk("100", "111", "100", "111")
    assert (d.now(order).filled, d.quantity()) == (D("1"), D("0"))
