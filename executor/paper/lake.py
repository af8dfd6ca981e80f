"""Recorded candles and funding from a lake: Delta tables ``candles`` and ``funding``.

Decides which rows of a lake are a symbol's market. Never writes, and leaves out nothing that
quality quarantined: a venue shows its wrong prices too. Rule: a lake is a folder or an address of
an object store, whose keys come from the environment; each table's log is read once.
"""

from pathlib import Path

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from polars.exceptions import PolarsError

from executor.paper.parquet import checked_candles, checked_funding
from features.errors import InputError
from features.suggest import unknown_name
from features.types import Candles, Funding

CANDLES, FUNDING = "candles", "funding"
CANDLE_COLUMNS = {
    "open_ms": "timestamp",
    **{c: c for c in ("open", "high", "low", "close", "volume")},
}
FUNDING_COLUMNS = {"time_ms": "timestamp", "rate": "funding_rate"}


def is_lake(where: str) -> bool:
    """Say whether ``where`` is a lake: an address, or a folder that holds the table of candles."""
    return "://" in where or (Path(where) / CANDLES / "_delta_log").is_dir()


class Lake:
    """One lake; ``venue`` may be empty where a symbol is there from one venue only.

    Raises
    ------
    InputError
        Where there is no table of candles, or a table cannot be read.
    """

    def __init__(self, where: str, venue: str) -> None:
        self._where = where.rstrip("/")
        self._venue = venue
        candles = self._open(CANDLES)
        if candles is None:
            raise InputError(f"{self._where} holds no table of candles: it is no lake")
        funding = self._open(FUNDING)
        parts = candles.partitions()
        self._series = sorted((p["venue"], p["symbol"], p["interval"]) for p in parts)
        self._candles = pl.scan_delta(candles)
        self._funding = None if funding is None else pl.scan_delta(funding)

    def candles(self, symbol: str, interval: str, interval_ms: int) -> Candles:
        """Return the candles of one symbol.

        Raises
        ------
        InputError
            Where the lake has none, has them from several venues, or they are unusable.
        """
        venue = self._venue_of(symbol, interval)
        key = (pl.col("venue") == venue, pl.col("symbol") == symbol, pl.col("interval") == interval)
        frame = self._collect(self._candles.filter(*key), CANDLE_COLUMNS)
        return checked_candles(f"{venue}/{symbol}/{interval}", frame, interval, interval_ms)

    def funding(self, symbol: str, interval: str) -> Funding:
        """Return the settlements of the symbol whose candles of ``interval`` are replayed."""
        venue = self._venue_of(symbol, interval)
        frame = pl.DataFrame(schema={"timestamp": pl.Int64, "funding_rate": pl.Float64})
        if self._funding is not None:
            key = (pl.col("venue") == venue, pl.col("symbol") == symbol)
            frame = self._collect(self._funding.filter(*key), FUNDING_COLUMNS)
        return checked_funding(f"{venue}/{symbol}/funding", frame)

    def _venue_of(self, symbol: str, interval: str) -> str:
        """Return the venue whose candles are meant."""
        venues = [v for v, s, i in self._series if (s, i) == (symbol, interval)]
        if self._venue in venues:
            return self._venue
        if self._venue and venues:
            raise InputError(f"--venue: {unknown_name('venue', self._venue, venues)}")
        if len(venues) > 1:
            raise InputError(f"{symbol} is there from {', '.join(venues)}; choose by --venue")
        if venues:
            return venues[0]
        here = sorted({i for _, s, i in self._series if s == symbol})
        if here:
            raise InputError(f"{symbol} has no {interval} candles here; it has {', '.join(here)}")
        known = {s for _, s, i in self._series if i == interval}
        raise InputError(unknown_name("symbol", symbol, known))

    def _open(self, table: str) -> DeltaTable | None:
        try:
            return DeltaTable(f"{self._where}/{table}")
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise self._unreadable(error) from error

    def _collect(self, rows: pl.LazyFrame, columns: dict[str, str]) -> pl.DataFrame:
        try:
            return rows.select(list(columns)).rename(columns).sort("timestamp").collect()
        except (DeltaError, PolarsError, OSError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> InputError:
        line = " ".join(str(error).split())[:200]
        return InputError(f"the lake {self._where} cannot be read: {line}")
