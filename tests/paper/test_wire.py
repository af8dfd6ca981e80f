"""What goes over the wire has the shape of the real thing.

Every reply and push of a session is compared, field by field, with recorded Bybit payloads (those
of ``shared/data/reference/wire`` where it is there, and always those that the installed ccxt keeps
in its own source): the same keys, and values of the same kind.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.bybit_client import Client, bybit_client
from tests.support.ccxt_samples import ccxt_source, samples
from tests.support.paper import START_MS, acknowledge, paper_here, wandering, write_market
from tests.support.shared_data import shared_data

STEP = 900_000
NOW = START_MS + 100 * STEP
LINEAR = {"category": "linear"}
BTC = {"category": "linear", "symbol": "BTCUSDT"}


@dataclass
class Session:
    """What one session said, by a name for each kind of reply, row and message."""

    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: dict[str, list[Any]] = field(default_factory=dict)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)


async def traded(client: Client, session: Session, paper: Any) -> None:
    """Trade a little, so that every stream has something to say."""
    public, private = await client.stream("public/linear"), await client.stream("private")
    await public.subscribe(
        "kline.15.BTCUSDT", "tickers.BTCUSDT", "orderbook.50.BTCUSDT", "publicTrade.BTCUSDT"
    )
    session.messages["subscribed"] = await private.subscribe(
        "order", "execution", "execution.fast", "position", "wallet"
    )
    session.messages["unknown"] = await public.subscribe("nothing.BTCUSDT")
    rest = client.rest
    stops = {"stopLoss": "50", "takeProfit": "400"}
    await rest.order("Buy", "2", orderLinkId="first", **stops)
    await rest.order("Buy", "1", price="90", timeInForce="PostOnly")
    await rest.order("Sell", "1", triggerPrice="60", triggerDirection=2, reduceOnly=True)
    await acknowledge(paper, 0)
    trades = await client.stream("trade")
    order = {**BTC, "side": "Sell", "orderType": "Market", "qty": "0.5", "reduceOnly": True}
    await trades.say(op="order.create", reqId="12", header={}, args=[order])
    session.messages["order.create"] = await trades.until(lambda m: m.get("op") == "order.create")
    session.messages["trade auth"] = trades.messages[0]
    session.messages["private auth"] = private.messages[0]
    await private.say(op="ping", req_id="3")
    session.messages["private pong"] = await private.until(lambda m: m.get("op") == "pong")
    await public.say(op="ping", req_id="4")
    session.messages["public pong"] = await public.until(lambda m: m.get("ret_msg") == "pong")
    for k in range(1, 6):
        await public.until(
            lambda m, k=k: (
                m.get("topic") == "kline.15.BTCUSDT" and m["data"][0]["start"] == NOW + k * STEP
            )
        )
        await acknowledge(paper, NOW + k * STEP)
    for topic in ("order", "execution", "execution.fast", "position", "wallet"):
        session.messages[topic] = await private.topic(topic)
        session.rows[f"ws {topic}"] = private.rows(topic)
    for topic in ("kline.15", "tickers", "orderbook.50", "publicTrade"):
        session.messages[topic] = await public.topic(f"{topic}.BTCUSDT")
    for topic in ("tickers", "orderbook.50"):
        session.messages[f"{topic} delta"] = await public.until(
            lambda m, topic=topic: m.get("topic") == f"{topic}.BTCUSDT" and m.get("type") == "delta"
        )


async def changed(client: Client, session: Session) -> None:
    """Change things by every kind of request that changes them."""
    order = {**BTC, "side": "Buy", "orderType": "Limit", "qty": "1", "price": "90"}
    replies, post = session.replies, client.rest.post
    replies["created"] = await post("/v5/order/create", **order)
    two = {"category": "linear", "request": [{**order, "qty": "0.0001"}, order]}
    replies["batch created"] = await post("/v5/order/create-batch", **two)
    ids = [replies["created"]["result"]["orderId"]]
    ids.append(replies["batch created"]["result"]["list"][1]["orderId"])
    replies["amended"] = await post("/v5/order/amend", **BTC, orderId=ids[0], price="91")
    changes = [{"symbol": "BTCUSDT", "orderId": one, "price": "89"} for one in ids]
    replies["batch amended"] = await post(
        "/v5/order/amend-batch", category="linear", request=changes
    )
    cancels = [{"symbol": "BTCUSDT", "orderId": one} for one in ids[1:]]
    replies["batch cancelled"] = await post(
        "/v5/order/cancel-batch", category="linear", request=cancels
    )
    replies["cancelled"] = await post("/v5/order/cancel", **BTC, orderId=ids[0])
    await post("/v5/order/create", **order)
    replies["all cancelled"] = await post("/v5/order/cancel-all", **BTC)
    replies["dcp"] = await post("/v5/order/disconnected-cancel-all", timeWindow=40)
    replies["leverage"] = await post(
        "/v5/position/set-leverage", **BTC, buyLeverage="5", sellLeverage="5"
    )


QUERIES: dict[str, tuple[str, dict[str, Any]]] = {
    "instruments": ("/v5/market/instruments-info", LINEAR),
    "kline": ("/v5/market/kline", {**BTC, "interval": "15"}),
    "tickers": ("/v5/market/tickers", BTC),
    "book": ("/v5/market/orderbook", BTC),
    "public trades": ("/v5/market/recent-trade", BTC),
    "funding": ("/v5/market/funding/history", BTC),
    "risk limits": ("/v5/market/risk-limit", BTC),
    "open interest": ("/v5/market/open-interest", {**BTC, "intervalTime": "15min"}),
    "time": ("/v5/market/time", {}),
    "open orders": ("/v5/order/realtime", BTC),
    "orders": ("/v5/order/history", LINEAR),
    "executions": ("/v5/execution/list", LINEAR),
    "positions": ("/v5/position/list", {**LINEAR, "settleCoin": "USDT"}),
    "wallet": ("/v5/account/wallet-balance", {"accountType": "UNIFIED"}),
    "fees": ("/v5/account/fee-rate", BTC),
    "account": ("/v5/account/info", {}),
    "key": ("/v5/user/query-api", {}),
    "coins": ("/v5/asset/coin/query-info", {}),
    "log": ("/v5/account/transaction-log", {}),
    "closed": ("/v5/position/closed-pnl", LINEAR),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Session]:
    folder = write_market(
        tmp_path_factory.mktemp("market"),
        {"BTCUSDT": wandering(1, 130)},
        funding={"BTCUSDT": [(NOW - 50 * STEP, 0.0001), (NOW + 2 * STEP, 0.0001)]},
    )
    said = Session()
    options = ("--market", f"replay:{folder}", "--symbols", "BTCUSDT", "--now", str(NOW))
    async with (
        paper_here(*options, "--speed", "lockstep", "--bars", "5") as paper,
        bybit_client(paper) as client,
    ):
        await traded(client, said, paper)
        for name, (path, params) in QUERIES.items():
            reply = await client.rest.get(path, **params)
            said.replies[name] = reply
            result = reply["result"]
            said.rows[name] = result.get("list", result.get("rows", [result]))
            assert said.rows[name], f"{name} is empty"
        await changed(client, said)
        yield said


@cache
def ccxt_rest() -> dict[str, list[Any]]:
    return samples(ccxt_source("async_support/bybit.py"))


@cache
def ccxt_ws() -> dict[str, list[Any]]:
    return samples(ccxt_source("pro/bybit.py"))


def reference(name: str) -> Any:
    return json.loads((shared_data() / "reference/wire/bybit-v5" / f"{name}.json").read_text())


def first_row(reply: dict[str, Any]) -> Any:
    """Return the first row of a recorded REST reply."""
    result = reply["result"]
    return result.get("list", result.get("rows", [result]))[0]


# Numbers come as text from the venue; the few that do not are the same in every recording.
def kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__


# Fields of spot or of older versions, and those that recordings themselves do not agree upon.
NOT_OURS = {
    "spotBorrow": "spot",
    "deliveryFeeRate": "futures with a delivery",
    "nextPageCursor": "ccxt moves it into its rows",
}
# isLeverage and the like are written differently by REST and websocket recordings.
LOOSE = {"blockTradeId", "avgPrice", "orderIv", "seq", "riskId", "extraFees", "preListingInfo"}


def assert_like(ours: Any, real: Any, where: str) -> None:
    """Demand that ``ours`` has every key of ``real``, with values of the same kind, all the way."""
    if isinstance(real, dict):
        assert isinstance(ours, dict), where
        missing = set(real) - set(ours) - set(NOT_OURS)
        assert not missing, f"{where} lacks {sorted(missing)}"
        for key in set(real) & set(ours) - LOOSE:
            assert_like(ours[key], real[key], f"{where}.{key}")
    elif isinstance(real, list) and real and isinstance(ours, list) and ours:
        assert_like(ours[0], real[0], f"{where}[]")
    elif real is not None:
        assert kind(ours) == kind(real), f"{where} is {ours!r}, recorded {real!r}"


REST_RECORDINGS = {
    "http_get_account_info": "account",
    "http_get_executions": "executions",
    "http_get_fee_rate": "fees",
    "http_get_funding_history": "funding",
    "http_get_instruments_linear": "instruments",
    "http_get_instruments_linear_symbol_type": "instruments",
    "http_get_klines_linear": "kline",
    "http_get_order_partially_filled_rejected": "orders",
    "http_get_orders_history": "orders",
    "http_get_orders_history_with_duplicate": "orders",
    "http_get_orders_realtime": "open orders",
    "http_get_orders_realtime_tp_sl": "open orders",
    "http_get_positions": "positions",
    "http_get_positions_with_open_time": "positions",
    "http_get_trades_recent": "public trades",
    "http_get_user_query_api": "key",
    "http_get_wallet_balance": "wallet",
    "http_get_wallet_balance_spot_short": "wallet",
    "http_get_wallet_balance_with_spot_borrow": "wallet",
}
# What this exchange does not have, and one reply that mixes the forms of two sockets.
OTHERS = {
    "http_get_instruments_inverse": "inverse contracts",
    "http_get_instruments_inverse_symbol_type": "inverse contracts",
    "http_get_instruments_option": "options",
    "http_get_instruments_option_symbol_id": "options",
    "http_get_instruments_spot": "spot",
    "http_get_instruments_spot_xstocks": "spot",
    "http_get_user_escrow_sub_members": "sub-accounts",
    "http_get_user_sub_apikeys": "sub-accounts",
    "http_get_user_sub_members": "sub-accounts",
    "http_get_user_sub_members_paged": "sub-accounts",
    "http_post_user_update_master_api": "keys are not changed here",
    "http_post_user_update_sub_api": "sub-accounts",
    "ws_account_execution_fast_envelope_id": "an envelope without a row",
    "ws_auth_failure": "success of the private and connId of the trade socket in one",
    "ws_auth_success": "success of the private and connId of the trade socket in one",
    "ws_ticker_option": "options",
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("recording", sorted(REST_RECORDINGS))
async def test_replies_are_like_the_recorded_ones(session: Session, recording: str) -> None:
    real = reference(recording)
    name = REST_RECORDINGS[recording]
    assert_like(session.rows[name][0], first_row(real), recording)
    assert_like(
        {"time": 1, **session.replies[name]}, {k: real[k] for k in ("retCode", "retMsg")}, ""
    )


STREAM_RECORDINGS = {
    "ws_account_execution": "execution",
    "ws_account_execution_adl": "execution",
    "ws_account_execution_fast": "execution.fast",
    "ws_account_order": "order",
    "ws_account_order_buy_stop_market": "order",
    "ws_account_order_filled": "order",
    "ws_account_order_limit_if_touched": "order",
    "ws_account_order_market_if_touched": "order",
    "ws_account_order_partially_filled_rejected": "order",
    "ws_account_order_sell_market_if_touched": "order",
    "ws_account_order_stop_market": "order",
    "ws_account_order_stop_loss": "order",
    "ws_account_order_stop_limit": "order",
    "ws_account_order_take_profit": "order",
    "ws_account_position": "position",
    "ws_account_position_short": "position",
    "ws_account_position_with_open_time": "position",
    "ws_account_wallet": "wallet",
    "ws_account_wallet_locked_exceeds_total": "wallet",
    "ws_account_wallet_small_order": "wallet",
    "ws_kline": "kline.15",
    "ws_orderbook_delta": "orderbook.50 delta",
    "ws_orderbook_snapshot": "orderbook.50",
    "ws_public_trade": "publicTrade",
    "ws_ticker_linear": "tickers",
    "ws_order_response": "order.create",
    "ws_subscription_ack": "subscribed",
    "ws_subscription_failure": "unknown",
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("recording", sorted(STREAM_RECORDINGS))
async def test_messages_are_like_the_recorded_ones(session: Session, recording: str) -> None:
    message = session.messages[STREAM_RECORDINGS[recording]]
    real = reference(recording)
    if "topic" not in real and "op" not in real:
        message = message["data"][0]  # the row alone was recorded
    if message.get("topic") == "wallet":
        # Written totalPerpUpl in some and totalPerpUPL everywhere else.
        real["data"][0].pop("totalPerpUpl", None)
    assert_like(message, real, recording)


def test_every_recording_is_looked_at_or_has_its_reason() -> None:
    folder = shared_data() / "reference/wire/bybit-v5"
    looked_at = {*REST_RECORDINGS, *STREAM_RECORDINGS, "http_get_orderbook"}
    assert looked_at.isdisjoint(OTHERS)
    assert {path.stem for path in folder.glob("*.json")} == looked_at | set(OTHERS)


CCXT_REST = {
    "fetch_future_markets": "instruments",
    "fetch_time": "time",
    "fetch_currencies": "coins",
    "fetch_tickers": "tickers",
    "fetch_ohlcv": "kline",
    "fetch_funding_rate_history": "funding",
    "fetch_open_orders": "orders",
    "fetch_canceled_and_closed_orders": "orders",
    "fetch_order": "orders",
    "fetch_my_liquidations": "executions",
    "fetch_my_trades": "executions",
    "parse_income": "executions",
    "fetch_position": "positions",
    "fetch_positions_adl_rank": "positions",
    "fetch_ticker": "tickers",
    "fetch_trades": "public trades",
    "is_unified_enabled": "account",
    "fetch_trading_fee": "fees",
    "fetch_open_interest": "open interest",
    "fetch_derivatives_market_leverage_tiers": "risk limits",
    "fetch_margin_mode": "account",
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("method", sorted(CCXT_REST))
async def test_replies_are_like_those_that_ccxt_was_written_for(
    session: Session, method: str
) -> None:
    real = ccxt_rest()[method][-1]
    row = first_row(real) if "result" in real else real
    if isinstance(row, dict) and row.get("execType") == "BustTrade":
        row = {**row, "execType": "Trade"}
    ours = session.rows[CCXT_REST[method]]
    for field_, value in (("execType", "Funding"), ("orderStatus", "Filled")):
        if isinstance(row, dict) and row.get(field_) == value:
            ours = [one for one in ours if one[field_] == value]
    if isinstance(row, dict) and "chains" in row:
        row = {**row, "chains": []}
    assert_like(ours[0], row, method)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_transaction_log_is_like_the_recorded_one(session: Session) -> None:
    real = ccxt_rest()["fetch_ledger"][-1]["result"]["list"]
    for kind_ in ("SETTLEMENT", "TRADE"):
        ours = next(row for row in session.rows["log"] if row["type"] == kind_)
        assert_like(ours, next(row for row in real if row["type"] == kind_), f"ledger {kind_}")


@pytest.mark.asyncio(loop_scope="module")
async def test_books_and_wallets_are_like_the_recorded_ones(session: Session) -> None:
    assert_like(session.replies["book"], ccxt_rest()["fetch_order_book"][-1], "book")
    assert_like(session.replies["book"], reference("http_get_orderbook"), "book")
    assert_like(session.rows["wallet"][0], first_row(ccxt_rest()["fetch_balance"][-1]), "wallet")
    assert_like(session.replies["created"], ccxt_rest()["create_order"][-1], "create")


CCXT_CHANGES = {
    "create_order": "created",
    "create_orders": "batch created",
    "edit_order": "amended",
    "edit_orders": "batch amended",
    "cancel_order": "cancelled",
    "cancel_orders": "batch cancelled",
    "cancel_all_orders": "all cancelled",
    "cancel_all_orders_after": "dcp",
    "set_position_mode": "leverage",
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("method", sorted(CCXT_CHANGES))
async def test_changes_are_answered_like_those_that_ccxt_was_written_for(
    session: Session, method: str
) -> None:
    ours, real = session.replies[CCXT_CHANGES[method]], ccxt_rest()[method][-1]
    assert ours["retCode"] == 0
    assert_like(ours["result"], real.get("result", {}), method)
    codes = real.get("retExtInfo", {}).get("list", [])
    assert bool(ours["retExtInfo"].get("list")) == bool(codes)
    if codes:
        assert len(ours["retExtInfo"]["list"]) == len(ours["result"]["list"])


CCXT_WS = {
    "handle_balance": "wallet",
    "handle_ohlcv": "kline.15",
    "handle_trades": "publicTrade",
    "handle_order": "order",
    "handle_order_ws": "order.create",
    "handle_pong": "private pong",
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("method", sorted(CCXT_WS))
async def test_messages_are_like_those_that_ccxt_was_written_for(
    session: Session, method: str
) -> None:
    assert_like(session.messages[CCXT_WS[method]], ccxt_ws()[method][-1], method)


@pytest.mark.asyncio(loop_scope="module")
async def test_auth_is_answered_as_on_each_socket(session: Session) -> None:
    trade, private = ccxt_ws()["handle_authenticate"]
    assert_like(session.messages["trade auth"], trade, "trade auth")
    assert_like(session.messages["private auth"], private, "private auth")


@pytest.mark.asyncio(loop_scope="module")
async def test_executions_are_like_those_that_ccxt_was_written_for(session: Session) -> None:
    _, execution, fast = ccxt_ws()["handle_my_trades"]
    assert_like(session.messages["execution"], execution, "execution")
    assert_like(session.messages["execution.fast"], fast, "execution.fast")


def test_the_extractor_finds_what_ccxt_ships() -> None:
    assert sum(map(len, ccxt_rest().values())) > 100
    assert sum(map(len, ccxt_ws().values())) > 25
    assert Path(ccxt_source("pro/bybit.py")).is_file()
