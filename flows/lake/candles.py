"""Candles, mark price and funding from a venue into the lake, in steps that can be killed.

Decides the order of requests and commits. What is stored of a series is always whole between its
first and last row (as the venue served it): new bars are appended upwards, history is added
downwards, the newest page is written last. So after a kill at any moment, the next run goes on
from what is there, and an up-to-date series costs one request. Never stores an unfinished bar
(the rule is in ``flows.lake.pages``), never lets one symbol's failure stop the others.
Rule: a bar missing inside a reply is asked for again before it counts as the venue's own gap.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from flows.lake import pages
from flows.lake.errors import VenueError
from flows.lake.pages import Window
from flows.lake.progress import OnProgress
from flows.lake.store import Lake, Span, Upsert
from flows.lake.tables import MARK, Series, TableSpec
from flows.lake.venue import VenueClient

FLUSH_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to bring up to date: open times ``start_ms`` (inclusive) to ``end_ms`` (exclusive).

    No ``start_ms`` means all the venue has; no ``end_ms`` means up to the newest closed bar.
    The newest page is asked for whole, so that what the venue changed in it is noticed.
    """

    symbols: Sequence[str]
    interval: str
    start_ms: int | None = None
    end_ms: int | None = None
    mark: bool = True
    flush_rows: int = FLUSH_ROWS


