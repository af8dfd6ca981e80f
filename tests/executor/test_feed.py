"""Features at a close, as the feed hands them over, are the rows of training to the last bit."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from executor.core.types import Bar
from executor.market.feed import Feed
from executor.market.settlements import FOLLOW_ANSWERS, TRIES
from executor.venue.streams import CandlePushed
from features.batch import feature_matrix
from features.catalog import default_catalog
from features.types import Candle, FloatArray
from tests.support.candles import INTERVAL_MS, simulated
from tests.support.clocks import FakeClock

CATALOG = default_catalog()
FUNDED = [CATALOG.names.index(name) for name in CATALOG.funding_names]
PAST = CATALOG.warmup_bars + 200
BARS = 80
CANDLES, FUNDING = simulated(PAST + BARS + 1, seed=8)
EIGHT_MS = 8 * 3_600_000


class Market:
    """A venue that shows a simulated history bar by bar; settlements can be late."""

    def __init__(self) -> None:
        self.shown = PAST
        self.hidden_ms: set[int] = set()
        self.watched: list[str] = []

    async def newest_candles(self, symbol: str, interval: str, count: int) -> list[Candle]:
        rows = [CANDLES.candle(i) for i in range(max(0, self.shown - count), self.shown)]
        return [*rows, self.tick()]

    async def candles(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> list[Candle]:
        raise AssertionError("nothing is missing")

    async def funding(self, symbol: str, start_ms: int) -> list[tuple[int, float]]:
        now_ms = int(CANDLES.open_ms[self.shown])
        rows = zip(FUNDING.time_ms.tolist(), FUNDING.rate.tolist(), strict=True)
        return [
            (at, rate) for at, rate in rows if start_ms <= at <= now_ms and at not in self.hidden_ms
        ]

    async def next_settlements(self) -> dict[str, int]:
        later = FUNDING.time_ms[FUNDING.time_ms > int(CANDLES.open_ms[self.shown])]
        return {"A": int(later[0]), "B": int(later[0])} if later.size else {}

    async def watch_candles(self, symbols: Sequence[str], interval: str) -> None:
        self.watched += symbols
        await asyncio.Event().wait()

    async def unwatch_candles(self, symbols: Sequence[str], interval: str) -> None:
        self.watched = [symbol for symbol in self.watched if symbol not in symbols]

    def tick(self) -> Candle:
        price, at = float(CANDLES.open[self.shown]), int(CANDLES.open_ms[self.shown])
        return Candle(open_ms=at, open=price, high=price, low=price, close=price, volume=0.0)


class Desk:
    """A feed of one symbol on a market; time passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.market = Market()
        self.woken = asyncio.Event()
        self.feed = Feed(
            self.market,
            FakeClock(),
            symbols=["A"],
            interval="15m",
            interval_ms=INTERVAL_MS,
            catalog=CATALOG,
            grace_ms=2_000,
            wake=lambda event: self.woken.set(),
        )

    async def next_bar(self) -> Bar:
        """Close the running bar and return it as the feed hands it over."""
        market, feed = self.market, self.feed
        whole = CANDLES.candle(market.shown)
        feed.on_candle(CandlePushed(symbol="A", candle=whole, confirmed=True))
        market.shown += 1
        self.woken.clear()
        feed.on_candle(CandlePushed(symbol="A", candle=market.tick(), confirmed=False))
        while (close_ms := feed.ready()) is None:
            await asyncio.wait_for(self.woken.wait(), 20.0)
            self.woken.clear()
        assert close_ms == whole.open_ms + INTERVAL_MS
        (bar,) = feed.take(close_ms)
        return bar

    async def next_bars(self, symbols: str) -> dict[str, Bar]:
        """Close the running bar of several symbols; return what the feed hands over, by symbol."""
        market, feed = self.market, self.feed
        whole = CANDLES.candle(market.shown)
        market.shown += 1
        for symbol in symbols:
            feed.on_candle(CandlePushed(symbol=symbol, candle=whole, confirmed=True))
        for number, symbol in enumerate(symbols):
            assert not number or feed.ready() is None, "one symbol is still to come"
            feed.on_candle(CandlePushed(symbol=symbol, candle=market.tick(), confirmed=False))
        while (close_ms := feed.ready()) is None:
            await asyncio.wait_for(self.woken.wait(), 20.0)
            self.woken.clear()
        return {bar.symbol: bar for bar in feed.take(close_ms)}

    async def until_sure(self) -> None:
        """Wait for everything that the feed does in the background."""
        while self.feed._tasks:
            await asyncio.gather(*self.feed._tasks)


@pytest.fixture(scope="module")
def trained() -> FloatArray:
    """Return the rows that training sees."""
    return feature_matrix(CANDLES, CATALOG, FUNDING)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    await made.feed.warm_up(0)
    yield made
    await made.feed.stop()


def next_settlement(after: int) -> int:
    """Return the number of the first bar, from ``after`` on, in which a settlement is due."""
    due = np.flatnonzero(CANDLES.open_ms[after:] % EIGHT_MS == 0)
    return after + int(due[0])


async def test_rows_equal_those_of_training(desk: Desk, trained: FloatArray) -> None:
    for i in range(PAST, PAST + BARS):
        bar = await desk.next_bar()
        np.testing.assert_array_equal(bar.features, trained[i])
    assert np.isfinite(trained[PAST : PAST + BARS]).all()
    rates = trained[PAST : PAST + BARS, FUNDED[0]]
    assert np.unique(rates).size >= 3  # settlements came while it ran


