"""Lockstep: the market waits for its clients, and every private message comes before its close."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from executor.paper.volatility import VolatilityStream
from tests.support.bybit_client import Client, Stream, bybit_client
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
SYMBOLS = "BTCUSDT,ETHUSDT"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_market(
        tmp_path,
        {"BTCUSDT": wandering(1, 160), "ETHUSDT": wandering(2, 160)},
        funding={"BTCUSDT": [(NOW + 3 * STEP + 12, 0.001), (NOW + 5 * STEP + 60_000, 0.002)]},
    )


def options(folder: Path, *more: str) -> tuple[str, ...]:
    fixed = ("--market", f"replay:{folder}", "--symbols", SYMBOLS, "--speed", "lockstep")
    return (*fixed, "--now", str(NOW), "--bars", "40", *more)


def klines(stream: Stream, *, confirm: bool) -> list[tuple[str, int]]:
    return [
        (message["topic"].split(".")[2], message["data"][0]["start"])
        for message in stream.messages
        if message.get("topic", "").startswith("kline") and message["data"][0]["confirm"] is confirm
    ]


def trades(private: Stream) -> list[dict[str, Any]]:
    return [row for row in private.rows("execution") if row["execType"] == "Trade"]


async def watching(client: Client) -> tuple[Stream, Stream]:
    public, private = await client.stream("public/linear"), await client.stream("private")
    await public.subscribe("kline.15.BTCUSDT", "kline.15.ETHUSDT")
    await private.subscribe("order", "execution", "position", "wallet")
    return public, private


async def closed(public: Stream, close_ms: int) -> None:
    """Wait until both symbols have shown the opening of the bar that begins at ``close_ms``."""

    def opened(message: dict[str, Any]) -> bool:
        return bool(
            message.get("topic") == "kline.15.ETHUSDT"
            and message["data"][0]["start"] == close_ms
            and not message["data"][0]["confirm"]
        )

    await public.until(opened)


async def test_nothing_moves_before_the_clients_are_ready(folder: Path) -> None:
    async with paper_here(*options(folder, "--clients", "2")) as paper, bybit_client(paper) as me:
        public, _ = await watching(me)
        assert await acknowledge(paper, 0, "one") == {"ok": True, "finished": False}
        await asyncio.sleep(0.05)
        assert klines(public, confirm=True) == []
        await acknowledge(paper, 0, "two")
        await closed(public, NOW + STEP)
        assert klines(public, confirm=True) == [("BTCUSDT", NOW), ("ETHUSDT", NOW)]
        await acknowledge(paper, NOW + STEP, "one")
        await acknowledge(paper, NOW + STEP, "one")
        await asyncio.sleep(0.05)
        assert len(klines(public, confirm=True)) == 2
        await acknowledge(paper, NOW + STEP, "two")
        await closed(public, NOW + 2 * STEP)


async def test_a_step_shows_all_closes_and_then_all_openings(folder: Path) -> None:
    async with paper_here(*options(folder)) as paper, bybit_client(paper) as me:
        public, _ = await watching(me)
        await acknowledge(paper, 0)
        await closed(public, NOW + STEP)
        shown = [
            (message["data"][0]["start"], message["data"][0]["confirm"])
            for message in public.messages
            if message.get("topic", "").startswith("kline")
        ]
        assert shown == [(NOW, True), (NOW, True), (NOW + STEP, False), (NOW + STEP, False)]
        opening = (await public.until(lambda m: m.get("topic") and not m["data"][0]["confirm"]))[
            "data"
        ][0]
        assert opening["open"] == opening["high"] == opening["low"] == opening["close"]


async def test_rest_shows_the_past_and_the_opening_of_the_running_bar(folder: Path) -> None:
    async with paper_here(*options(folder)) as paper, bybit_client(paper) as me:
        rows = (
            await me.rest.get(
                "/v5/market/kline", category="linear", symbol="BTCUSDT", interval="15", limit=1000
            )
        )["result"]["list"]
        assert [int(row[0]) for row in rows] == [NOW - k * STEP for k in range(101)]
        running = rows[0]
        assert running[1] == running[2] == running[3] == running[4]
        assert float(running[5]) == 0
        after = await me.rest.get(
            "/v5/market/kline", category="linear", symbol="BTCUSDT", interval="15", start=NOW + 1
        )
        assert after["result"]["list"] == []
        ticker = await me.rest.get("/v5/market/tickers", category="linear", symbol="BTCUSDT")
        assert ticker["result"]["list"][0]["lastPrice"] == running[1]


async def test_a_client_that_asks_for_it_acts_at_the_opening_before_the_bar_goes_on(
    folder: Path,
) -> None:
    own = options(folder, "--slippage-base", "0")
    async with paper_here(*own) as paper, bybit_client(paper) as me:
        public, private = await watching(me)
        await acknowledge(paper, 0, openings=True)
        await closed(public, NOW + STEP)
        await me.rest.order("Buy", "1", orderLinkId="tb-1")
        await acknowledge(paper, NOW + STEP, openings=True)
        await public.until(lambda _: len(klines(public, confirm=False)) == 4)  # once more
        assert [row["orderLinkId"] for row in trades(private)] == ["tb-1"]
        entry = float(trades(private)[0]["execPrice"])
        series = paper.exchange.market.series["BTCUSDT"].candles
        high = series.high[int((NOW + STEP - series.open_ms[0]) // STEP)]
        limit = f"{(entry + high) / 2:.1f}"
        await me.rest.order("Sell", "0.4", price=limit, orderLinkId="tb-2", reduceOnly=True)
        assert len(klines(public, confirm=True)) == 2
        await acknowledge(paper, NOW + STEP, openings=True)
        await closed(public, NOW + 2 * STEP)
        assert [row["orderLinkId"] for row in trades(private)] == ["tb-1", "tb-2"]


async def test_market_orders_fill_at_the_next_open_and_are_told_before_the_next_close(
    folder: Path,
) -> None:
    """The order of arrival over both sockets is the one that the executor relies on."""
    async with paper_here(*options(folder, "--slippage-base", "0")) as paper:
        series = paper.exchange.market.series["BTCUSDT"]
        async with bybit_client(paper) as me:
            public, private = await watching(me)
            await acknowledge(paper, 0)
            await closed(public, NOW + STEP)
            for k in range(1, 30):
                close = NOW + k * STEP
                side = "Buy" if k % 2 else "Sell"
                await me.rest.order(side, "1", orderLinkId=f"tb-{k}")
                assert len(trades(private)) == k - 1
                await acknowledge(paper, close)
                await closed(public, close + STEP)
                # No waiting: the fill of this step must already be here.
                fills = trades(private)
                assert len(fills) == k
                opening = series.candles.open[series.index_of(close)]
                index = series.index_of(close)
                slip = 0.1 * VolatilityStream().before(series.candles, index)
                assert float(fills[-1]["execPrice"]) == pytest.approx(
                    opening * (1 + (slip if side == "Buy" else -slip)), abs=0.1
                )
                assert int(fills[-1]["execTime"]) == close


async def test_settlements_are_booked_at_market_time(folder: Path) -> None:
    """At a bar's open before its fills, inside a bar after its walk, both at the bar's open."""
    async with paper_here(*options(folder)) as paper, bybit_client(paper) as me:
        public, private = await watching(me)
        await acknowledge(paper, 0)
        await closed(public, NOW + STEP)
        await me.rest.order("Buy", "2")
        for k in range(1, 8):
            await acknowledge(paper, NOW + k * STEP)
            await closed(public, NOW + (k + 1) * STEP)
        paid = [r for r in private.rows("execution") if r["execType"] == "Funding"]
        settled = [NOW + 3 * STEP, NOW + 5 * STEP + 60_000]
        assert [int(row["execTime"]) for row in paid] == settled
        series = paper.exchange.market.series["BTCUSDT"]
        for row, bar, rate in zip(paid, (3, 5), (0.001, 0.002), strict=True):
            mark = series.candles.open[series.index_of(NOW + bar * STEP)]
            assert float(row["execFee"]) == pytest.approx(2 * mark * rate)
        log = await me.rest.get("/v5/account/transaction-log", type="SETTLEMENT")
        booked = [float(row["funding"]) for row in log["result"]["list"]]
        assert booked == [-float(row["execFee"]) for row in reversed(paid)]
        assert booked == [float(row["change"]) for row in log["result"]["list"]]
        history = await me.rest.get(
            "/v5/market/funding/history", category="linear", symbol="BTCUSDT"
        )
        times = [int(row["fundingRateTimestamp"]) for row in history["result"]["list"]]
        assert times == settled[::-1]


async def test_the_end_is_told_and_nothing_more_is_sent(folder: Path) -> None:
    async with paper_here(*options(folder)) as paper, bybit_client(paper) as me:
        public, private = await watching(me)
        await acknowledge(paper, 0)
        for k in range(1, 40):
            await closed(public, NOW + k * STEP)
            assert (await acknowledge(paper, NOW + k * STEP))["finished"] is False
        await closed(public, NOW + 40 * STEP)
        await me.rest.order("Buy", "1")
        assert (await acknowledge(paper, NOW + 40 * STEP))["finished"] is True
        await private.topic("execution")
        state = await state_of(paper)
        assert state["finished"] is True
        assert (state["bars_left"], state["close_ms"]) == (0, NOW + 40 * STEP)
        count = len(public.messages)
        await me.rest.order("Sell", "1", reduceOnly=True)
        await private.until(
            lambda m: m.get("topic") == "execution" and m["data"][0]["side"] == "Sell"
        )
        assert len(public.messages) == count


@pytest.mark.slow
async def test_whoever_missed_an_opening_is_shown_it_again(folder: Path) -> None:
    """A client that subscribes late, or that a burst woke only once, must not wait for ever."""
    async with paper_here(*options(folder)) as paper, bybit_client(paper) as me:
        await acknowledge(paper, 0)
        await until(lambda: paper.mover.bars_done == 1)
        public, _ = await watching(me)
        events = paper.exchange.log.digest
        for _ in range(2):
            await closed(public, NOW + STEP)
            public.messages.clear()
        assert paper.mover.bars_done == 1
        assert paper.exchange.log.digest == events
        for k in range(1, 40):
            await acknowledge(paper, NOW + k * STEP)
            await until(lambda k=k: paper.mover.bars_done == k + 1)
        await closed(public, NOW + 40 * STEP)  # no bar follows, and it is shown all the same
        public.messages.clear()
        await closed(public, NOW + 40 * STEP)
        await acknowledge(paper, NOW + 40 * STEP)
        await until(lambda: paper.mover.finished)


async def test_a_client_that_died_may_come_back(folder: Path) -> None:
    async with paper_here(*options(folder)) as paper:
        async with bybit_client(paper) as first:
            public, _ = await watching(first)
            await acknowledge(paper, 0)
            await closed(public, NOW + STEP)
        await asyncio.sleep(0.05)
        assert (await state_of(paper))["step"] == 1
        async with bybit_client(paper) as second:
            public, _ = await watching(second)
            await acknowledge(paper, 0)
            await asyncio.sleep(0.05)
            assert klines(public, confirm=True) == []
            await acknowledge(paper, NOW + STEP)
            await closed(public, NOW + 2 * STEP)


async def test_a_client_that_does_not_answer_pings_holds_nobody_for_long(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.paper.conductor.BARRIER_SECONDS", 0.1)
    async with (
        paper_here(*options(folder)) as paper,
        bybit_client(paper) as me,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{paper.ws}/v5/private", autoping=False) as silent,
    ):
        quiet = Stream(silent)
        await quiet.login("paper", "paper")
        await quiet.subscribe("order")
        public, _ = await watching(me)
        await acknowledge(paper, 0)
        await closed(public, NOW + STEP)
        await quiet.close()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"client": ""}', b'{"client": "x", "close_ms": 99999999999999}']
)
async def test_bad_acknowledgements_get_one_line(folder: Path, body: bytes) -> None:
    async with (
        paper_here(*options(folder)) as paper,
        aiohttp.ClientSession() as session,
        session.post(paper.acknowledge_url, data=body) as reply,
    ):
        assert reply.status == 400
        said = await reply.json()
        assert said["ok"] is False
        assert said["error"]
        assert "\n" not in said["error"]


async def state_of(paper: PaperHere) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{paper.url}/__paper/state") as reply,
    ):
        return dict(await reply.json())
