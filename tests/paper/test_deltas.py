"""Whoever applies the differences of a topic holds its present, whenever they joined."""

import asyncio
from itertools import accumulate
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from executor.paper.deltas import Deltas, changed_fields, changed_levels
from executor.paper.rest_market import book_levels, ticker_row
from tests.support.bybit_client import Client, Stream, bybit_client
from tests.support.paper import PaperHere, paper_here, until

ROWS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("0123"), max_size=6)


@given(before=ROWS, now=ROWS)
def test_levels_that_are_applied_make_the_new_book(
    before: dict[str, str], now: dict[str, str]
) -> None:
    now = {price: size for price, size in now.items() if size != "0"}
    held = dict(before)
    for price, size in changed_levels(before, now).items():
        if size == "0":
            del held[price]
        else:
            held[price] = size
    assert held == {**now}
    assert changed_levels(now, now) == changed_fields(now, now) == {}


@given(
    states=st.lists(st.fixed_dictionaries(dict.fromkeys("abc", st.sampled_from("01"))), min_size=1),
    joins=st.lists(st.booleans(), min_size=1, max_size=6),
)
def test_late_listeners_hold_what_the_others_hold(
    states: list[dict[str, Any]], joins: list[bool]
) -> None:
    """The market moves between two messages too: a snapshot must not show what was not said."""
    deltas, listeners, numbers = Deltas(), [], []
    for place, state in enumerate(states):
        if joins[place % len(joins)]:
            listeners.append(dict(deltas.begin("t", {**state, "a": "?"}, alone=not listeners)))
        change = changed_fields(deltas.change("t", state), state)
        numbers.append((deltas.number("t"), bool(change)))
        for held in listeners:
            held.update(change)
        assert all(held == state for held in listeners)
    assert [number for number, _ in numbers] == [
        1 + count for count in accumulate(changed for _, changed in numbers)
    ]


class Listener:
    """Applies what a stream says, as the documentation tells clients to."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._read = 0
        self.ticker: dict[str, Any] = {}
        self.book: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self.kinds: list[str] = []
        self.update = 0

    def read(self) -> None:
        for message in self._stream.messages[self._read :]:
            topic, data = message.get("topic", ""), message.get("data")
            if topic.startswith("tickers"):
                self.ticker = data if message["type"] == "snapshot" else {**self.ticker, **data}
            elif topic.startswith("orderbook"):
                self._apply(message["type"], data)
        self._read = len(self._stream.messages)

    def _apply(self, kind: str, data: dict[str, Any]) -> None:
        self.kinds.append(kind)
        assert kind == "snapshot" or data["u"] == self.update + 1
        self.update = data["u"]
        for side, levels in self.book.items():
            if kind == "snapshot":
                levels.clear()
            for price, size in data[side]:
                levels.pop(price, None)
                if size != "0":
                    levels[price] = size


async def joined(client: Client) -> Listener:
    stream = await client.stream("public/linear")
    await stream.subscribe("tickers.BTCUSDT", "orderbook.50.BTCUSDT")
    return Listener(stream)


async def moved(paper: PaperHere) -> None:
    """Let the market make a bar of three ticks, with time for its clients between them."""
    paper.mover.begin(3)
    while paper.mover.ticks_left:
        paper.mover.tick()
        for _ in paper.mover.news():
            await asyncio.sleep(0)
    paper.mover.close()
    for _ in paper.mover.news():
        await asyncio.sleep(0)


OPTIONS = ("--symbols", "BTCUSDT", "--history", "300", "--bars", "40", "--speed", "lockstep")


async def test_early_and_late_listeners_hold_the_present() -> None:
    async with paper_here(*OPTIONS) as paper, bybit_client(paper) as me:
        listeners = [await joined(me)]
        for number in range(12):
            await moved(paper)
            if number % 4 == 1:
                paper.exchange.state.move("BTCUSDT", paper.exchange.state.prices["BTCUSDT"] + 1)
                listeners.append(await joined(me))
        await moved(paper)
        series = paper.exchange.market.series["BTCUSDT"]
        row, (bids, asks) = (
            ticker_row(paper.exchange, series),
            book_levels(paper.exchange, series, 50),
        )
        wanted = {"b": dict(bids), "a": dict(asks)}

        def present() -> bool:
            for one in listeners:
                one.read()
            return all(one.ticker == row and one.book == wanted for one in listeners)

        await until(present, 5)
        for one in listeners:
            assert one.kinds[0] == "snapshot"
            assert set(one.kinds[1:]) == {"delta"}


async def test_public_trades_add_up_to_their_bars() -> None:
    async with paper_here(*OPTIONS) as paper, bybit_client(paper) as me:
        public = await me.stream("public/linear")
        await public.subscribe("publicTrade.BTCUSDT", "kline.15.BTCUSDT")
        series = paper.exchange.market.series["BTCUSDT"].candles
        first = series.open_ms.searchsorted(paper.exchange.market.now_ms)
        for _ in range(4):
            await moved(paper)
        paper.mover.begin(0)
        paper.mover.whole()
        for _ in paper.mover.news():
            await asyncio.sleep(0)
        paper.mover.close()
        for _ in paper.mover.news():
            await asyncio.sleep(0)
        await until(
            lambda: sum(m.get("topic") == "publicTrade.BTCUSDT" for m in public.messages) == 13
        )
        trades = [m["data"][0] for m in public.messages if m.get("topic") == "publicTrade.BTCUSDT"]
        for bar in range(4):
            of_bar = trades[3 * bar : 3 * bar + 3]
            assert abs(sum(float(t["v"]) for t in of_bar) - series.volume[first + bar]) < 1e-5
            assert float(of_bar[-1]["p"]) == series.close[first + bar]
        assert float(trades[-1]["v"]) == series.volume[first + 4]
        assert {t["S"] for t in trades} == {"Buy", "Sell"}
        assert len({t["i"] for t in trades}) == len(trades)
