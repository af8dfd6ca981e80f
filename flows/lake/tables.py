"""The lake's tables: their columns, keys and partitions.

Decides what a row of each table is and what makes it unique. Never touches storage. Rule: every
column name and type of the lake is written here and nowhere else; a time is an int of UTC ms.

``interval_ms`` repeats the partition column ``interval`` as a number on purpose: delta-rs cannot
parse a predicate that names a column ``interval`` (a keyword of its SQL), so predicates use this.
"""

from dataclasses import dataclass

import polars as pl

VENUE, SYMBOL, INTERVAL, INTERVAL_MS = "venue", "symbol", "interval", "interval_ms"
FUNDING_INTERVAL = "funding"  # the partition value of rows that belong to no bar interval
OHLC = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """One table: its time column (the key within a series) and its value columns."""

    name: str
    time: str
    values: tuple[str, ...]

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column names and types as stored, partition columns first."""
        return {
            VENUE: pl.String(),
            SYMBOL: pl.String(),
            INTERVAL: pl.String(),
            INTERVAL_MS: pl.Int64(),
            self.time: pl.Int64(),
            **dict.fromkeys(self.values, pl.Float64()),
        }


CANDLES = TableSpec(name="candles", time="open_ms", values=(*OHLC, "volume"))
MARK = TableSpec(name="mark", time="open_ms", values=OHLC)
FUNDING = TableSpec(name="funding", time="time_ms", values=("rate",))
SERIES_TABLES = (CANDLES, MARK, FUNDING)

RESTATEMENTS = "restatements"
RESTATEMENTS_SCHEMA: dict[str, pl.DataType] = {
    VENUE: pl.String(),
    SYMBOL: pl.String(),
    INTERVAL: pl.String(),
    "table": pl.String(),
    "time_ms": pl.Int64(),
    "column": pl.String(),
    "old": pl.Float64(),
    "new": pl.Float64(),
    "seen_ms": pl.Int64(),  # venue time at which we noticed; null for files
}

QUARANTINE = "quarantine"
QUARANTINE_SCHEMA: dict[str, pl.DataType] = {
    VENUE: pl.String(),
    SYMBOL: pl.String(),
    INTERVAL: pl.String(),
    INTERVAL_MS: pl.Int64(),
    "start_ms": pl.Int64(),  # inclusive
    "end_ms": pl.Int64(),  # exclusive
    "kind": pl.String(),
}

REACH = "reach"
REACH_SCHEMA: dict[str, pl.DataType] = {
    VENUE: pl.String(),
    SYMBOL: pl.String(),
    INTERVAL: pl.String(),
    "table": pl.String(),
    "reach_ms": pl.Int64(),  # the venue was asked from here on: before the first row it has none
}

UNIVERSE = "universe"
UNIVERSE_SCHEMA: dict[str, pl.DataType] = {
    VENUE: pl.String(),
    "as_of_ms": pl.Int64(),
    SYMBOL: pl.String(),
    "rank": pl.Int64(),
    "quote_volume_24h": pl.Float64(),
    "price": pl.Float64(),
}

VERDICTS = "verdicts"
VERDICTS_SCHEMA: dict[str, pl.DataType] = {
    VENUE: pl.String(),
    SYMBOL: pl.String(),
    INTERVAL: pl.String(),
    INTERVAL_MS: pl.Int64(),
    "data_end_ms": pl.Int64(),  # close of the newest bar that was judged
    "verdict": pl.String(),
    "reasons": pl.String(),  # JSON list of lines
    "history_days": pl.Float64(),
    "coverage": pl.Float64(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The partition a row lives in: one venue's one symbol at one interval."""

    venue: str
    symbol: str
    interval: str
    interval_ms: int

    @property
    def name(self) -> str:
        """``venue/symbol/interval``, for messages and transaction ids."""
        return f"{self.venue}/{self.symbol}/{self.interval}"
