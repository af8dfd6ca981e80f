"""Rows before they enter a table: names, types, grid, one row a key.

Decides what may enter the lake. Never touches storage and never judges a price. Rule: what is
refused is refused whole, with one line that names the series and the first offending row.
"""

import re

import polars as pl

from features.errors import InputError
from features.intervals import interval_ms
from flows.lake.tables import (
    FUNDING_INTERVAL,
    INTERVAL,
    INTERVAL_MS,
    SYMBOL,
    VENUE,
    Series,
    TableSpec,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")


def series_of(venue: str, symbol: str, interval: str) -> Series:
    """Return the series, refusing names that cannot be a folder's."""
    for kind, name in (("venue", venue), ("symbol", symbol)):
        if not NAME.fullmatch(name):
            raise InputError(f"{kind} {name!r} is not a name of letters, digits and . _ : -")
    length = 0 if interval == FUNDING_INTERVAL else interval_ms(interval)
    return Series(venue=venue, symbol=symbol, interval=interval, interval_ms=length)


def is_of(series: Series) -> pl.Expr:
    """Return the condition that a row belongs to the series."""
    return (
        (pl.col(VENUE) == series.venue)
        & (pl.col(SYMBOL) == series.symbol)
        & (pl.col(INTERVAL) == series.interval)
    )


def conform(spec: TableSpec, series: Series, frame: pl.DataFrame) -> pl.DataFrame:
    """Return ``frame`` as rows of the table: typed, on the grid, one a key (the last one wins)."""
    missing = [c for c in (spec.time, *spec.values) if c not in frame.columns]
    if missing:
        raise InputError(
            f"{series.name}: column {missing[0]!r} is missing; "
            f"{spec.name} need {', '.join((spec.time, *spec.values))}"
        )
    try:
        rows = frame.select(
            pl.lit(series.venue).alias(VENUE),
            pl.lit(series.symbol).alias(SYMBOL),
            pl.lit(series.interval).alias(INTERVAL),
            pl.lit(series.interval_ms, dtype=pl.Int64).alias(INTERVAL_MS),
            pl.col(spec.time).cast(pl.Int64),
            *(pl.col(c).cast(pl.Float64) for c in spec.values),
        )
    except pl.exceptions.InvalidOperationError as error:
        line = str(error).splitlines()[0]
        raise InputError(f"{series.name}: a column is not a number: {line}") from error
    if rows[spec.time].null_count():
        raise InputError(f"{series.name}: {rows[spec.time].null_count()} rows have no {spec.time}")
    if series.interval_ms:
        off = rows.filter(pl.col(spec.time) % series.interval_ms != 0)
        if not off.is_empty():
            raise InputError(
                f"{series.name}: {off.height} of {rows.height} stamps are not on the "
                f"{series.interval} grid, first {off[spec.time][0]}; stamps must be the bar's open "
                "in UTC milliseconds"
            )
    if ascends(rows[spec.time]):
        return rows
    return rows.unique(spec.time, keep="last", maintain_order=True).sort(spec.time)


def ascends(times: pl.Series) -> bool:
    """Return whether the times grow from row to row, so that sorting would change nothing."""
    return bool((times.diff().drop_nulls() > 0).all())
