"""Pages of lists that grow while they are read: every row once, in order."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from executor.paper.venue import orders as order_table
from executor.paper.venue import placing
from tests.support.bybit_client import Client, bybit_client
from tests.support.paper import paper_here
from tests.support.venue import desk

LINEAR = {"category": "linear", "symbol": "BTCUSDT"}


@pytest_asyncio.fixture
async def me() -> AsyncIterator[Client]:
    options = ("--history", "100", "--bars", "20", "--rate-limits", "none", "--speed", "1")
    async with paper_here(*options) as paper, bybit_client(paper) as client:
        yield client


async def cancelled(me: Client) -> str:
    order = await me.rest.order("Buy", "0.01", price="20000")
    await me.rest.post("/v5/order/cancel", **LINEAR, orderId=order)
    return order


async def pages(me: Client, path: str, between: Any, **query: Any) -> list[dict[str, Any]]:
    """Read page by page, doing something between two pages."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        more = {"cursor": cursor} if cursor else {}
        result = (await me.rest.get(path, **query, limit=2, **more))["result"]
        assert len(result["list"]) <= 2
        rows += result["list"]
        cursor = result["nextPageCursor"]
        if not cursor:
            return rows
        await between(me)


async def test_a_history_that_grows_shows_every_row_once(me: Client) -> None:
    placed = [await cancelled(me) for _ in range(5)]
    rows = await pages(me, "/v5/order/history", cancelled, **LINEAR)
    assert [row["orderId"] for row in rows] == placed[::-1]


async def test_executions_and_the_log_page_too(me: Client) -> None:
    for side in ("Buy", "Sell", "Buy", "Sell", "Buy"):
        await me.rest.order(side, "0.01")

    async def trade(me: Client) -> None:
        await me.rest.order("Buy", "0.01")

    rows = await pages(me, "/v5/execution/list", trade, **LINEAR)
    assert len({row["execId"] for row in rows}) == len(rows) == 5
    times = [int(row["execTime"]) for row in rows]
    assert times == sorted(times, reverse=True)
    log = await pages(me, "/v5/account/transaction-log", trade)
    assert len({row["id"] for row in log}) == len(log)
    assert [row["side"] for row in rows] == ["Buy", "Sell", "Buy", "Sell", "Buy"]


async def test_open_orders_page_while_they_come(me: Client) -> None:
    placed = [await me.rest.order("Buy", "0.01", price="20000") for _ in range(5)]

    async def another(me: Client) -> None:
        await me.rest.order("Buy", "0.01", price="20000")

    rows = await pages(me, "/v5/order/realtime", another, **LINEAR)
    assert [row["orderId"] for row in rows] == placed[::-1]


def test_the_venue_forgets_what_is_long_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_table, "KEPT", 20)
    d = desk()
    resting = d.order("Buy", "0.1", price="90", link_id="resting")
    for number in range(60):
        order = d.order("Buy", "0.1", price="90", link_id=f"link-{number}")
        placing.cancel(d.state, d.account, order)
    table = d.state.orders
    assert len(table.by_id) <= 22
    assert table.find("main", "", "resting") == resting
    assert table.find("main", "", "link-59") is not None
    assert table.find("main", "", "link-0") is None
    assert set(table.links.values()) == set(table.by_id)
