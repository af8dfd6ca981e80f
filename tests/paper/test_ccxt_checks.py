"""ccxt's own test suite, as its package ships it, run against the paper exchange.

``ccxt.test.exchange.async`` holds what the ccxt project runs against the real Bybit; its base
checks look at every field of every unified structure. Properties left out are those that ccxt's
own parser leaves empty for every Bybit account, whatever the venue sends.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import ccxt.async_support as rest_ccxt
import ccxt.pro as pro_ccxt
import pytest
import pytest_asyncio

from tests.support.paper import PaperHere, paper_here, until

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
OPTIONS = ("--symbols", "BTCUSDT,ETHUSDT", "--interval", "1m", "--history", "600", "--bars", "90")
ISOLATED = "--account=isolated:isolated:isolated:10000"
NOT_PARSED = {
    "fetch_positions": {"marginMode": True, "percentage": True},
    "fetch_ledger": {"account": True},
    "watch_positions": {"marginMode": True, "percentage": True, "collateral": True},
}
CHECKS = """
    fetch_currencies fetch_ticker fetch_tickers fetch_order_book fetch_l2_order_book fetch_trades
    fetch_ohlcv fetch_status fetch_funding_rate_history fetch_leverage_tiers
    fetch_market_leverage_tiers fetch_open_interest_history fetch_balance fetch_trading_fee
    fetch_trading_fees fetch_open_orders fetch_closed_orders fetch_my_trades fetch_positions
    fetch_ledger fetch_margin_mode fetch_liquidations fetch_my_liquidations features"""


def suite(folder: str, name: str) -> Callable[..., Any]:
    """Return a check of ccxt's own suite."""
    module = importlib.import_module(f"ccxt.test.exchange.{folder}.test_{name}")
    return getattr(module, f"test_{name}")  # type: ignore[no-any-return]  # ccxt has no types here


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def paper() -> AsyncIterator[PaperHere]:
    """An exchange on which every kind of order, position and payment has been seen."""
    async with paper_here(*OPTIONS, ISOLATED, "--speed", "1", "--rate-limits", "none") as served:
        async with rest_ccxt.bybit(served.ccxt_config()) as exchange:
            await exchange.load_markets()
            await traded(exchange)
        await until(lambda: not served.exchange.state.takers)
        yield served


async def traded(exchange: Any) -> None:
    create = exchange.create_order
    last = (await exchange.fetch_ticker(BTC))["last"]
    exits = {
        "stopLoss": {"triggerPrice": last * 0.9},
        "takeProfit": {"triggerPrice": last * 1.1},
    }
    await create(BTC, "market", "buy", 0.05, None, exits)
    await create(BTC, "limit", "buy", 0.02, last * 0.95)
    waiting = {"triggerPrice": last * 0.97, "triggerDirection": "descending"}
    await create(BTC, "limit", "buy", 0.02, last * 0.95, waiting)
    await create(BTC, "market", "sell", 0.01, None, {"reduceOnly": True})
    placed = await create(BTC, "limit", "sell", 0.01, last * 1.05)
    await exchange.cancel_order(placed["id"], BTC)
    await create(ETH, "market", "sell", 0.5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exchange(paper: PaperHere) -> AsyncIterator[Any]:
    async with rest_ccxt.bybit(paper.ccxt_config()) as client:
        await client.load_markets()
        yield client


@pytest.mark.parametrize("name", CHECKS.split())
async def test_ccxts_own_checks(exchange: Any, name: str) -> None:
    check = suite("async", name)
    code = check.__code__
    given = {"symbol": BTC, "code": "USDT"}
    if name == "fetch_my_liquidations":
        given["code"] = BTC  # it hands its code on as the symbol
    more = [given[argument] for argument in code.co_varnames[2 : code.co_argcount]]
    await check(exchange, NOT_PARSED.get(name, {}), *more)


async def test_every_market_is_whole(exchange: Any) -> None:
    check = suite("base", "market")
    assert set(exchange.markets) == {BTC, ETH}
    for market in exchange.markets.values():
        check(exchange, {}, "loadMarkets", market)


async def test_an_isolated_position_keeps_what_ccxt_demands(paper: PaperHere) -> None:
    judge = suite("base", "position")
    config = paper.ccxt_config(apiKey="isolated", secret="isolated")
    async with rest_ccxt.bybit(config) as client:
        await client.load_markets()
        await client.set_margin_mode("isolated")
        await client.create_order(BTC, "market", "buy", 0.02)
        await client.create_order(ETH, "market", "sell", 0.5)
        await until(lambda: not paper.exchange.state.takers)
        positions = await client.fetch_positions()
        assert len(positions) == 2
        for position in positions:
            whole = {**position, "marginMode": "isolated"}  # so that it checks the margins too
            judge(
                client, {"percentage": True}, "fetchPositions", whole, None, client.milliseconds()
            )


STREAMS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "order": ("watch_orders", lambda pro: pro.watch_orders()),
    "trade": ("watch_my_trades", lambda pro: pro.watch_my_trades()),
    "position": ("watch_positions", lambda pro: pro.watch_positions()),
    "balance": ("watch_balance", lambda pro: pro.watch_balance()),
    "ticker": ("watch_ticker", lambda pro: pro.watch_ticker(BTC)),
    "order_book": ("watch_order_book", lambda pro: pro.watch_order_book(BTC)),
    "ohlcv": ("watch_ohlcv", lambda pro: pro.watch_ohlcv(BTC, "1m")),
    "public trade": ("watch_trades", lambda pro: pro.watch_trades(BTC)),
}


async def test_what_the_streams_bring_passes_the_same_checks() -> None:
    """A bar takes 1.5 s and comes in ticks; every stream is read until each has said something."""
    options = (*OPTIONS, "--speed", "40", "--rate-limits", "none")
    seen: dict[str, list[Any]] = {name: [] for name in STREAMS}

    async def collect(name: str, pro: Any) -> None:
        while True:
            seen[name].append(await STREAMS[name][1](pro))

    async with paper_here(*options) as paper, pro_ccxt.bybit(paper.ccxt_config()) as pro:
        await pro.load_markets()
        tasks = [asyncio.create_task(collect(name, pro)) for name in STREAMS]
        await until(lambda: sum(len(c.topics) for c in paper.exchange.hub.private) == 4, 30)
        await traded(pro)
        await until(lambda: all(seen.values()), 30)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name, batches in seen.items():
            check(pro, name, batches)


def check(pro: Any, name: str, batches: list[Any]) -> None:
    """Put everything that one stream said through ccxt's check."""
    method, now = STREAMS[name][0], pro.milliseconds()
    judge, skipped = suite("base", name.removeprefix("public ")), NOT_PARSED.get(method, {})
    for batch in batches:
        for one in batch if isinstance(batch, list) else [batch]:
            if name == "ohlcv":
                judge(pro, skipped, method, one, BTC, now)
            elif name == "balance":
                judge(pro, skipped, method, one)
            elif name in ("ticker", "order_book"):
                judge(pro, skipped, method, one, BTC)
            elif name.endswith("trade"):
                judge(pro, skipped, method, one, one["symbol"], now, name != "trade")
            elif name != "position" or one["contracts"]:
                judge(pro, skipped, method, one, one["symbol"], now)
