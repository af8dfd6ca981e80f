"""Folders of files into the lake, and the lake into files.

Decides which files belong together and in which order they win. Import is all or nothing in what it
accepts: every file is read and checked before the first row is stored. Never changes a file.
Rule: what is written out can be read in again, and gives the same table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.errors import InputError
from features.intervals import interval_ms
from features.suggest import unknown_name
from flows.lake import fileread
from flows.lake.errors import lake_error
from flows.lake.filenames import Kind, Named, data_files, read_name
from flows.lake.fileread import Reading
from flows.lake.progress import OnProgress, silent
from flows.lake.rows import series_of
from flows.lake.settlements import settlement_ms_expr
from flows.lake.store import Lake
from flows.lake.tables import CANDLES, FUNDING, FUNDING_INTERVAL, MARK, Series, TableSpec
from flows.lake.zonecheck import check_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of the files of one series; ``differing`` stamps had two values, the last won."""

    kind: Kind
    symbol: str
    interval: str
    files: int
    rows: int
    repeated: int
    differing: int
    inserted: int
    restated: int


def import_files(
    lake: Lake,
    folder: Path,
    venue: str,
    *,
    reading: Reading | None = None,
    on_progress: OnProgress = silent,
) -> list[Imported]:
    """Store every data file in ``folder`` as rows of ``venue``; return what came of each series.

    Files of one symbol, interval and kind are merged; where two hold the same stamp, the file
    whose name comes later wins.

    Raises
    ------
    InputError
        Where one file is wrong: nothing is stored then.
    """
    how = reading or Reading()
    groups: dict[tuple[str, str, Kind], list[Named]] = {}
    for path in data_files(folder):
        named = read_name(path)
        key = (named.symbol, named.interval or FUNDING_INTERVAL, named.kind)
        groups.setdefault(key, []).append(named)
    for (symbol, interval, _), files in groups.items():
        series_of(venue, symbol, interval)
        for number, named in enumerate(files):
            on_progress(symbol, 0.3 * number / len(files), f"checking {named.path.name}")
            check_zone(lake, venue, named, how, _checked_times(named, how))
    done = []
    for (symbol, interval, kind), files in groups.items():
        on_progress(symbol, 0.4, f"storing {kind} {interval}")
        done.append(_store(lake, series_of(venue, symbol, interval), kind, files, how))
        on_progress(symbol, 1.0, f"{kind} {interval}: {done[-1].rows:,} rows")
    lake.tidy()
    return done


def _checked_times(named: Named, reading: Reading) -> pl.Series:
    """Return the file's stamps; refused where none, or not bars of the interval its name says."""
    times = fileread.read_times(named.path, named.kind, reading)
    if times.is_empty():
        raise InputError(f"{named.path.name}: holds no rows")
    if named.interval is not None:
        fileread.check_interval(named.path, times, named.interval)
    return times


def _rows(named: Named, reading: Reading) -> pl.DataFrame:
    rows = fileread.read_rows(named.path, named.kind, reading)
    if named.interval is None:
        return rows.with_columns(settlement_ms_expr("time_ms"))
    if reading.now_ms is not None:  # the bar under way is no bar yet
        rows = rows.filter(pl.col("open_ms") + interval_ms(named.interval) <= reading.now_ms)
    return rows


def _store(
    lake: Lake, series: Series, kind: Kind, files: Sequence[Named], reading: Reading
) -> Imported:
    spec = fileread.SPECS[kind]
    parts = [_rows(named, reading) for named in files]
    rows = pl.concat(parts)
    once = rows.unique(maintain_order=False).height if len(files) > 1 else rows.height
    distinct = rows[spec.time].n_unique()
    if kind == "funding":
        result = lake.upsert_funding(series.venue, series.symbol, rows)
    elif kind == "mark":
        result = lake.upsert_mark(series.venue, series.symbol, series.interval, rows)
    else:
        result = lake.upsert_candles(series.venue, series.symbol, series.interval, rows)
    return Imported(
        kind=kind,
        symbol=series.symbol,
        interval=series.interval,
        files=len(files),
        rows=distinct,
        repeated=rows.height - distinct,
        differing=once - distinct,
        inserted=result.inserted,
        restated=result.restated,
    )


def export_files(
    lake: Lake,
    folder: Path,
    *,
    venue: str | None = None,
    symbols: Sequence[str] = (),
    intervals: Sequence[str] = (),
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> list[Path]:
    """Write stored series as Parquet files ``folder/VENUE/SYMBOL-INTERVAL.parquet``.

    Columns are ``timestamp`` (open or settlement, UTC milliseconds) and the values; what quality
    put aside is in them. ``symbols`` and ``intervals`` choose; none of them means all.

    Raises
    ------
    InputError
        Where nothing stored is chosen, or the folder cannot be written.
    """
    stored = [(spec, one) for spec in (CANDLES, MARK, FUNDING) for one in lake.series(spec)]
    for kind, names, known in (
        ("venue", [venue] if venue else [], {one.venue for _, one in stored}),
        ("symbol", symbols, {one.symbol for _, one in stored}),
        ("interval", intervals, {one.interval for _, one in stored}),
    ):
        for name in names:
            if name not in known:
                raise InputError(f"the lake: {unknown_name(kind, name, known)}")
    written = []
    for spec, one in stored:
        right = venue in {None, one.venue} and (not symbols or one.symbol in symbols)
        if right and (not intervals or spec is FUNDING or one.interval in intervals):
            frame = lake.frame(spec, one, start_ms, end_ms)
            if not frame.is_empty():
                written.append(_write(frame, spec, one, folder))
    if not written:
        raise InputError("nothing to export: no stored rows in that range; see `tribar coverage`")
    return written


def _write(frame: pl.DataFrame, spec: TableSpec, series: Series, folder: Path) -> Path:
    """Write one file whole or not at all."""
    suffix = {CANDLES.name: series.interval, MARK.name: f"{series.interval}-mark"}
    path = folder / series.venue / f"{series.symbol}-{suffix.get(spec.name, 'funding')}.parquet"
    rows = frame.rename({spec.time: "timestamp"})
    if spec is FUNDING:
        rows = rows.rename({"rate": "funding_rate"})
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(partial, compression="zstd")
        partial.replace(path)
    except OSError as error:
        raise lake_error("write", str(path), error) from error
    return path
