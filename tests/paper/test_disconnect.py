"""Disconnection protection: who is protected, for how long, and what of it is cancelled."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.bybit_client import BybitError, Client, Stream, bybit_client
from tests.support.paper import PaperHere, paper_here, until

BTC = {"category": "linear", "symbol": "BTCUSDT"}


@pytest_asyncio.fixture
async def paper() -> AsyncIterator[PaperHere]:
    options = ("--history", "100", "--bars", "20", "--rate-limits", "none", "--speed", "1")
    async with paper_here(*options) as served:
        yield served


@pytest_asyncio.fixture
async def me(paper: PaperHere) -> AsyncIterator[Client]:
    async with bybit_client(paper) as client:
        yield client


async def protected(paper: PaperHere, me: Client, seconds: float, *topics: str) -> Stream:
    """Set a window, shorten it to what a test can wait for, and open the private stream."""
    await me.rest.post("/v5/order/disconnected-cancel-all", timeWindow=10, product="DERIVATIVES")
    paper.exchange.disconnection.windows["main"] = seconds  # type: ignore[assignment]  # below 1 s
    stream = await me.stream("private")
    await stream.subscribe("order", *topics)
    return stream


async def orders(me: Client) -> list[str]:
    """Place a limit and a conditional order."""
    fields: list[dict[str, Any]] = [
        {"price": "20000"},
        {"triggerPrice": "90000", "triggerDirection": 1},
    ]
    return [await me.rest.order("Buy", "0.01", **one) for one in fields]


async def statuses(me: Client, placed: list[str]) -> list[tuple[str, str]]:
    found = []
    for order in placed:
        query = {**BTC, "orderId": order}
        (row,) = (await me.rest.get("/v5/order/realtime", **query))["result"]["list"]
        found.append((row["orderStatus"], row["cancelType"]))
    return found


async def test_orders_go_when_their_stream_has_been_gone_too_long(
    paper: PaperHere, me: Client
) -> None:
    stream = await protected(paper, me, 0.05, "dcp")
    placed = await orders(me)
    await stream.close()
    state = paper.exchange.state.orders
    await until(lambda: not state.by_id[placed[0]].is_open, 30)
    assert await statuses(me, placed) == [
        ("Cancelled", "CancelByDCP"),
        ("Untriggered", "UNKNOWN"),
    ]
    info = (await me.rest.get("/v5/account/info"))["result"]
    assert info["dcpStatus"] == "ON"


async def test_a_stream_that_comes_back_in_time_saves_them(paper: PaperHere, me: Client) -> None:
    stream = await protected(paper, me, 0.3, "dcp")
    placed = await orders(me)
    second = await me.stream("private")
    await second.subscribe("dcp")
    await stream.close()
    await asyncio.sleep(0.5)
    assert (await statuses(me, placed))[0][0] == "New"


async def test_only_a_stream_that_asked_for_it_is_protected(paper: PaperHere, me: Client) -> None:
    stream = await protected(paper, me, 0.02)
    placed = await orders(me)
    await stream.close()
    await asyncio.sleep(0.2)
    assert (await statuses(me, placed))[0][0] == "New"


@pytest.mark.parametrize("window", [2, 301, "soon", None])
async def test_a_window_has_its_limits(me: Client, window: object) -> None:
    with pytest.raises(BybitError, match="10001"):
        await me.rest.post("/v5/order/disconnected-cancel-all", timeWindow=window)
