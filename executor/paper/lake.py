"""Recorded candles and funding from a lake: Delta tables ``candles`` and ``funding``.

Decides which rows of a lake are a symbol's market. Never writes, and leaves out nothing that
quality quarantined: a venue shows its wrong prices too. Rule: a lake is a folder or an address of
an object store, whose keys come from the environment; each table's log is read once.
"""

from pathlib import Path

import polars as pl
from deltalake.exceptions import DeltaError, TableNotFoundError
from polars.exceptions import PolarsError

from executor.paper.parquet import checked_candles, checked_funding
from features.errors import InputError
from features.suggest import unknown_name
from features.types import Candles, Funding

CANDLES, FUNDING = "candles", "funding"


def is_lake(where: str) -> bool:
    """Say whether ``where`` is a lake: an address, or a folder that holds the table of candles."""
    return "://" in where or (Path(where) / CANDLES / "_delta_log").is_dir()


class Lake:
    """One lake; ``venue`` may be empty where a symbol is there from one venue only."""

    def __init__(self, where: str, venue: str) -> None:
        self._where = where.rstrip("/")
        self._venue = venue
        self._candles = self._scan(CANDLES)
        self._funding = self._scan(FUNDING)

    def candles(self, symbol: str, interval: str, interval_ms: int) -> Candles:
        """Return the candles of one symbol.

        Raises
        ------
        InputError
            Where the lake has none, has them from several venues, or they are unusable.
        """
        if self._candles is None:
            raise InputError(f"{self._where} holds no table of candles: it is no lake")
        venue = self._venue_of(self._candles, symbol, interval)
        mine = self._candles.filter(
            pl.col("venue") == venue, pl.col("symbol") == symbol, pl.col("interval") == interval
        )
        names = ("open_ms", "open", "high", "low", "close", "volume")
        frame = self._collect(mine.select(names).sort("open_ms"))
        name = f"{venue}/{symbol}/{interval}"
        return checked_candles(name, frame.rename({"open_ms": "timestamp"}), interval, interval_ms)

    def funding(self, symbol: str, interval: str) -> Funding:
        """Return the settlements of the symbol whose candles of ``interval`` are replayed."""
        frame = pl.DataFrame(schema={"timestamp": pl.Int64, "funding_rate": pl.Float64})
        name = f"{symbol} funding"
        if self._candles is not None and self._funding is not None:
            venue = self._venue_of(self._candles, symbol, interval)
            mine = self._funding.filter(pl.col("venue") == venue, pl.col("symbol") == symbol)
            columns = {"time_ms": "timestamp", "rate": "funding_rate"}
            frame = self._collect(mine.select(list(columns)).rename(columns).sort("timestamp"))
            name = f"{venue}/{symbol}/funding"
        return checked_funding(name, frame)

    def _venue_of(self, table: pl.LazyFrame, symbol: str, interval: str) -> str:
        """Return the venue whose candles are meant."""
        keys = self._collect(table.select("venue", "symbol", "interval").unique())
        rows = sorted(keys.iter_rows())
        venues = [v for v, s, i in rows if (s, i) == (symbol, interval)]
        if self._venue in venues:
            return self._venue
        if self._venue and venues:
            raise InputError(f"--venue: {unknown_name('venue', self._venue, venues)}")
        if len(venues) > 1:
            raise InputError(f"{symbol} is there from {', '.join(venues)}; choose by --venue")
        if venues:
            return str(venues[0])
        here = sorted({i for _, s, i in rows if s == symbol})
        if here:
            raise InputError(f"{symbol} has no {interval} candles here; it has {', '.join(here)}")
        raise InputError(unknown_name("symbol", symbol, {s for _, s, i in rows if i == interval}))

    def _scan(self, table: str) -> pl.LazyFrame | None:
        rows = pl.scan_delta(f"{self._where}/{table}")
        try:
            rows.collect_schema()
        except TableNotFoundError:
            return None
        except (DeltaError, PolarsError, OSError) as error:
            raise self._unreadable(error) from error
        return rows

    def _collect(self, rows: pl.LazyFrame) -> pl.DataFrame:
        try:
            return rows.collect()
        except (DeltaError, PolarsError, OSError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> InputError:
        line = " ".join(str(error).split())[:200]
        return InputError(f"the lake {self._where} cannot be read: {line}")
