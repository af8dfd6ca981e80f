"""Several symbols from one venue into the lake at once.

Decides who is fetched when, and what is reported. One symbol's failure never stops the others: it
is reported at the end. A failure of the storage stops all, for it would meet all. Rule: symbols,
interval and venue are checked before the first row is fetched, so bad input changes nothing.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from features.intervals import interval_ms
from flows.lake.candles import CandleDownload, Request
from flows.lake.errors import VenueError
from flows.lake.funding import FundingDownload
from flows.lake.progress import OnProgress, silent
from flows.lake.rows import series_of
from flows.lake.store import Lake, Span
from flows.lake.tables import CANDLES, MARK
from flows.lake.venue import Access, VenueClient

SYMBOLS_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolReport:
    """What one symbol's download did.

    ``error`` is one line where candles or funding failed; ``note`` where only the mark price did,
    which nothing but the check for another market needs.
    """

    inserted: int = 0
    restated: int = 0
    rows: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    funding_inserted: int = 0
    mark_inserted: int = 0
    error: str | None = None
    note: str | None = None


def download(
    lake: Lake, access: Access, request: Request, on_progress: OnProgress = silent
) -> dict[str, SymbolReport]:
    """Bring the request's symbols up to date; return a report by symbol.

    Raises
    ------
    InputError
        Where the venue, a symbol or the interval is unknown, or the lake cannot be written.
    """
    return asyncio.run(_download(lake, access, request, on_progress))


async def _download(
    lake: Lake, access: Access, request: Request, on_progress: OnProgress
) -> dict[str, SymbolReport]:
    async with VenueClient(access) as client:
        client.check_interval(request.interval)
        for symbol in request.symbols:
            client.market(symbol)
        clock_ms = await client.clock_ms()
        places = asyncio.Semaphore(SYMBOLS_AT_ONCE)

        async def one(symbol: str) -> SymbolReport:
            async with places:
                report = await _symbol(
                    client, lake, symbol, request, clock_ms=clock_ms, on_progress=on_progress
                )
                on_progress(symbol, 1.0, report.error or f"{report.rows:,} bars")
                return report

        try:
            async with asyncio.TaskGroup() as group:
                tasks = {symbol: group.create_task(one(symbol)) for symbol in request.symbols}
        except ExceptionGroup as group_of_errors:
            raise group_of_errors.exceptions[0] from None
        return {symbol: task.result() for symbol, task in tasks.items()}


async def _symbol(
    client: VenueClient,
    lake: Lake,
    symbol: str,
    request: Request,
    *,
    clock_ms: int,
    on_progress: OnProgress,
) -> SymbolReport:
    # An end the venue's clock has not reached is no promise that bars before it are closed.
    end_ms = request.end_ms
    reached_ms = end_ms if end_ms is not None and end_ms <= clock_ms else None
    series = series_of(client.id, symbol, request.interval)
    candles = CandleDownload(
        client, lake, CANDLES, series, request=request, on_progress=on_progress
    )
    funding = FundingDownload(client, lake, symbol)
    mark_series = series_of(client.id, symbol, mark_interval(request.interval))
    mark = CandleDownload(client, lake, MARK, mark_series, request=request, on_progress=on_progress)
    span: Span | None = None
    error: str | None = None
    note: str | None = None
    try:
        span = await candles.run(reached_ms, clock_ms)
        if span is not None:
            close_ms = span.last_ms + series.interval_ms
            start_ms = span.first_ms if request.start_ms is None else request.start_ms
            await funding.run(start_ms, close_ms, clock_ms)
            if request.mark and client.has_mark:
                note = await _mark(mark, close_ms, clock_ms)
    except VenueError as failure:
        error = str(failure)
    return SymbolReport(
        inserted=candles.inserted,
        restated=candles.restated,
        rows=span.rows if span else 0,
        first_ms=span.first_ms if span else None,
        last_ms=span.last_ms if span else None,
        funding_inserted=funding.inserted,
        mark_inserted=mark.inserted,
        error=error,
        note=note,
    )


async def _mark(mark: CandleDownload, close_ms: int, clock_ms: int) -> str | None:
    try:
        await mark.run(close_ms, clock_ms)
    except VenueError as failure:
        return str(failure)
    return None


def mark_interval(interval: str) -> str:
    """Return the interval that mark prices are kept at: hourly, or the candles' own if longer.

    The mark price is there to tell whether the candles are this market's; an hour is fine enough
    for that, and costs a fraction of the requests.
    """
    return interval if interval_ms(interval) > interval_ms("1h") else "1h"


def failures(reports: Mapping[str, SymbolReport]) -> list[str]:
    """Return one line for every symbol that failed."""
    return [f"{symbol}: {r.error}" for symbol, r in reports.items() if r.error is not None]


def plain(reports: Mapping[str, SymbolReport]) -> dict[str, dict[str, int | str | None]]:
    """Return the reports as JSON-able values."""
    return {symbol: asdict(report) for symbol, report in reports.items()}
