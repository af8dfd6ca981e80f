"""Refuses files whose stamps are on the grid and yet not UTC, where there is evidence.

Decides which stored series a file is held against. What counts as evidence ``flows.lake.localtime``
decides. Rule: nothing is stored and nothing is moved; one line says what was seen and what to do.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl

from features.errors import InputError
from features.intervals import interval_ms
from flows.lake import fileread, localtime
from flows.lake.filenames import Named
from flows.lake.fileread import Reading
from flows.lake.localtime import Closes
from flows.lake.store import Lake
from flows.lake.tables import CANDLES, MARK, Series, TableSpec

OTHERS_MAX = 3  # other symbols that a file is held against
NEXT_STEP = "local time? Move the stamps to UTC"


def check_zone(lake: Lake, venue: str, named: Named, reading: Reading, times: pl.Series) -> None:
    """Refuse the file where its stamps ``times`` are known to be another time than UTC.

    Raises
    ------
    InputError
        One line: the file, what was seen, the next step.
    """
    newest = times.max()
    if reading.now_ms is not None and isinstance(newest, int) and newest > reading.now_ms:
        ahead = (newest - reading.now_ms) / localtime.HOUR_MS
        raise InputError(
            f"{named.path.name}: the newest stamp is {ahead:,.1f} h in the future: {NEXT_STEP}"
        )
    if named.interval is None:
        seen = localtime.foreign_settlements(times, venue)
    else:
        step_ms = interval_ms(named.interval)
        seen = localtime.doubled_hour(times, step_ms)
        if seen is None and not reading.naive_is_utc:
            seen = localtime.skipped_hour(times, step_ms)
            if seen is not None:
                seen += " (--naive-is-utc if it was an outage)"
        if seen is None:
            seen = _moved(lake, venue, named, reading)
    if seen is not None:
        raise InputError(f"{named.path.name}: {seen}: {NEXT_STEP}")


def _moved(lake: Lake, venue: str, named: Named, reading: Reading) -> str | None:
    """Return by how much the file's bars are moved against what is stored, in words."""
    related = _related(lake, venue, named)
    if not related or named.interval is None:
        return None
    step_ms = interval_ms(named.interval)
    rows = fileread.read_closes(named.path, named.kind, reading)
    rows = rows.tail(localtime.BARS_MAX * max(1, localtime.HOUR_MS // step_ms))
    ours = _closes(named.path.name, step_ms, rows)
    return localtime.moved_against(ours, _stored(lake, related, ours))


def _related(lake: Lake, venue: str, named: Named) -> list[tuple[TableSpec, Series]]:
    """Return the stored series to hold a file against: its own symbol's, then some others."""
    stored = [(spec, one) for spec in (CANDLES, MARK) for one in lake.series(spec)]
    own = [(spec, one) for spec, one in stored if one.symbol == named.symbol]
    others = [
        (spec, one)
        for spec, one in stored
        if spec is CANDLES and one.symbol != named.symbol and one.venue == venue
    ]
    return own + others[:OTHERS_MAX]


def _stored(lake: Lake, related: list[tuple[TableSpec, Series]], ours: Closes) -> Iterator[Closes]:
    margin = localtime.ZONE_MAX_MS
    start, end = int(ours.close_ms[0]) - margin, int(ours.close_ms[-1]) + margin
    for spec, series in related:
        rows = lake.frame(spec, series, start - series.interval_ms, end)
        if not rows.is_empty():
            kind = " mark price" if spec is MARK else ""
            name = f"{series.symbol} {series.interval}{kind} of {series.venue}"
            yield _closes(name, series.interval_ms, rows)


def _closes(name: str, step_ms: int, rows: pl.DataFrame) -> Closes:
    return Closes(
        name=name,
        step_ms=step_ms,
        close_ms=rows["open_ms"].to_numpy().astype(np.int64) + step_ms,
        close=rows["close"].to_numpy(),
    )
