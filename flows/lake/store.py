"""The lake: candles, mark prices and funding by venue, symbol and interval.

Decides what an upsert means (new rows appended, changed rows replaced and noted as restatements,
equal rows left alone) and what a read returns. Never judges prices: quality does, and what it
quarantines is left out of :meth:`Lake.candles` unless asked for. Rule: a row that is not on its
interval's grid never enters; after any crash the tables hold only whole commits.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from features.errors import InputError
from features.intervals import INTERVALS_MS
from features.types import Candles, Funding
from flows.lake import tables
from flows.lake.delta import DeltaStore, until_committed
from flows.lake.rows import conform, is_of, series_of
from flows.lake.tables import INTERVAL, SYMBOL, VENUE, Series, TableSpec

PINNED = ("candles", "funding", "mark", "quarantine")
FILES_PER_SERIES_MAX = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsert:
    """What one upsert did, in rows."""

    inserted: int = 0
    restated: int = 0
    unchanged: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What is stored of one series; times are those of the first and last row."""

    first_ms: int
    last_ms: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetPin:
    """Names a dataset to the bit: versions to read it again, a hash to know it is the same."""

    version: str  # e.g. "candles@12 funding@3 quarantine@1"; Lake.at() reads it
    content_sha256: str


class Lake:
    """Candles, mark prices and funding in Delta tables under one folder or URL."""

    def __init__(
        self,
        url: str | Path,
        *,
        storage_options: Mapping[str, str] | None = None,
        versions: Mapping[str, int] | None = None,
    ) -> None:
        root = str(url)
        if root.startswith("file://"):
            root = root.removeprefix("file://")
        self.delta = DeltaStore(root=root, options=storage_options or {}, versions=versions or {})

    # -- writing -------------------------------------------------------------------------------

    def upsert_candles(
        self,
        venue: str,
        symbol: str,
        interval: str,
        frame: pl.DataFrame,
        seen_ms: int | None = None,
    ) -> Upsert:
        """Store closed bars: columns open_ms, open, high, low, close, volume."""
        series = series_of(venue, symbol, interval)
        return self._upsert(tables.CANDLES, series, frame, seen_ms)

    def upsert_mark(
        self,
        venue: str,
        symbol: str,
        interval: str,
        frame: pl.DataFrame,
        seen_ms: int | None = None,
    ) -> Upsert:
        """Store closed mark-price bars: columns open_ms, open, high, low, close."""
        series = series_of(venue, symbol, interval)
        return self._upsert(tables.MARK, series, frame, seen_ms)

    def upsert_funding(
        self, venue: str, symbol: str, frame: pl.DataFrame, seen_ms: int | None = None
    ) -> Upsert:
        """Store funding settlements: columns time_ms, rate."""
        series = series_of(venue, symbol, tables.FUNDING_INTERVAL)
        return self._upsert(tables.FUNDING, series, frame, seen_ms)

    def _upsert(
        self, spec: TableSpec, series: Series, frame: pl.DataFrame, seen_ms: int | None
    ) -> Upsert:
        rows = conform(spec, series, frame)
        if rows.is_empty():
            return Upsert()
        result = Upsert()
        for attempt in until_committed(self.delta.uri(spec.name)):
            with attempt:
                result = self._upsert_once(spec, series, rows, seen_ms)
        return result

    def _upsert_once(
        self, spec: TableSpec, series: Series, rows: pl.DataFrame, seen_ms: int | None
    ) -> Upsert:
        table = self.delta.open_or_create(spec.name, spec.schema)
        time = pl.col(spec.time)
        span = pl.scan_delta(table).filter(
            is_of(series), time.is_between(rows[spec.time].min(), rows[spec.time].max())
        )
        stored = span.select(spec.time, *spec.values).collect()
        if stored.is_empty():
            self.delta.append(table, rows, series.name)
            return Upsert(inserted=rows.height)
        joined = rows.join(stored, on=spec.time, how="left", suffix="_old", coalesce=True)
        known = rows.select(pl.col(spec.time).is_in(stored[spec.time].implode())).to_series()
        differs = joined.select(
            pl.any_horizontal(pl.col(c).ne_missing(pl.col(f"{c}_old")) for c in spec.values)
        ).to_series()
        new, changed = rows.filter(~known), joined.filter(known & differs)
        if not changed.is_empty():
            self._note_restatements(spec, series, changed, seen_ms)
            self.delta.merge(table, rows.filter(differs), series, spec.time)
        elif not new.is_empty():
            self.delta.append(table, new, series.name)
        return Upsert(
            inserted=new.height,
            restated=changed.height,
            unchanged=rows.height - new.height - changed.height,
        )

    def _note_restatements(
        self, spec: TableSpec, series: Series, changed: pl.DataFrame, seen_ms: int | None
    ) -> None:
        """Record old and new values before they are replaced; a repeat after a crash adds none."""
        notes = pl.concat(
            changed.filter(pl.col(c).ne_missing(pl.col(f"{c}_old"))).select(
                pl.lit(series.venue).alias(VENUE),
                pl.lit(series.symbol).alias(SYMBOL),
                pl.lit(series.interval).alias(INTERVAL),
                pl.lit(spec.name).alias("table"),
                pl.col(spec.time).alias("time_ms"),
                pl.lit(c).alias("column"),
                pl.col(f"{c}_old").alias("old"),
                pl.col(c).alias("new"),
                pl.lit(seen_ms, dtype=pl.Int64).alias("seen_ms"),
            )
            for c in spec.values
        )
        key = ["table", "time_ms", "column", "old", "new"]
        fresh = notes.join(
            self.restatements(series.venue, series.symbol, series.interval),
            on=key,
            how="anti",
            nulls_equal=True,
        )
        if not fresh.is_empty():
            table = self.delta.open_or_create(tables.RESTATEMENTS, tables.RESTATEMENTS_SCHEMA)
            self.delta.append(table, fresh, series.name)

    # -- reading -------------------------------------------------------------------------------

    def frame(
        self,
        spec: TableSpec,
        series: Series,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> pl.DataFrame:
        """Return the stored rows with ``start_ms <= time < end_ms``, ascending."""
        scan = self.delta.scan(spec.name)
        if scan is None:
            return pl.DataFrame(schema={c: spec.schema[c] for c in (spec.time, *spec.values)})
        scan = scan.filter(is_of(series))
        if start_ms is not None:
            scan = scan.filter(pl.col(spec.time) >= start_ms)
        if end_ms is not None:
            scan = scan.filter(pl.col(spec.time) < end_ms)
        return scan.select(spec.time, *spec.values).sort(spec.time).collect()

    def candles(
        self,
        venue: str,
        symbol: str,
        interval: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        masked: bool = True,
    ) -> Candles:
        """Return closed bars with ``start_ms <= open_ms < end_ms``.

        ``masked`` leaves out the bars that the last quality run quarantined: they are a gap, so
        no feature sees a wrong price (see ``flows.lake.quarantine``).
        """
        series = series_of(venue, symbol, interval)
        rows = self.frame(tables.CANDLES, series, start_ms, end_ms)
        if masked:
            for start, end in self.quarantine(venue, symbol, interval):
                rows = rows.filter(~pl.col("open_ms").is_between(start, end, closed="left"))
        columns = {c: rows[c].to_numpy() for c in ("open_ms", *tables.CANDLES.values)}
        return Candles(interval_ms=series.interval_ms, **columns)

    def funding(
        self, venue: str, symbol: str, start_ms: int | None = None, end_ms: int | None = None
    ) -> Funding:
        """Return settlements with ``start_ms <= time_ms < end_ms``."""
        series = series_of(venue, symbol, tables.FUNDING_INTERVAL)
        rows = self.frame(tables.FUNDING, series, start_ms, end_ms)
        return Funding(time_ms=rows["time_ms"].to_numpy(), rate=rows["rate"].to_numpy())

    def span(self, spec: TableSpec, series: Series) -> Span | None:
        """Return the first and last stored time and the number of rows, or None when empty."""
        scan = self.delta.scan(spec.name)
        if scan is None:
            return None
        time = pl.col(spec.time)
        row = scan.filter(is_of(series)).select(
            time.min().alias("a"), time.max().alias("b"), pl.len()
        )
        first, last, rows = row.collect().row(0)
        return None if rows == 0 else Span(first_ms=first, last_ms=last, rows=rows)

    def series(self, spec: TableSpec = tables.CANDLES) -> list[Series]:
        """Return every series that has rows in the table, sorted."""
        table = self.delta.open(spec.name)
        if table is None:
            return []
        found = {(p[VENUE], p[SYMBOL], p[INTERVAL]) for p in table.partitions()}
        order = list(INTERVALS_MS)
        return [
            series_of(*names)
            for names in sorted(
                found, key=lambda n: (n[0], n[1], order.index(n[2]) if n[2] in order else -1)
            )
        ]

    def restatements(self, venue: str, symbol: str, interval: str) -> pl.DataFrame:
        """Return every recorded change of a stored value of the series."""
        scan = self.delta.scan(tables.RESTATEMENTS)
        if scan is None:
            return pl.DataFrame(schema=tables.RESTATEMENTS_SCHEMA)
        key = {VENUE: venue, SYMBOL: symbol, INTERVAL: interval}
        return scan.filter(*(pl.col(c) == v for c, v in key.items())).collect()

    def quarantine(self, venue: str, symbol: str, interval: str) -> list[tuple[int, int]]:
        """Return the ranges (start inclusive, end exclusive) that quality put aside, ascending."""
        scan = self.delta.scan(tables.QUARANTINE)
        if scan is None:
            return []
        rows = scan.filter(is_of(series_of(venue, symbol, interval))).select("start_ms", "end_ms")
        return [(int(a), int(b)) for a, b in rows.sort("start_ms").collect().iter_rows()]

    def reach(self, spec: TableSpec, series: Series) -> int | None:
        """Return the earliest time the venue was asked for, or None; see :meth:`note_reach`."""
        scan = self.delta.scan(tables.REACH)
        if scan is None:
            return None
        mine = scan.filter(is_of(series), pl.col("table") == spec.name)
        least: int | None = mine.select(pl.col("reach_ms").min()).collect().item()
        return least

    def note_reach(self, spec: TableSpec, series: Series, reach_ms: int) -> None:
        """Remember that the venue has nothing between ``reach_ms`` and the first stored row."""
        names = (series.venue, series.symbol, series.interval, spec.name)
        row = pl.DataFrame([(*names, reach_ms)], schema=tables.REACH_SCHEMA, orient="row")
        for attempt in until_committed(self.delta.uri(tables.REACH)):
            with attempt:
                table = self.delta.open_or_create(tables.REACH, tables.REACH_SCHEMA)
                self.delta.append(table, row, series.name)

    # -- pinning and upkeep --------------------------------------------------------------------

    def pin(
        self,
        venue: str,
        symbols: Sequence[str],
        interval: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> DatasetPin:
        """Name what :meth:`candles` and :meth:`funding` return now for these symbols and times."""
        opened = {name: self.delta.open(name) for name in PINNED}
        versions = {name: table.version() for name, table in opened.items() if table is not None}
        fixed = Lake(self.delta.root, storage_options=self.delta.options, versions=versions)
        digest = hashlib.sha256()
        for symbol in sorted(symbols):
            candles = fixed.candles(venue, symbol, interval, start_ms, end_ms)
            funding = fixed.funding(venue, symbol, start_ms, end_ms)
            digest.update(
                f"{venue}/{symbol}/{interval}:{candles.n}:{funding.time_ms.size}\n".encode()
            )
            columns: Iterable[np.ndarray] = (
                candles.open_ms,
                candles.open,
                candles.high,
                candles.low,
                candles.close,
                candles.volume,
                funding.time_ms,
                funding.rate,
            )
            for column in columns:
                digest.update(column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes())
        version = " ".join(f"{name}@{number}" for name, number in sorted(versions.items()))
        return DatasetPin(version=version, content_sha256=digest.hexdigest())

    def at(self, version: str) -> "Lake":
        """Return this lake as it was at a pin's ``version``."""
        versions = {}
        for part in version.split():
            name, separator, number = part.partition("@")
            if not separator or name not in PINNED or not number.isdecimal():
                raise InputError(
                    f"{version!r} is not a lake version such as 'candles@12 funding@3'"
                )
            versions[name] = int(number)
        return Lake(self.delta.root, storage_options=self.delta.options, versions=versions)

    def optimize(self, *, vacuum_hours: int | None = None) -> dict[str, dict[str, int]]:
        """Compact every table and vacuum what is older than the retention; return file counts."""
        names = [spec.name for spec in tables.SERIES_TABLES]
        names += [tables.RESTATEMENTS, tables.QUARANTINE, tables.REACH, tables.UNIVERSE]
        names += [tables.VERDICTS]
        return {
            name: {
                "compacted": self.delta.compact(name),
                "vacuumed": self.delta.vacuum(name, vacuum_hours),
            }
            for name in names
        }

    def tidy(self) -> None:
        """Compact the series tables where a series has grown into many small files."""
        for spec in tables.SERIES_TABLES:
            self.delta.compact(spec.name, FILES_PER_SERIES_MAX)
