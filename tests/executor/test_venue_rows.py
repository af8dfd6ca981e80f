"""The venue's rows: read strictly, or not at all."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.core.events import FillReceived, FundingPaid, OrderUpdated
from executor.core.types import FillKind, OrderStatus
from executor.errors import RetryableError
from executor.venue import rows as venue_rows
from executor.venue.streams import (
    CandlePushed,
    PositionPushed,
    StreamEvent,
    Subscribed,
    Unreadable,
    deliver,
)

EXECUTION: dict[str, Any] = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "execId": "e1",
    "execType": "Trade",
    "execPrice": "100.5",
    "execQty": "0.2",
    "execFee": "0.011",
    "execTime": "1735689600000",
    "side": "Buy",
    "orderLinkId": "tb-BTCUSDT-1-e",
    "stopOrderType": "UNKNOWN",
    "closedSize": "",
    "feeRate": "0.00055",
}
ORDER: dict[str, Any] = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "orderId": "o1",
    "orderLinkId": "tb-BTCUSDT-1-e",
    "orderStatus": "New",
    "side": "Sell",
    "qty": "0.2",
    "cumExecQty": "0.1",
    "price": "",
    "reduceOnly": True,
    "stopOrderType": "",
    "rejectReason": "EC_NoError",
    "updatedTime": "5",
}
KLINE = {
    "start": 900_000,
    "open": "1",
    "high": "3",
    "low": "0.5",
    "close": "2",
    "volume": "7",
    "confirm": True,
}
POSITION = {
    "symbol": "BTCUSDT",
    "side": "Sell",
    "size": "0.3",
    "avgPrice": "99",
    "stopLoss": "101",
    "takeProfit": "",
    "markPrice": "98",
    "liqPrice": "",
}


def test_an_execution_is_a_fill() -> None:
    event = venue_rows.execution(EXECUTION)
    assert isinstance(event, FillReceived)
    assert (event.fill.side, event.fill.quantity, event.fill.fee) == (1, 0.2, 0.011)
    assert event.fill.kind is FillKind.ORDER
    assert not event.fill.reduce_only


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"stopOrderType": "StopLoss"}, FillKind.STOP),
        ({"stopOrderType": "PartialStopLoss"}, FillKind.STOP),
        ({"stopOrderType": "TakeProfit"}, FillKind.TAKE),
        ({"stopOrderType": "TrailingStop"}, FillKind.STOP),
        ({"execType": "BustTrade"}, FillKind.LIQUIDATION),
        ({"execType": "AdlTrade"}, FillKind.LIQUIDATION),
    ],
)
def test_how_a_fill_came_about(changes: dict[str, str], kind: FillKind) -> None:
    assert venue_rows.fill(EXECUTION | changes).kind is kind


@pytest.mark.parametrize(
    ("closed", "only"), [("", False), ("0", False), ("0.1", False), ("0.2", True)]
)
def test_a_fill_that_closes_and_opens_is_not_only_reducing(closed: str, only: bool) -> None:
    assert venue_rows.fill(EXECUTION | {"closedSize": closed}).reduce_only is only


def test_funding_is_what_our_cash_gained() -> None:
    event = venue_rows.execution(EXECUTION | {"execType": "Funding", "execFee": "1.5"})
    assert event == FundingPaid(
        symbol="BTCUSDT", time_ms=1_735_689_600_000, amount=-1.5, rate=0.00055
    )
    assert venue_rows.execution(EXECUTION | {"execType": "MovePosition"}) is None


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("New", OrderStatus.ACCEPTED),
        ("PartiallyFilled", OrderStatus.PARTIALLY_FILLED),
        ("Filled", OrderStatus.FILLED),
        ("PartiallyFilledCanceled", OrderStatus.CANCELED),
        ("Cancelled", OrderStatus.CANCELED),
        ("Rejected", OrderStatus.REJECTED),
    ],
)
def test_the_states_of_an_order(word: str, status: OrderStatus) -> None:
    update = venue_rows.order_update(ORDER | {"orderStatus": word})
    assert (update.status, update.filled_quantity, update.reason) == (status, 0.1, "")


def test_a_position_that_is_flat_is_none() -> None:
    held = venue_rows.position(POSITION)
    assert held is not None
    assert (held.side, held.quantity, held.stop_price, held.take_price) == (-1, 0.3, 101.0, 0.0)
    assert venue_rows.position(POSITION | {"size": "0", "side": ""}) is None


def test_a_wallet_without_the_currency_is_no_empty_wallet() -> None:
    reply = {"result": {"list": [{"coin": [{"coin": "USDT", "walletBalance": "12.5"}]}]}}
    assert venue_rows.wallet_balance(reply) == 12.5
    with pytest.raises(RetryableError, match="USDT"):
        venue_rows.wallet_balance({"result": {"list": [{"coin": []}]}})


@pytest.mark.parametrize(
    "reply", [None, "<html>", [], {}, {"result": {}}, {"result": {"list": [1]}}]
)
def test_a_reply_without_rows_is_not_an_empty_account(reply: Any) -> None:
    with pytest.raises(RetryableError):
        venue_rows.rows(reply)


@pytest.mark.parametrize("key", ["execPrice", "execQty", "execFee", "execTime", "side", "execId"])
@pytest.mark.parametrize("value", [None, "", "x", "nan", [], {}])
def test_what_cannot_be_read_is_never_zero(key: str, value: Any) -> None:
    if key == "execId" and value in ("", "x", "nan"):
        return  # any text is an id
    with pytest.raises(RetryableError):
        venue_rows.fill(EXECUTION | {key: value})


@pytest.mark.parametrize(
    "row",
    [
        [0, 1, 2, 3],
        [0, "1", "0.5", "2", "1", "1"],  # high below low
        [0, "1", "3", "0", "2", "1"],  # a price of zero
        [0, "1", "inf", "0.5", "2", "1"],
        [0, "1", "3", "0.5", "nan", "1"],
        [0, "1", "3", "0.5", "2", "-1"],
        "kline",
        None,
    ],
)
def test_impossible_candles_are_refused(row: Any) -> None:
    with pytest.raises(RetryableError):
        venue_rows.candle(row)


def frames(topic: str, data: Any) -> list[StreamEvent]:
    out: list[StreamEvent] = []
    deliver(out.append, topic, {"topic": topic, "data": data})
    return out


def test_frames_become_events_in_order() -> None:
    (pushed,) = frames("kline.15.BTCUSDT", [KLINE])
    assert isinstance(pushed, CandlePushed)
    assert (pushed.symbol, pushed.confirmed, pushed.candle.close) == ("BTCUSDT", True, 2.0)
    both = frames("execution", [EXECUTION, EXECUTION | {"execId": "e2"}])
    assert [e.fill.fill_id for e in both if isinstance(e, FillReceived)] == ["e1", "e2"]
    (update,) = frames("order", [ORDER])
    assert isinstance(update, OrderUpdated)
    assert frames("order", [ORDER | {"orderLinkId": ""}]) == []  # the venue's own stop order
    assert frames("order", [ORDER | {"category": "spot"}]) == []
    assert frames("position", [POSITION]) == [PositionPushed(symbol="BTCUSDT", quantity=-0.3)]
    flat = POSITION | {"size": "0", "side": ""}
    assert frames("position", [flat]) == [PositionPushed(symbol="BTCUSDT", quantity=0.0)]
    assert frames("wallet", [{"coin": []}]) == []


def test_a_subscription_is_told() -> None:
    out: list[StreamEvent] = []
    deliver(out.append, "subscribed", {"private": True})
    assert out == [Subscribed(private=True)]


def test_a_frame_that_cannot_be_read_is_told_and_the_rest_of_it_is_used() -> None:
    out = frames("execution", [EXECUTION | {"execPrice": "?"}, EXECUTION])
    assert isinstance(out[0], Unreadable)
    assert isinstance(out[1], FillReceived)
    assert isinstance(frames("order", "nothing")[0], Unreadable)
    assert isinstance(frames("order", [ORDER | {"orderStatus": "Dreaming"}])[0], Unreadable)


json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    base=st.sampled_from([EXECUTION, ORDER, KLINE, POSITION]),
    key=st.text(max_size=3),
    value=json_like,
    topic=st.sampled_from(["execution", "order", "kline.15.X", "position", "wallet"]),
    data=st.data(),
)
def test_no_frame_raises(
    base: dict[str, Any], key: str, value: Any, topic: str, data: st.DataObject
) -> None:
    spoiled = dict(base)
    spoiled[data.draw(st.sampled_from([*base, key]))] = value
    for event in frames(topic, [spoiled]):
        if isinstance(event, FillReceived):
            assert math.isfinite(event.fill.price)
    frames(topic, value)
