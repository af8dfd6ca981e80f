"""Unmodified ccxt walks through everything it can do here: REST with ccxt.async_support, streams
with ccxt.pro. ccxt's own consistency checks raise nothing, and what it parses is what happened.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import ccxt.async_support as rest_ccxt
import ccxt.pro as pro_ccxt
import pytest
import pytest_asyncio

from tests.support.paper import START_MS, PaperHere, paper_here, until, wandering, write_market

pytestmark = pytest.mark.servers
STEP = 900_000
NOW = START_MS + 3000 * STEP
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
HOUR = 3_600_000
# The history is 2023-11-15 (a Wednesday) to 2023-12-16; weeks begin on Monday.
WEEK_MS = [START_MS - 48 * HOUR + 168 * HOUR * k for k in range(5)]
MONTH_MS = [START_MS - 14 * 24 * HOUR, START_MS + 16 * 24 * HOUR]


def market_options(folder: Path) -> tuple[str, ...]:
    settled = [(START_MS + 8 * HOUR * k, 0.0001) for k in range(94)]
    write_market(
        folder,
        {"BTCUSDT": wandering(1, 3100, 60_000.0), "ETHUSDT": wandering(2, 3100, 3000.0)},
        funding={"BTCUSDT": settled, "ETHUSDT": settled},
    )
    return ("--market", f"replay:{folder}", "--symbols", "BTCUSDT,ETHUSDT", "--now", str(NOW))


@pytest_asyncio.fixture
async def paper(tmp_path: Path) -> AsyncIterator[PaperHere]:
    """An exchange that stands at one price: 15 minutes are far away."""
    async with paper_here(*market_options(tmp_path), "--speed", "1") as served:
        yield served


@pytest_asyncio.fixture
async def exchange(paper: PaperHere) -> AsyncIterator[Any]:
    client = rest_ccxt.bybit(paper.ccxt_config())
    yield client
    await client.close()


@pytest_asyncio.fixture
async def pro(paper: PaperHere) -> AsyncIterator[Any]:
    client = pro_ccxt.bybit(paper.ccxt_config())
    yield client
    await client.close()


async def settled(paper: PaperHere) -> None:
    """Let orders that were just answered be matched."""
    await asyncio.sleep(0)
    await until(lambda: not paper.exchange.state.takers)


async def test_markets_and_prices(exchange: Any) -> None:
    markets = await exchange.load_markets()
    assert set(markets) == {BTC, ETH}
    assert markets[BTC]["precision"] == {"amount": 0.001, "price": 0.1}
    assert markets[BTC]["limits"]["cost"]["min"] == 5
    assert markets[BTC]["linear"]
    assert markets[BTC]["active"]
    ticker = await exchange.fetch_ticker(BTC)
    assert ticker["bid"] < ticker["last"] < ticker["ask"]
    assert set(await exchange.fetch_tickers()) == {BTC, ETH}
    book = await exchange.fetch_order_book(BTC, 50)
    assert book["bids"][0][0] < ticker["last"] < book["asks"][0][0]
    assert len(book["bids"]) == 50
    assert await exchange.fetch_time() > NOW
    assert (await exchange.fetch_trades(BTC, limit=5))[-1]["symbol"] == BTC
    assert (await exchange.fetch_status())["status"] == "ok"


async def test_candles_page_as_the_venue_pages(exchange: Any) -> None:
    await exchange.load_markets()
    newest = await exchange.fetch_ohlcv(BTC, "15m", limit=3)
    assert [bar[0] for bar in newest] == [NOW - 2 * STEP, NOW - STEP, NOW]
    first = await exchange.fetch_ohlcv(BTC, "15m", since=START_MS, limit=1000)
    assert (len(first), first[0][0], first[-1][0]) == (1000, START_MS, START_MS + 999 * STEP)
    before = await exchange.fetch_ohlcv(BTC, "15m", limit=10, params={"until": NOW - 5 * STEP})
    assert before[-1][0] == NOW - 5 * STEP
    hourly = await exchange.fetch_ohlcv(BTC, "1h", since=START_MS, limit=2)
    quarters = first[:4]
    assert hourly[0][1] == quarters[0][1]
    assert hourly[0][2] == max(bar[2] for bar in quarters)
    assert hourly[0][3] == min(bar[3] for bar in quarters)
    assert hourly[0][4] == quarters[3][4]
    assert hourly[0][5] == pytest.approx(sum(bar[5] for bar in quarters))
    days = await exchange.fetch_ohlcv(BTC, "1d", limit=100)
    for name, begins in (("1w", WEEK_MS), ("1M", MONTH_MS)):
        bars = await exchange.fetch_ohlcv(BTC, name)
        assert [bar[0] for bar in bars] == begins
        for begin, end, bar in zip(begins, [*begins[1:], NOW + 1], bars, strict=True):
            within = [day for day in days if begin <= day[0] < end]
            assert bar[1:5] == [
                within[0][1],
                max(day[2] for day in within),
                min(day[3] for day in within),
                within[-1][4],
            ]
            assert bar[5] == pytest.approx(sum(day[5] for day in within))
    mark = await exchange.fetch_ohlcv(BTC, "15m", since=START_MS, limit=2, params={"price": "mark"})
    assert [bar[4] for bar in mark] == [bar[4] for bar in first[:2]]
    with pytest.raises(rest_ccxt.BadRequest):
        await exchange.fetch_ohlcv(BTC, "1m")
    wanted = exchange.milliseconds
    exchange.milliseconds = lambda: NOW  # ccxt's paging windows end at its own clock
    paged = await exchange.fetch_ohlcv(
        BTC, "15m", since=NOW - 2500 * STEP, limit=2500, params={"paginate": True}
    )
    exchange.milliseconds = wanted
    assert [bar[0] for bar in paged] == [NOW - k * STEP for k in range(2500, -1, -1)][: len(paged)]
    assert len(paged) >= 2499


async def test_funding_and_tiers(exchange: Any) -> None:
    await exchange.load_markets()
    history = await exchange.fetch_funding_rate_history(BTC, limit=50)
    assert len(history) == 50
    assert history[-1]["timestamp"] <= NOW
    assert {row["fundingRate"] for row in history} == {0.0001}
    since = await exchange.fetch_funding_rate_history(BTC, since=START_MS, limit=10)
    times = [row["timestamp"] for row in since]
    assert times == [times[0] + 8 * HOUR * k for k in range(10)]
    assert START_MS <= times[0] <= START_MS + 8 * HOUR
    current = await exchange.fetch_funding_rate(BTC)
    assert current["fundingTimestamp"] > NOW
    tiers = (await exchange.fetch_leverage_tiers([BTC]))[BTC]
    assert tiers[0]["maxLeverage"] == 100
    assert tiers[0]["maintenanceMarginRate"] == 0.005
    assert (await exchange.fetch_open_interest(BTC))["symbol"] == BTC


async def test_account_and_settings(exchange: Any) -> None:
    await exchange.load_markets()
    balance = await exchange.fetch_balance()
    assert balance["USDT"] == {"free": 10000, "used": 0, "total": 10000, "debt": 0}
    fee = await exchange.fetch_trading_fee(BTC)
    assert (fee["taker"], fee["maker"]) == (0.00055, 0.0002)
    assert BTC in await exchange.fetch_trading_fees()
    assert (await exchange.set_leverage(5, BTC))["retCode"] == 0
    with pytest.raises(rest_ccxt.BadRequest, match="110043"):
        await exchange.set_leverage(5, BTC)
    assert (await exchange.fetch_leverage(BTC))["longLeverage"] == 5
    with pytest.raises(rest_ccxt.BadRequest, match="110013"):
        await exchange.set_leverage(101, BTC)
    await exchange.set_margin_mode("isolated")
    assert (await exchange.fetch_margin_mode(BTC))["marginMode"] == "isolated"
    await exchange.set_margin_mode("cross")
    exchange.enableLastJsonResponse = True
    with pytest.raises(rest_ccxt.ExchangeError, match="3400045"):
        await exchange.set_margin_mode("portfolio")
    (reason,) = exchange.last_json_response["result"]["reasons"]
    assert reason["reasonCode"] == "3400000"
    with pytest.raises(rest_ccxt.NoChange):
        await exchange.set_position_mode(False, BTC)
    assert (await exchange.set_position_mode(True, BTC))["retCode"] == 0
    assert (await exchange.set_position_mode(False, BTC))["retCode"] == 0
    assert await exchange.fetch_positions() == []


async def test_a_market_order_with_its_exits(exchange: Any, paper: PaperHere) -> None:
    await exchange.load_markets()
    last = (await exchange.fetch_ticker(BTC))["last"]
    stop, take = round(last * 0.98, 1), round(last * 1.04, 1)
    exits = {"stopLoss": {"triggerPrice": stop}, "takeProfit": {"triggerPrice": take}}
    params = {"clientOrderId": "entry-1", **exits}
    placed = await exchange.create_order(BTC, "market", "buy", 0.02, None, params)
    assert placed["clientOrderId"] == "entry-1"
    with pytest.raises(rest_ccxt.InvalidOrder, match="110072"):
        await exchange.create_order(BTC, "market", "buy", 0.02, None, params)
    await settled(paper)
    order = await exchange.fetch_order(placed["id"], BTC, {"acknowledged": True})
    assert (order["status"], order["filled"], order["remaining"]) == ("closed", 0.02, 0)
    assert order["average"] > last
    assert order["fee"]["cost"] == pytest.approx(0.02 * order["average"] * 0.00055)
    by_link = await exchange.fetch_order("", BTC, {"acknowledged": True, "orderLinkId": "entry-1"})
    assert by_link["id"] == placed["id"]
    (position,) = await exchange.fetch_positions()
    assert (position["side"], position["contracts"]) == ("long", 0.02)
    assert (position["stopLossPrice"], position["takeProfitPrice"]) == (stop, take)
    assert position["entryPrice"] == pytest.approx(order["average"])
    exits_open = await exchange.fetch_open_orders(BTC)
    assert {o["info"]["stopOrderType"]: o["triggerPrice"] for o in exits_open} == {
        "StopLoss": stop,
        "TakeProfit": take,
    }
    assert all(o["reduceOnly"] and o["side"] == "sell" for o in exits_open)
    (trade,) = await exchange.fetch_my_trades(BTC)
    assert (trade["order"], trade["amount"], trade["takerOrMaker"]) == (placed["id"], 0.02, "taker")
    assert (await exchange.fetch_order_trades(placed["id"], BTC))[0]["id"] == trade["id"]
    used = (await exchange.fetch_balance())["USDT"]["used"]
    assert used == pytest.approx(0.02 * order["average"] / 10)
    moved = round(last * 0.99, 1)
    stopping = {"stopLossPrice": moved, "takeProfitPrice": take, "tradingStopEndpoint": True}
    await exchange.create_order(BTC, "market", "sell", 0, None, stopping)
    with pytest.raises(rest_ccxt.ExchangeError, match="34040"):
        await exchange.create_order(BTC, "market", "sell", 0, None, stopping)
    assert (await exchange.fetch_position(BTC))["stopLossPrice"] == moved
    await exchange.create_order(BTC, "market", "sell", 0.02, None, {"reduceOnly": True})
    await settled(paper)
    assert await exchange.fetch_positions() == []
    assert await exchange.fetch_open_orders(BTC) == []
    (closed,) = await exchange.fetch_positions_history([BTC])
    assert closed["realizedPnl"] < 0
    kinds = {row["type"] for row in await exchange.fetch_ledger()}
    assert kinds == {"trade"}


async def test_all_order_kinds(exchange: Any, paper: PaperHere) -> None:
    await exchange.load_markets()
    last = (await exchange.fetch_ticker(BTC))["last"]
    low, high = round(last * 0.95, 1), round(last * 1.05, 1)
    create = exchange.create_order
    limit = await create(BTC, "limit", "buy", 0.01, low, {"clientOrderId": "limit-1"})
    post_only = await create(BTC, "limit", "sell", 0.01, high, {"postOnly": True})
    would_take = await create(BTC, "limit", "buy", 0.01, high, {"postOnly": True})
    ioc = await create(BTC, "limit", "buy", 0.01, low, {"timeInForce": "IOC"})
    fok = await create(BTC, "limit", "buy", 0.01, high, {"timeInForce": "FOK"})
    stop_entry = await create(
        BTC, "market", "buy", 0.01, None, {"triggerPrice": high, "triggerDirection": "ascending"}
    )
    stop_limit = await create(
        BTC, "limit", "sell", 0.01, low, {"triggerPrice": low, "triggerDirection": "descending"}
    )
    await settled(paper)
    protect = await create(BTC, "market", "sell", 0.01, None, {"stopLossPrice": low})
    take = await create(BTC, "market", "sell", 0.01, None, {"takeProfitPrice": high})
    trail = await create(BTC, "market", "sell", 0, None, {"trailingAmount": 500})
    assert trail["info"] is not None

    async def status(order: dict[str, Any]) -> tuple[str, float]:
        found = await exchange.fetch_order(order["id"], BTC, {"acknowledged": True})
        return found["status"], found["filled"]

    assert await status(limit) == ("open", 0)
    assert await status(post_only) == ("open", 0)
    assert await status(would_take) == ("canceled", 0)
    assert await status(ioc) == ("canceled", 0)
    assert await status(fok) == ("closed", 0.01)
    waiting = await exchange.fetch_open_orders(BTC, params={"trigger": True})
    ids = {order["id"] for order in waiting}
    assert {stop_entry["id"], stop_limit["id"], protect["id"], take["id"]} <= ids
    edited = await exchange.edit_order(limit["id"], BTC, "limit", "buy", 0.02, low + 10)
    assert edited["id"] == limit["id"]
    now = await exchange.fetch_order(limit["id"], BTC, {"acknowledged": True})
    assert (now["amount"], now["price"]) == (0.02, low + 10)
    cancelled = await exchange.cancel_order(limit["id"], BTC)
    assert cancelled["id"] == limit["id"]
    with pytest.raises(rest_ccxt.OrderNotFound):
        await exchange.cancel_order(limit["id"], BTC)
    with pytest.raises(rest_ccxt.OrderNotFound):
        await exchange.cancel_order(None, BTC, {"orderLinkId": "limit-1"})
    assert len(await exchange.cancel_all_orders(BTC)) >= 4
    assert await exchange.fetch_open_orders(BTC) == []
    ended = await exchange.fetch_canceled_and_closed_orders(BTC)
    assert {order["status"] for order in ended} == {"closed", "canceled"}
    assert (await exchange.fetch_closed_orders(BTC))[0]["id"] == fok["id"]
    assert len(await exchange.fetch_canceled_orders(BTC)) == 4


async def test_batches(exchange: Any) -> None:
    await exchange.load_markets()
    last = (await exchange.fetch_ticker(BTC))["last"]
    one = {"symbol": BTC, "type": "limit", "side": "buy", "amount": 0.01}
    made = await exchange.create_orders(
        [{**one, "price": last * 0.9}, {**one, "price": last * 0.8}, {**one, "price": last * 2}]
    )
    assert [bool(order["id"]) for order in made] == [True, True, False]
    ids = [order["id"] for order in made[:2]]
    await exchange.edit_orders([{**one, "id": ids[0], "price": last * 0.85}])
    assert (await exchange.fetch_order(ids[0], BTC, {"acknowledged": True}))["price"] < last * 0.86
    await exchange.cancel_orders(ids, BTC)
    assert await exchange.fetch_open_orders(BTC) == []
    assert (await exchange.cancel_all_orders_after(60_000))["retCode"] == 0


@pytest.mark.parametrize(
    ("amount", "price", "params", "error"),
    [
        (50, None, {}, "InsufficientFunds"),
        (0.001, 1000.0, {}, "InvalidOrder"),
        (0.0001, None, {}, "InvalidOrder"),
        (0.01, None, {"reduceOnly": True}, "InvalidOrder"),
        (0.01, 200_000.0, {}, "InvalidOrder"),
        (0.01, None, {"stopLoss": {"triggerPrice": 99_000}}, "BadRequest"),
        (0.01, None, {"clientOrderId": "x" * 37}, "BadRequest"),
        (0.01, None, {"triggerPrice": 1000, "triggerDirection": "ascending"}, "InvalidOrder"),
    ],
)
async def test_refusals_are_the_errors_that_ccxt_knows(
    exchange: Any, amount: float, price: float | None, params: dict[str, Any], error: str
) -> None:
    await exchange.load_markets()
    kind = "limit" if price else "market"
    with pytest.raises(getattr(rest_ccxt, error)):
        await exchange.create_order(BTC, kind, "buy", amount, price, params)


async def test_hedge_mode(exchange: Any, paper: PaperHere) -> None:
    await exchange.load_markets()
    await exchange.set_position_mode(True, BTC)
    await exchange.create_order(BTC, "market", "buy", 0.02, None, {"hedged": True})
    await exchange.create_order(BTC, "market", "sell", 0.01, None, {"hedged": True})
    await settled(paper)
    sides = {p["side"]: p["contracts"] for p in await exchange.fetch_positions([BTC])}
    assert sides == {"long": 0.02, "short": 0.01}
    with pytest.raises(rest_ccxt.BadRequest, match="110024"):
        await exchange.set_position_mode(False, BTC)
    params = {"hedged": True, "reduceOnly": True}
    await exchange.create_order(BTC, "market", "sell", 0.02, None, params)
    await settled(paper)
    (left,) = await exchange.fetch_positions()
    assert left["side"] == "short"


async def test_wrong_keys_and_clocks(paper: PaperHere) -> None:
    async with rest_ccxt.bybit(paper.ccxt_config(apiKey="nobody")) as nobody:
        with pytest.raises(rest_ccxt.AuthenticationError):
            await nobody.fetch_balance()
    async with rest_ccxt.bybit(paper.ccxt_config(secret="wrong")) as forger:
        with pytest.raises(rest_ccxt.AuthenticationError):
            await forger.fetch_balance()
    paper.exchange.clock.skew_ms = 20_000
    async with rest_ccxt.bybit(paper.ccxt_config()) as late:
        with pytest.raises(rest_ccxt.InvalidNonce):
            await late.fetch_balance()
        late.options["adjustForTimeDifference"] = True
        await late.load_time_difference()
        assert (await late.fetch_balance())["USDT"]["total"] == 10000


async def test_orders_over_the_websocket(pro: Any, paper: PaperHere) -> None:
    await pro.load_markets()
    last = (await pro.fetch_ticker(BTC))["last"]
    placed = await pro.create_order_ws(BTC, "limit", "buy", 0.01, last * 0.9, {})
    changed = await pro.edit_order_ws(placed["id"], BTC, "limit", "buy", 0.01, last * 0.8)
    assert changed["id"] == placed["id"]
    assert (await pro.cancel_order_ws(placed["id"], BTC))["id"] == placed["id"]
    with pytest.raises(rest_ccxt.OrderNotFound):
        await pro.cancel_order_ws(placed["id"], BTC)
    with pytest.raises(rest_ccxt.InsufficientFunds):
        await pro.create_order_ws(BTC, "market", "buy", 50, None, {})
    await pro.create_order_ws(BTC, "market", "buy", 0.01, None, {})
    await settled(paper)
    assert (await pro.fetch_position(BTC))["contracts"] == 0.01
    paper.exchange.clock.skew_ms = 20_000  # a frame that arrives later than it may
    with pytest.raises(rest_ccxt.InvalidNonce):
        await pro.create_order_ws(BTC, "market", "buy", 0.01, None, {})


async def collect(watch: Callable[[], Awaitable[Any]], seen: list[Any]) -> None:
    while True:
        seen.append(await watch())


async def test_private_streams(pro: Any, paper: PaperHere) -> None:
    await pro.load_markets()
    seen: dict[str, list[Any]] = {"orders": [], "trades": [], "positions": [], "balance": []}
    watches = {
        "orders": pro.watch_orders,
        "trades": pro.watch_my_trades,
        "positions": pro.watch_positions,
        "balance": pro.watch_balance,
    }
    tasks = [asyncio.create_task(collect(watches[name], seen[name])) for name in seen]
    await until(lambda: sum(len(c.topics) for c in paper.exchange.hub.private) == 4)
    last = (await pro.fetch_ticker(BTC))["last"]
    stop = {"stopLoss": {"triggerPrice": round(last * 0.97, 1)}}
    placed = await pro.create_order(BTC, "market", "buy", 0.02, None, stop)
    await until(lambda: all(seen.values()))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    (order,) = [o for batch in seen["orders"] for o in batch if o["id"] == placed["id"]][:1]
    assert (order["status"], order["filled"]) == ("closed", 0.02)
    assert seen["trades"][0][0]["order"] == placed["id"]
    position = next(p for batch in seen["positions"] for p in batch if p["symbol"] == BTC)
    assert (position["side"], position["contracts"]) == ("long", 0.02)
    assert seen["balance"][-1]["USDT"]["total"] < 10000


async def test_public_streams(tmp_path: Path) -> None:
    """At 900 times real time a bar takes a second and comes in four ticks."""
    options = (*market_options(tmp_path), "--speed", "900")
    async with paper_here(*options) as paper, pro_ccxt.bybit(paper.ccxt_config()) as pro:
        await pro.load_markets()
        names = ("ohlcv", "many", "ticker", "book", "trades")
        seen: dict[str, list[Any]] = {name: [] for name in names}
        watches: dict[str, Callable[[], Awaitable[Any]]] = {
            "ohlcv": lambda: pro.watch_ohlcv(BTC, "15m"),
            "many": lambda: pro.watch_ohlcv_for_symbols(
                [[BTC, "15m"], [ETH, "15m"], [ETH, "1w"], [ETH, "1M"]]
            ),
            "ticker": lambda: pro.watch_ticker(BTC),
            "book": lambda: pro.watch_order_book(BTC, 50),
            "trades": lambda: pro.watch_trades(ETH),
        }
        tasks = [asyncio.create_task(collect(watches[name], seen[name])) for name in names]
        await until(lambda: min(map(len, seen.values())) >= 6, 15)
        await until(lambda: len({bar[0] for batch in seen["ohlcv"] for bar in batch}) >= 2)
        await until(lambda: set(pro.ohlcvs[ETH]) == {"15m", "1w", "1M"})
        assert (pro.ohlcvs[ETH]["1w"][-1][0], pro.ohlcvs[ETH]["1M"][-1][0]) == (
            WEEK_MS[-1],
            MONTH_MS[-1],
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        kept = {bar[0]: bar for batch in seen["ohlcv"] for bar in batch}
        series = paper.exchange.market.series["BTCUSDT"]
        first = min(kept)
        bar = series.candles.candle(series.index_of(first))
        assert kept[first][1:] == [bar.open, bar.high, bar.low, bar.close, bar.volume]
        assert seen["book"][-1]["bids"][0][0] < seen["book"][-1]["asks"][0][0]
        assert seen["ticker"][-1]["last"] > 0


async def test_a_broken_connection_is_made_again(pro: Any, paper: PaperHere) -> None:
    await pro.load_markets()
    watching = asyncio.create_task(pro.watch_orders())
    await until(lambda: any(c.topics for c in paper.exchange.hub.private))
    await paper.exchange.hub.close()
    with pytest.raises(rest_ccxt.NetworkError):
        await watching
    again = asyncio.create_task(pro.watch_orders())
    await until(lambda: any(c.topics for c in paper.exchange.hub.private))
    last = (await pro.fetch_ticker(BTC))["last"]
    await pro.create_order(BTC, "limit", "buy", 0.01, last * 0.9)
    assert (await again)[0]["status"] == "open"
