"""The walk of a bot that signs for itself: a client written from Bybit's documentation alone.

Everything a trading program does, in the order in which it does it, by REST, over the trade socket
and with the private streams open; what the streams said must be what REST says afterwards.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.bybit_client import BybitError, Client, Stream, bybit_client
from tests.support.paper import (
    START_MS,
    PaperHere,
    acknowledge,
    paper_here,
    until,
    wandering,
    write_market,
)

STEP = 900_000
NOW = START_MS + 100 * STEP
BTC = {"category": "linear", "symbol": "BTCUSDT"}
SOON = 30.0


@pytest_asyncio.fixture
async def paper(tmp_path: Path) -> AsyncIterator[PaperHere]:
    settled = [(NOW - 30 * STEP, 0.0001), (NOW + STEP, 0.001), (NOW + 9 * STEP, 0.0)]
    funding: dict[str, Any] = {"BTCUSDT": settled}
    write_market(tmp_path, {"BTCUSDT": wandering(1, 140)}, funding=funding)
    fixed = ("--market", f"replay:{tmp_path}", "--symbols", "BTCUSDT", "--now", str(NOW))
    async with paper_here(*fixed, "--speed", "lockstep", "--bars", "8") as served:
        yield served


@pytest_asyncio.fixture
async def me(paper: PaperHere) -> AsyncIterator[Client]:
    async with bybit_client(paper) as client:
        yield client


async def rows(me: Client, path: str, **query: Any) -> list[Any]:
    result = (await me.rest.get(path, **query))["result"]
    return list(result.get("list", result.get("rows", [])))


async def order_now(me: Client, order: str) -> dict[str, Any]:
    (row,) = await rows(me, "/v5/order/realtime", **BTC, orderId=order)
    return dict(row)


async def step(paper: PaperHere, number: int) -> None:
    """Let bar ``number`` (1 is the first) pass."""
    await acknowledge(paper, NOW + (number - 1) * STEP if number > 1 else 0)
    await until(lambda: paper.mover.bars_done == number, SOON)


async def test_what_is_public(me: Client) -> None:
    (instrument,) = await rows(me, "/v5/market/instruments-info", category="linear")
    assert (instrument["symbol"], instrument["status"]) == ("BTCUSDT", "Trading")
    bars = await rows(me, "/v5/market/kline", **BTC, interval="15", limit=3)
    assert [int(bar[0]) for bar in bars] == [NOW, NOW - STEP, NOW - 2 * STEP]
    assert all(isinstance(value, str) for bar in bars for value in bar)
    (ticker,) = await rows(me, "/v5/market/tickers", **BTC)
    book = (await me.rest.get("/v5/market/orderbook", **BTC, limit=5))["result"]
    assert float(book["b"][0][0]) < float(ticker["lastPrice"]) < float(book["a"][0][0])
    (paid,) = await rows(me, "/v5/market/funding/history", **BTC)
    assert int(paid["fundingRateTimestamp"]) == NOW - 30 * STEP


async def test_settings_and_what_changes_nothing(me: Client) -> None:
    leverage = {**BTC, "buyLeverage": "7", "sellLeverage": "7"}
    await me.rest.post("/v5/position/set-leverage", **leverage)
    with pytest.raises(BybitError, match="110043"):
        await me.rest.post("/v5/position/set-leverage", **leverage)
    (flat,) = await rows(me, "/v5/position/list", **BTC)
    assert (flat["leverage"], flat["size"], flat["side"]) == ("7", "0", "")
    with pytest.raises(BybitError, match="110025"):
        await me.rest.post("/v5/position/switch-mode", **BTC, mode=0)
    await me.rest.post("/v5/position/switch-mode", **BTC, mode=3)
    assert [row["positionIdx"] for row in await rows(me, "/v5/position/list", **BTC)] == [1, 2]
    await me.rest.post("/v5/position/switch-mode", **BTC, mode=0)
    isolated = {"setMarginMode": "ISOLATED_MARGIN"}
    assert (await me.rest.post("/v5/account/set-margin-mode", **isolated))["retCode"] == 0
    info = (await me.rest.get("/v5/account/info"))["result"]
    assert (info["marginMode"], info["unifiedMarginStatus"]) == ("ISOLATED_MARGIN", 6)
    (fees,) = await rows(me, "/v5/account/fee-rate", **BTC)
    assert (fees["takerFeeRate"], fees["makerFeeRate"]) == ("0.00055", "0.0002")


async def test_every_kind_of_order(me: Client) -> None:
    """Lockstep fills nothing before the next bar: what was asked for can be looked at."""
    order = me.rest.order
    kinds: dict[str, dict[str, Any]] = {
        "GTC": {"price": "90"},
        "PostOnly": {"price": "90", "timeInForce": "PostOnly"},
        "conditional": {"triggerPrice": "130", "triggerDirection": 1},
        "conditional limit": {"triggerPrice": "80", "triggerDirection": 2, "price": "80"},
        "with exits": {"price": "90", "stopLoss": "80", "takeProfit": "120"},
        "partial exits": {"price": "90", "stopLoss": "80", "tpslMode": "Partial"},
    }
    ids = {name: await order("Buy", "1", **fields) for name, fields in kinds.items()}
    states = {name: (await order_now(me, ids[name]))["orderStatus"] for name in kinds}
    assert states == {name: "Untriggered" if "cond" in name else "New" for name in kinds}
    row = await order_now(me, ids["with exits"])
    assert (row["stopLoss"], row["takeProfit"], row["tpslMode"]) == ("80", "120", "Full")
    for kind in ("IOC", "FOK"):
        row = await order_now(me, await order("Buy", "1", price="90", timeInForce=kind))
        assert (row["orderStatus"], row["rejectReason"]) == ("Cancelled", "EC_NoImmediateQtyToFill")
    await me.rest.post("/v5/order/amend", **BTC, orderId=ids["GTC"], qty="2", price="91")
    row = await order_now(me, ids["GTC"])
    assert (row["qty"], row["price"], row["leavesQty"]) == ("2", "91", "2")
    await me.rest.post("/v5/order/cancel", **BTC, orderId=ids["GTC"])
    with pytest.raises(BybitError, match="110001"):
        await me.rest.post("/v5/order/cancel", **BTC, orderId=ids["GTC"])
    stops = await me.rest.post("/v5/order/cancel-all", **BTC, orderFilter="StopOrder")
    assert len(stops["result"]["list"]) == 2
    assert len((await me.rest.post("/v5/order/cancel-all", **BTC))["result"]["list"]) == 3
    assert await rows(me, "/v5/order/realtime", **BTC) == []
    assert len(await rows(me, "/v5/order/history", **BTC)) == 8


async def test_a_trade_from_entry_to_exit(paper: PaperHere, me: Client) -> None:
    private, trade = await me.stream("private"), await me.stream("trade")
    await private.subscribe("order", "execution", "position", "wallet")
    entry = {**BTC, "side": "Buy", "orderType": "Market", "qty": "2", "orderLinkId": "entry"}
    entry |= {"stopLoss": "60", "takeProfit": "200"}
    await trade.say(op="order.create", reqId="1", header={}, args=[entry])
    reply = await trade.until(lambda message: message.get("reqId") == "1")
    assert (reply["retCode"], reply["data"]["orderLinkId"]) == (0, "entry")
    await step(paper, 1)
    (position,) = await rows(me, "/v5/position/list", category="linear", settleCoin="USDT")
    assert (position["size"], position["stopLoss"], position["takeProfit"]) == ("2", "60", "200")
    await me.rest.post("/v5/position/trading-stop", **BTC, stopLoss="70", positionIdx=0)
    with pytest.raises(BybitError, match="34040"):
        await me.rest.post("/v5/position/trading-stop", **BTC, stopLoss="70", positionIdx=0)
    await step(paper, 2)  # the settlement at its opening is paid by who holds then
    await me.rest.order("Sell", "2", reduceOnly=True)
    await step(paper, 3)
    await until(lambda: len(executed(private)) == 3, SOON)
    assert [(row["execType"], row["side"]) for row in executed(private)] == [
        ("Trade", "Buy"),
        ("Funding", "Buy"),
        ("Trade", "Sell"),
    ]
    assert await rows(me, "/v5/position/list", category="linear", settleCoin="USDT") == []
    assert private.rows("position")[-1]["size"] == "0"
    told = {row["orderId"]: row["orderStatus"] for row in private.rows("order")}
    assert sorted(told.values()) == ["Deactivated", "Deactivated", "Filled", "Filled"]
    await money_adds_up(me, private)


def executed(private: Stream) -> list[dict[str, Any]]:
    return private.rows("execution")


async def money_adds_up(me: Client, private: Stream) -> None:
    """Wallet, log, closed profit and executions tell one story."""
    (wallet,) = await rows(me, "/v5/account/wallet-balance", accountType="UNIFIED")
    log = await rows(me, "/v5/account/transaction-log")
    changes = sum(float(row["change"]) for row in log)
    assert float(wallet["totalWalletBalance"]) == pytest.approx(10_000 + changes, abs=1e-9)
    cash = sum(
        (1 if row["side"] == "Sell" else -1) * float(row["execValue"])
        for row in executed(private)
        if row["execType"] == "Trade"
    )
    fees = sum(float(row["execFee"]) for row in executed(private))
    assert changes == pytest.approx(cash - fees, abs=1e-9)
    assert {row["type"] for row in log} == {"TRADE", "SETTLEMENT"}
    (closed,) = await rows(me, "/v5/position/closed-pnl", **BTC)
    paid = [float(row["execFee"]) for row in executed(private) if row["execType"] == "Trade"]
    assert [float(closed["openFee"]), float(closed["closeFee"])] == paid
    assert float(closed["closedPnl"]) == pytest.approx(cash - sum(paid), abs=1e-9)
    assert private.rows("wallet")[-1]["totalWalletBalance"] == wallet["totalWalletBalance"]
    listed = await rows(me, "/v5/execution/list", **BTC)
    assert [row["execId"] for row in listed] == [row["execId"] for row in executed(private)][::-1]