async def test_a_late_settlement_holds_its_bar_back(desk: Desk, trained: FloatArray) -> None:
    at = next_settlement(PAST + 1)
    hidden = {int(CANDLES.open_ms[at])}
    desk.market.hidden_ms = hidden
    for i in range(PAST, at):
        np.testing.assert_array_equal((await desk.next_bar()).features, trained[i])
    bar = asyncio.ensure_future(desk.next_bar())
    for _ in range(TRIES // 2):
        await asyncio.sleep(0)
    assert not bar.done()
    hidden.clear()
    np.testing.assert_array_equal((await bar).features, trained[at])


async def test_an_unknown_settlement_is_nan_and_a_later_one_is_made_good(
    desk: Desk, trained: FloatArray
) -> None:
    at = next_settlement(PAST + 1)
    desk.market.hidden_ms = {int(CANDLES.open_ms[at])}
    for _ in range(PAST, at):
        await desk.next_bar()
    bar = await desk.next_bar()
    assert np.isnan(bar.features[FUNDED]).all()
    others = np.setdiff1d(np.arange(len(CATALOG.names)), FUNDED)
    np.testing.assert_array_equal(bar.features[others], trained[at][others])
    desk.market.hidden_ms.clear()
    await desk.until_sure()
    for i in range(at + 1, at + 40):
        np.testing.assert_array_equal((await desk.next_bar()).features, trained[i])


async def test_what_the_venue_denies_for_long_was_none(desk: Desk) -> None:
    at = next_settlement(PAST + 1)
    desk.market.hidden_ms = {int(CANDLES.open_ms[at])}
    for _ in range(PAST, at + 1):
        bar = await desk.next_bar()
    assert np.isnan(bar.features[FUNDED]).all()
    await desk.until_sure()
    assert desk.feed._clock.sleeps.count(60.0) >= FOLLOW_ANSWERS
    assert np.isfinite((await desk.next_bar()).features).all()


async def test_a_symbol_that_joins_has_the_rows_of_training_from_its_first_bar_on(
    desk: Desk, trained: FloatArray
) -> None:
    for _ in range(3):
        await desk.next_bar()
    assert await desk.feed.join(["B"]) == ["B"]
    await asyncio.sleep(0)
    assert desk.market.watched == ["B"]
    for i in range(PAST + 3, PAST + 40):
        bars = await desk.next_bars("AB")
        np.testing.assert_array_equal(bars["A"].features, trained[i])
        np.testing.assert_array_equal(bars["B"].features, trained[i])


async def test_a_symbol_that_left_is_waited_for_no_longer(desk: Desk, trained: FloatArray) -> None:
    await desk.feed.join(["B"])
    await desk.next_bars("AB")
    whole = CANDLES.candle(desk.market.shown)
    desk.market.shown += 1
    for symbol in "AB":
        desk.feed.on_candle(CandlePushed(symbol=symbol, candle=whole, confirmed=True))
    desk.feed.on_candle(CandlePushed(symbol="A", candle=desk.market.tick(), confirmed=False))
    assert desk.feed.ready() is None
    desk.woken.clear()
    await desk.feed.leave(["B"])
    assert desk.woken.is_set(), "the close that waited for it can be handed over"
    close_ms = desk.feed.ready()
    assert close_ms is not None
    (bar,) = desk.feed.take(close_ms)
    np.testing.assert_array_equal(bar.features, trained[PAST + 1])
    assert desk.market.watched == []
    desk.feed.on_candle(CandlePushed(symbol="B", candle=desk.market.tick(), confirmed=False))
    np.testing.assert_array_equal((await desk.next_bar()).features, trained[PAST + 2])
    assert await desk.feed.join(["B"]) == ["B"], "and it can join again"
    bars = await desk.next_bars("AB")
    np.testing.assert_array_equal(bars["B"].features, trained[PAST + 3])


async def test_what_is_only_followed_has_no_features_until_it_is_a_member_again(
    desk: Desk, trained: FloatArray
) -> None:
    desk.feed.only_followed = frozenset({"A"})
    assert (await desk.next_bar()).features is None
    assert (await desk.next_bar()).features is None
    desk.feed.only_followed = frozenset()
    np.testing.assert_array_equal((await desk.next_bar()).features, trained[PAST + 2])


async def test_what_was_asked_for_a_symbol_that_left_meanwhile_disturbs_nobody(desk: Desk) -> None:
    at = next_settlement(PAST + 1)
    desk.market.hidden_ms = {int(CANDLES.open_ms[at])}
    await desk.feed.join(["B"])
    for _ in range(PAST, at + 1):
        await desk.next_bars("AB")
    desk.feed.refresh()
    await desk.feed.leave(["B"])
    desk.market.hidden_ms.clear()
    for task in list(desk.feed._tasks):
        if "_watch_more" in repr(task.get_coro()):
            task.cancel()
    async with asyncio.timeout(30.0):
        while desk.feed._tasks:
            done = await asyncio.gather(*desk.feed._tasks, return_exceptions=True)
            assert not [e for e in done if isinstance(e, Exception)]


async def test_what_closed_between_history_and_the_first_subscription_is_asked_for(
    desk: Desk,
) -> None:
    desk.feed.refresh(first=True)
    assert not desk.feed._tasks, "a fresh history misses nothing"
    desk.feed._heard_at -= 20.0
    at = desk.market.shown
    desk.market.shown += 2  # two bars closed since, and no frame told of them
    desk.feed.refresh(first=True)
    await desk.until_sure()
    for number in (at, at + 1):
        close_ms = desk.feed.ready()
        assert close_ms == int(CANDLES.open_ms[number]) + INTERVAL_MS
        (bar,) = desk.feed.take(close_ms)
        assert bar.candle.open_ms == int(CANDLES.open_ms[number])
