"""The quality of what the lake holds, symbol by symbol.

Decides what is read for a profile and what is written of it: the ranges put aside (which
``Lake.candles`` then leaves out) and the verdict. Never changes a candle. Rule: the profile is made
of all stored bars, so ranges put aside by an earlier run are judged anew.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from flows.lake import tables
from flows.lake.defects import Rules
from flows.lake.profile import Inputs, profile
from flows.lake.progress import OnProgress, silent
from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import CANDLES, FUNDING, FUNDING_INTERVAL, MARK, Series
from flows.lake.verdict import Check, Thresholds, Verdict, checks_for, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The profile of one symbol (a row a day), what it was held against, and the verdict."""

    days: pl.DataFrame
    quarantine: pl.DataFrame
    checks: tuple[Check, ...]
    verdict: Verdict


def assess(
    lake: Lake,
    venue: str,
    symbols: Sequence[str],
    interval: str,
    *,
    rules: Rules,
    limits: Thresholds,
    on_progress: OnProgress = silent,
) -> dict[str, Assessment]:
    """Judge the symbols' stored bars; note verdicts and ranges put aside in the lake."""
    found = {}
    for symbol in symbols:
        on_progress(symbol, 0.0, "profile")
        series = series_of(venue, symbol, interval)
        inputs = read_inputs(lake, series)
        seen = profile(inputs, rules)
        verdict = judge(seen.days, limits)
        note(lake, series, seen.quarantine, verdict, inputs.candles)
        checks = () if seen.days.is_empty() else tuple(checks_for(seen.days, limits))
        found[symbol] = Assessment(
            days=seen.days, quarantine=seen.quarantine, checks=checks, verdict=verdict
        )
        on_progress(symbol, 1.0, verdict.verdict)
    return found


def read_inputs(lake: Lake, series: Series) -> Inputs:
    """Return everything stored that bears on one series."""
    venue, symbol = series.venue, series.symbol
    funding = series_of(venue, symbol, FUNDING_INTERVAL)

    def intervals(spec: tables.TableSpec) -> list[Series]:
        return [s for s in lake.series(spec) if (s.venue, s.symbol) == (venue, symbol)]

    return Inputs(
        step_ms=series.interval_ms,
        candles=lake.frame(CANDLES, series),
        funding=lake.frame(FUNDING, funding),
        marks={s.interval_ms: lake.frame(MARK, s) for s in intervals(MARK)},
        restatements=lake.restatements(venue, symbol, series.interval),
        others={
            s.interval_ms: lake.frame(CANDLES, s)
            for s in intervals(CANDLES)
            if s.interval != series.interval
        },
    )


def note(
    lake: Lake, series: Series, quarantine: pl.DataFrame, verdict: Verdict, candles: pl.DataFrame
) -> None:
    """Write the ranges put aside and the verdict; nothing is written where nothing changed."""
    if [(a, b) for a, b, _ in quarantine.iter_rows()] != lake.quarantine(
        series.venue, series.symbol, series.interval
    ):
        rows = quarantine.select(*_named(series), "start_ms", "end_ms", "kind")
        lake.delta.replace(tables.QUARANTINE, tables.QUARANTINE_SCHEMA, series, rows)
    row = pl.DataFrame(
        {
            "data_end_ms": [
                None if candles.is_empty() else int(candles["open_ms"][-1]) + series.interval_ms
            ],
            "verdict": [verdict.verdict],
            "reasons": [json.dumps(verdict.reasons, ensure_ascii=False)],
            "history_days": [verdict.history_days],
            "coverage": [verdict.coverage],
        },
        schema_overrides={"data_end_ms": pl.Int64},
    ).select(*_named(series), pl.all())
    lake.delta.replace(tables.VERDICTS, tables.VERDICTS_SCHEMA, series, row)


def verdicts(lake: Lake, venue: str, interval: str) -> dict[str, Verdict]:
    """Return the last verdict on every symbol of the venue that was judged."""
    scan = lake.delta.scan(tables.VERDICTS)
    if scan is None:
        return {}
    rows = scan.filter(pl.col("venue") == venue, pl.col("interval") == interval).collect()
    return {
        row["symbol"]: Verdict(
            verdict=row["verdict"],
            reasons=tuple(json.loads(row["reasons"])),
            history_days=row["history_days"],
            coverage=row["coverage"],
        )
        for row in rows.sort("symbol").iter_rows(named=True)
    }


def _named(series: Series) -> list[pl.Expr]:
    return [
        pl.lit(series.venue).alias(tables.VENUE),
        pl.lit(series.symbol).alias(tables.SYMBOL),
        pl.lit(series.interval).alias(tables.INTERVAL),
        pl.lit(series.interval_ms, dtype=pl.Int64).alias(tables.INTERVAL_MS),
    ]