class CandleDownload:
    """Brings one series of candles (or of mark-price candles) up to date."""

    def __init__(
        self,
        client: VenueClient,
        lake: Lake,
        spec: TableSpec,
        series: Series,
        *,
        request: Request,
        on_progress: OnProgress,
    ) -> None:
        self._client, self._lake, self._spec, self._series = client, lake, spec, series
        self._request = request
        self._step = series.interval_ms
        self._page = client.candles_page(series.symbol)
        self._on_progress = on_progress
        self._buffer: list[pl.DataFrame] = []
        self._seen_ms: int | None = None
        self.inserted = self.restated = 0

    async def run(self, end_ms: int | None, seen_ms: int) -> Span | None:
        """Fetch what is missing; ``end_ms`` is an explicit end that the venue's clock reached."""
        self._seen_ms = seen_ms
        lake, spec, series = self._lake, self._spec, self._series
        stored = await asyncio.to_thread(lake.span, spec, series)
        start = self._start(stored)
        if stored is not None and self._up_to_date(stored, end_ms):
            await self._backfill(stored, start)
            return await asyncio.to_thread(lake.span, spec, series)
        newest = await self._newest(end_ms)
        head_first = (
            pages.floor(end_ms or 0, self._step)
            if newest.is_empty()  # an outage lasts over the page before the end
            else int(newest["open_ms"][0])
        )
        fresh = pages.closed(newest, self._step, end_ms)
        if stored is None:
            first = await self._first_open(start, head_first)
            await self._upwards(first, head_first)
            fresh = fresh.filter(pl.col("open_ms") >= first)
        else:
            resume = stored.last_ms + self._step
            await self._upwards(resume, head_first)
            fresh = fresh.filter(pl.col("open_ms") >= stored.first_ms)
        self._buffer.append(fresh)
        await self._flush()
        if stored is None:
            await asyncio.to_thread(lake.note_reach, spec, series, start)
        else:
            await self._backfill(stored, start)
        return await asyncio.to_thread(lake.span, spec, series)

    def _start(self, stored: Span | None) -> int:
        if self._request.start_ms is not None:
            return pages.ceil(self._request.start_ms, self._step)
        return 0 if stored is None else stored.first_ms

    def _up_to_date(self, stored: Span, end_ms: int | None) -> bool:
        if end_ms is None:
            return False
        return stored.last_ms + self._step >= pages.floor(end_ms, self._step)

    async def _ask(self, window: Window) -> pl.DataFrame:
        return await self._client.candles(
            self._spec,
            self._series.symbol,
            self._series.interval,
            start_ms=window[0],
            end_ms=window[1],
            limit=(window[1] - window[0]) // self._step,
        )

    async def _newest(self, end_ms: int | None) -> pl.DataFrame:
        """Return the newest page up to the end, its holes asked for again; empty: nothing there."""
        page = pl.DataFrame()
        if end_ms is not None:
            stop = pages.floor(end_ms, self._step)
            page = await self._window((stop - self._page * self._step, stop))
        for _ in range(2):
            if page.is_empty():
                page = await self._ask_newest()
                if end_ms is not None and not page.is_empty():
                    return page.filter(pl.col("open_ms") + self._step <= end_ms)
        if page.is_empty():
            raise VenueError(
                f"{self._client.id} served no {self._spec.name} of {self._series.symbol} "
                f"{self._series.interval}"
            )
        window = (int(page["open_ms"][0]), int(page["open_ms"][-1]) + self._step)
        return await self._whole(page, window)

    async def _ask_newest(self) -> pl.DataFrame:
        return await self._client.candles(
            self._spec, self._series.symbol, self._series.interval, limit=self._page
        )

    async def _whole(self, frame: pl.DataFrame, window: Window) -> pl.DataFrame:
        """Ask again for every hole of ``frame`` until an answer brings nothing new."""
        pending = pages.holes(frame["open_ms"].to_list(), window, self._step)
        parts = [frame]
        while pending:
            hole = pending.pop()
            found = await self._ask(hole)
            if not found.is_empty():
                parts.append(found)
                pending += pages.holes(found["open_ms"].to_list(), hole, self._step)
        if len(parts) == 1:
            return frame
        return pl.concat(parts).unique("open_ms", keep="last").sort("open_ms")

    async def _window(self, window: Window) -> pl.DataFrame:
        return await self._whole(await self._ask(window), window)

    async def _first_open(self, start: int, head_first: int) -> int:
        """Return where the venue's data begins at or after ``start``, to within one page.

        A bisection over pages: before a listing a venue has nothing, after it something in every
        page (an outage longer than a page at a probe would hide what lies before it).
        """
        candidates = pages.windows(start, head_first, self._step, self._page)
        low, high = 0, len(candidates)  # invariant: data is present from candidates[high] on
        if candidates and not (await self._window(candidates[0])).is_empty():
            return start
        low = 1
        while low < high:
            middle = (low + high) // 2
            if (await self._window(candidates[middle])).is_empty():
                low = middle + 1
            else:
                high = middle
        return candidates[high][0] if high < len(candidates) else max(start, head_first)

    async def _upwards(self, start: int, end: int) -> None:
        for window in pages.windows(start, end, self._step, self._page):
            self._buffer.append(await self._window(window))
            self._tell((window[1] - start) / max(end - start, 1), window[0])
            await self._flush_when_full()

    async def _backfill(self, stored: Span, start: int) -> None:
        """Add history below the first stored row, downwards, until the venue has no more."""
        reach = await asyncio.to_thread(self._lake.reach, self._spec, self._series)
        if start >= stored.first_ms or (reach is not None and start >= reach):
            return
        for window in reversed(pages.windows(start, stored.first_ms, self._step, self._page)):
            part = await self._window(window)
            if part.is_empty() and await self._first_open(start, window[0]) >= window[0]:
                break
            self._buffer.append(part)
            self._tell((stored.first_ms - window[0]) / (stored.first_ms - start), window[0])
            await self._flush_when_full()
        await self._flush()
        await asyncio.to_thread(self._lake.note_reach, self._spec, self._series, start)

    def _tell(self, fraction: float, time_ms: int) -> None:
        day = f"{pl.Series([time_ms]).cast(pl.Datetime('ms')).dt.date()[0]}"
        self._on_progress(self._series.symbol, min(fraction, 1.0), f"{self._spec.name} {day}")

    async def _flush_when_full(self) -> None:
        if sum(part.height for part in self._buffer) >= self._request.flush_rows:
            await self._flush()

    async def _flush(self) -> None:
        parts = [part for part in self._buffer if not part.is_empty()]
        self._buffer = []
        if not parts:
            return
        frame = pl.concat(parts).unique("open_ms", keep="last").sort("open_ms")
        s = self._series
        upsert = self._lake.upsert_mark if self._spec is MARK else self._lake.upsert_candles
        result: Upsert = await asyncio.to_thread(
            upsert, s.venue, s.symbol, s.interval, frame, self._seen_ms
        )
        self.inserted += result.inserted
        self.restated += result.restated
