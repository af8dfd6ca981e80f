"""Bars and their features: history, holes, and the socket that brings what is new.

Decides which history a symbol is warmed up with, when a hole is filled by REST, and how long a
close waits for a late symbol. Never decides on a trade and
never puts a bar out of order (`bars` sees to it). Rule: features are computed here once a bar, by
the same stream the training data came from; a symbol that is missing from a close is left out and
said so, never made up; funding that is not certain (`settlements`) is NaN, never an old number.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from executor.clock import Clock
from executor.core.types import Bar
from executor.errors import RetryableError, VenueError
from executor.market.bars import BarBook, Closed, Hole
from executor.market.feature_rows import FeatureRows
from executor.market.settlements import Settlements
from executor.venue.adapter import Venue
from executor.venue.streams import CandlePushed, keep_watching
from features.catalog import Catalog
from features.types import Candle

SPARE_BARS: Final = 96
PARALLEL: Final = 8
HOLE_TRIES: Final = 3
HOLE_PATIENCE: Final = 20
REFRESH_BARS: Final = 50
FRESH_MS: Final = 2_000

log = structlog.get_logger("feed")


@dataclass(frozen=True, slots=True)
class BarsReady:
    """Something changed about the bars: a close may be complete now."""


class Feed:
    """Bars of the configured symbols. ``wake`` is called whenever a close may be complete."""

    def __init__(
        self,
        venue: Venue,
        clock: Clock,
        *,
        symbols: Sequence[str],
        interval: str,
        interval_ms: int,
        catalog: Catalog,
        grace_ms: int,
        wake: Callable[[BarsReady], None],
    ) -> None:
        self._venue = venue
        self._clock = clock
        self._symbols = tuple(symbols)
        self._interval = interval
        self._interval_ms = interval_ms
        self._catalog = catalog
        self._grace_s = grace_ms / 1000
        self._wake = wake
        self._book = BarBook(interval_ms)
        self._late: dict[int, bool] = {}
        self._taken_ms = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard_at = clock.monotonic()
        self._joining: set[str] = set()
        self.only_followed: frozenset[str] = frozenset()
        self._settlements = Settlements(
            venue,
            clock,
            pause_s=self._grace_s,
            begin=self._begin,
            wake=self._look_at_closes,
            make_anew=self._make_anew,
        )
        self._rows = FeatureRows(catalog, interval_ms, self._settlements)
        self.history_s = 0.0
        self.late_symbols = 0

    @property
    def newest_ms(self) -> int:
        """Return the start of the newest bar seen: the time of the market, coarsely."""
        return self._book.newest_ms

    @property
    def silent_ms(self) -> int:
        """Return how old the newest price is: since the venue sent it, or was asked for it."""
        return int((self._clock.monotonic() - self._heard_at) * 1000)

    def last_prices(self) -> dict[str, float]:
        """Return the newest price of every symbol."""
        prices = {symbol: self._book.last_price(symbol) for symbol in self._symbols}
        return {symbol: price for symbol, price in prices.items() if price is not None}

    def use_columns(self, names: Sequence[str]) -> None:
        """Hand out only these features, in this order: what the model was trained on."""
        self._rows.use_columns(names)

    async def warm_up(self, last_close_ms: int) -> None:
        """Download history and compute features up to the last close that was processed."""
        began = self._clock.monotonic()
        gate = asyncio.Semaphore(PARALLEL)
        async with asyncio.TaskGroup() as tasks:
            for symbol in self._symbols:
                tasks.create_task(self._warm_symbol(symbol, last_close_ms, gate))
        self.history_s = self._clock.monotonic() - began
        self._look_at_closes()

    async def join(self, symbols: Sequence[str]) -> list[str]:
        """Warm up symbols that were not there at the start; return those that are there now."""
        gate = asyncio.Semaphore(PARALLEL)

        async def one(symbol: str) -> None:
            try:
                await self._warm_symbol(symbol, 0, gate)
            except VenueError as error:
                log.warning("not_joined", symbol=symbol, error=str(error))

        async with asyncio.TaskGroup() as tasks:
            for symbol in symbols:
                tasks.create_task(one(symbol))
        joined = [symbol for symbol in symbols if symbol in self._rows]
        self._symbols = (*self._symbols, *joined)
        if joined:
            self._joining.update(joined)
            self._begin(self._watch_more(joined))
        return joined

    async def _watch_more(self, symbols: Sequence[str]) -> None:
        """Subscribe to more symbols on the open socket; after a disconnect `watch` takes them."""
        try:
            await self._venue.watch_candles(symbols, self._interval)
        except RetryableError:
            log.info("stream_ended", symbols=list(symbols))

    async def leave(self, symbols: Sequence[str]) -> None:
        """Follow symbols no longer; a close that waited for one of them need not."""
        self._symbols = tuple(s for s in self._symbols if s not in symbols)
        for symbol in symbols:
            self._rows.drop(symbol)
            self._book.drop(symbol)
            self._settlements.drop(symbol)
        self._look_at_closes()
        await self._venue.unwatch_candles(symbols, self._interval)

    async def _warm_symbol(self, symbol: str, last_close_ms: int, gate: asyncio.Semaphore) -> None:
        async with gate:
            asked = self._clock.monotonic()
            rows = await self._history(symbol)
            if not rows:
                raise RetryableError(f"{symbol}: the venue has no bars; leave the symbol out")
            await self._settlements.load(symbol, rows[0].open_ms)
        head = _head_ms(rows, last_close_ms, self._interval_ms)
        self._rows.put(symbol, await self._rows.streamed(symbol, rows, head))
        self._book.seed(symbol, head, rows)
        self._hear(asked)
        self._fill_hole(symbol)

    async def _history(self, symbol: str) -> list[Candle]:
        count = self._catalog.warmup_bars + SPARE_BARS
        return await self._venue.newest_candles(symbol, self._interval, count)

    async def _make_anew(self, symbol: str) -> None:
        """Replace a stream that was not told of a settlement in time by one made from history."""
        for _ in range(HOLE_TRIES):
            try:
                rows = await self._history(symbol)
            except VenueError as error:
                log.warning("stream_not_made_anew", symbol=symbol, error=str(error))
                await self._clock.sleep(self._grace_s)
                continue
            if symbol not in self._rows:
                return  # it left meanwhile
            stream = await self._rows.streamed(symbol, rows, self._rows.newest_ms(symbol))
            # Bars may have been handed out meanwhile.
            if symbol in self._rows and stream.last_open_ms == self._rows.newest_ms(symbol):
                self._rows.put(symbol, stream)
                self._settlements.made_anew(symbol)
                log.info("stream_made_anew", symbol=symbol)
                return

    def on_candle(self, event: CandlePushed) -> None:
        """Take a pushed candle; what follows from it comes out of :meth:`ready`."""
        self._hear(self._clock.monotonic() - self._age_s(event.sent_ms))
        if event.symbol not in self._rows:
            return
        self._book.push(event.symbol, event.candle, confirmed=event.confirmed)
        self._settlements.see(event.symbol, event.candle.open_ms)
        self._fill_hole(event.symbol)
        if event.confirmed:
            self._begin_grace(event.candle.open_ms + self._interval_ms)
        self._look_at_closes()

    def _hear(self, at: float) -> None:
        self._heard_at = max(self._heard_at, at)

    def _age_s(self, sent_ms: int) -> float:
        """Return how long a frame was under way: one that waited for a frozen process is old."""
        if not sent_ms:
            return 0.0
        return max(0.0, (self._clock.now_ms() - self._venue.clock_offset_ms - sent_ms) / 1000)

    def refresh(self, *, first: bool = False) -> None:
        """Ask REST for what a subscription missed: at the ``first``, where history is old."""
        joining, self._joining = tuple(self._joining), set()
        if not first or self.silent_ms > FRESH_MS:
            self._begin(self._refresh(joining or self._symbols))

    async def _refresh(self, symbols: Sequence[str]) -> None:
        gate = asyncio.Semaphore(PARALLEL)

        async def one(symbol: str) -> None:
            async with gate:
                asked = self._clock.monotonic()
                rows = await self._venue.newest_candles(symbol, self._interval, REFRESH_BARS)
            self._book.refresh(symbol, rows)
            self._hear(asked)
            self._fill_hole(symbol)
            self._look_at_closes()

        try:
            async with asyncio.TaskGroup() as tasks:
                for symbol in symbols:
                    tasks.create_task(one(symbol))
        except* VenueError as group:
            log.warning("refresh_failed", errors=[str(error) for error in group.exceptions][:3])

    def ready(self) -> int | None:
        """Return the oldest close that can be handed over now, None where there is none."""
        close_ms = self._book.first_pending_ms()
        if close_ms is None:
            return None
        late = self._late.get(close_ms, False)
        if not (late or self._book.complete(close_ms)):
            return None
        waiting = [s for s in self._rows.symbols if not self._settlements.known(s, close_ms)]
        return None if waiting else close_ms

    def take(self, close_ms: int) -> tuple[Bar, ...]:
        """Return the bars of a close with their features, by symbol."""
        bars = self._book.take(close_ms)
        self._taken_ms = max(self._taken_ms, close_ms)
        self._late.pop(close_ms, None)
        if len(bars) < len(self._symbols):
            self.late_symbols += len(self._symbols) - len(bars)
            missing = sorted(set(self._symbols) - {bar.symbol for bar in bars})
            log.warning("close_incomplete", close_ms=close_ms, missing=missing[:10])
        return tuple(self._bar(bar) for bar in bars)

    def _bar(self, closed: Closed) -> Bar:
        features = self._rows.row(closed.symbol, closed.candle)
        if closed.symbol in self.only_followed:
            features = None  # its exits need none, and nothing is entered
        return Bar(
            symbol=closed.symbol,
            candle=closed.candle,
            next_open=closed.next_open,
            features=features,
        )

    def _look_at_closes(self) -> None:
        """Begin to wait for the oldest incomplete close, and say when one is complete."""
        close_ms = self._book.first_pending_ms()
        if close_ms is None:
            return
        self._begin_grace(close_ms)
        if self.ready() is not None:
            self._wake(BarsReady())

    def _begin_grace(self, close_ms: int) -> None:
        if close_ms not in self._late and close_ms > self._taken_ms:
            self._late[close_ms] = False
            self._begin(self._grace(close_ms))

    async def _grace(self, close_ms: int) -> None:
        """Give the other symbols their time, then ask REST for them before they are left out."""
        await self._clock.sleep(self._grace_s)
        if close_ms in self._late:
            await self._refresh(self._book.missing(close_ms))
        for _ in range(HOLE_PATIENCE):
            if not self._book.asking:
                break
            await self._clock.sleep(self._grace_s)
        if close_ms in self._late:
            self._late[close_ms] = True
            self._book.force(close_ms)
            self._look_at_closes()

    def _fill_hole(self, symbol: str) -> None:
        hole = self._book.hole(symbol)
        if hole is not None:
            self._begin(self._fetch_hole(hole))

    async def _fetch_hole(self, hole: Hole) -> None:
        """Ask REST for the bars of a hole; the newest may need a moment to appear there."""
        rows: list[Candle] = []
        for _ in range(HOLE_TRIES):
            try:
                rows = await self._venue.candles(
                    hole.symbol, self._interval, hole.start_ms, hole.end_ms
                )
            except VenueError as error:
                log.warning("hole_not_filled", symbol=hole.symbol, error=str(error))
                await self._clock.sleep(self._grace_s)
                self._book.refuse(hole)
                self._fill_hole(hole.symbol)
                return
            if rows and rows[-1].open_ms >= hole.end_ms - self._interval_ms:
                break
            await self._clock.sleep(self._grace_s / HOLE_TRIES)
        self._book.fill(hole, rows)
        self._fill_hole(hole.symbol)
        self._look_at_closes()

    async def watch(self) -> None:
        """Keep the candle socket subscribed and announcements fresh, while the process runs."""
        watch_candles = self._venue.watch_candles
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._settlements.watch())
            await keep_watching(self._clock, lambda: watch_candles(self._symbols, self._interval))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End everything that is still being fetched."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _head_ms(rows: Sequence[Candle], last_close_ms: int, interval_ms: int) -> int:
    """Return the open of the newest bar that needs no decision.

    The last row may be unfinished. After a restart the closes since the last one that was processed
    are still to be decided, 96 at most: after a longer stop they are history.
    """
    newest = rows[-2].open_ms if len(rows) > 1 else rows[0].open_ms - interval_ms
    if not last_close_ms:
        return newest
    oldest = rows[-min(len(rows), SPARE_BARS)].open_ms - interval_ms
    return min(newest, max(last_close_ms - interval_ms, oldest))
