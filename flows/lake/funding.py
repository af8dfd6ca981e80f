"""Funding settlements from a venue into the lake.

Decides which settlements are due: only those at or before market time, which is the close of the
newest stored bar (never our clock). Upwards from the last stored one; history below it is added
first to last, in one commit. Rule: a reply with a settlement missing in its window may be cut off
(venues cap their replies, and say so nowhere), so the window is halved and asked again.
"""

import asyncio

import polars as pl

from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import FUNDING, FUNDING_INTERVAL
from flows.lake.venue import FUNDING_PER_PAGE, VenueClient

HOUR_MS = 3_600_000
USUAL_INTERVAL_MS = 8 * HOUR_MS
WINDOW_MS = FUNDING_PER_PAGE * USUAL_INTERVAL_MS
HALVED_MS_MIN = 5 * 24 * HOUR_MS


def settlement_interval_ms(times_ms: pl.Series) -> int:
    """Return the most common distance between settlements (8 h where there are too few)."""
    steps = times_ms.diff().drop_nulls()
    if steps.is_empty():
        return USUAL_INTERVAL_MS
    return int(steps.mode().sort()[0])


class FundingDownload:
    """Brings the settlements of one symbol up to date."""

    def __init__(self, client: VenueClient, lake: Lake, symbol: str) -> None:
        self._client, self._lake, self._symbol = client, lake, symbol
        self._series = series_of(client.id, symbol, FUNDING_INTERVAL)
        self.inserted = self.restated = 0

    async def run(self, start_ms: int, market_ms: int, seen_ms: int) -> None:
        """Fetch the missing settlements with ``start_ms <= time_ms <= market_ms``."""
        stored = await asyncio.to_thread(self._lake.frame, FUNDING, self._series)
        end_ms = market_ms + 1
        if stored.is_empty():
            await self._store(await self._between(start_ms, end_ms), seen_ms)
            await asyncio.to_thread(self._lake.note_reach, FUNDING, self._series, start_ms)
            return
        first, last = int(stored["time_ms"][0]), int(stored["time_ms"][-1])
        if last + settlement_interval_ms(stored["time_ms"].tail(30)) <= market_ms:
            await self._store(await self._between(last + 1, end_ms), seen_ms)
        reach = await asyncio.to_thread(self._lake.reach, FUNDING, self._series)
        if start_ms < first and (reach is None or start_ms < reach):
            await self._store(await self._between(start_ms, first), seen_ms)
            await asyncio.to_thread(self._lake.note_reach, FUNDING, self._series, start_ms)

    async def _between(self, start_ms: int, end_ms: int) -> pl.DataFrame:
        parts = [pl.DataFrame(schema={"time_ms": pl.Int64, "rate": pl.Float64})]
        pending = [(a, min(a + WINDOW_MS, end_ms)) for a in range(start_ms, end_ms, WINDOW_MS)]
        while pending:
            window = pending.pop()
            part = await self._client.funding(self._symbol, start_ms=window[0], end_ms=window[1])
            if part.is_empty():
                part = await self._client.funding(
                    self._symbol, start_ms=window[0], end_ms=window[1]
                )
            parts.append(part)
            wide = window[1] - window[0] > HALVED_MS_MIN
            if wide and not part.is_empty() and not self._looks_whole(part, window):
                middle = (window[0] + window[1]) // 2
                pending += [(window[0], middle), (middle, window[1])]
        return pl.concat(parts).unique("time_ms", keep="last").sort("time_ms")

    def _looks_whole(self, part: pl.DataFrame, window: tuple[int, int]) -> bool:
        times = part["time_ms"]
        step = settlement_interval_ms(times)
        edges = pl.Series([window[0] - 1, *times.to_list(), window[1]]).diff().drop_nulls()
        return bool((edges <= step).all())

    async def _store(self, frame: pl.DataFrame, seen_ms: int) -> None:
        result = await asyncio.to_thread(
            self._lake.upsert_funding, self._client.id, self._symbol, frame, seen_ms
        )
        self.inserted += result.inserted
        self.restated += result.restated
