"""The commands around candles: `ingest`, `quality`, `coverage`.

Decides how their outcome is shown. Never fetches or judges a candle itself: the flows and the lake
do.
Rule: a symbol that cannot be used comes with the reason.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.errors import InputError
from features.intervals import interval_ms
from flows.clock import now_ms
from flows.commands.frame import (
    JsonFile,
    Symbols,
    console,
    instant,
    split_symbols,
    table,
    write_json,
)
from flows.commands.serving import run_served
from flows.lake.assess import verdicts
from flows.lake.fileread import Reading
from flows.lake.files import import_files
from flows.lake.store import Lake
from flows.lake.tables import CANDLES, Series
from flows.settings import Settings, load_settings
from flows.terminal import Stages

DAY_MS = 86_400_000
WORDS = (("pass", "covered"), ("warn", "covered, with remarks"), ("fail", "blocked"))
STATES = dict(WORDS)
COVERAGE = (
    "venue",
    "symbol",
    "interval",
    "bars",
    "from",
    "to",
    "days",
    "share",
    "state",
    "why",
)


def ingest(
    *,
    symbol: Symbols = None,
    days: int | None = None,
    interval: str | None = None,
    from_files: Path | None = None,
    column: tuple[str, ...] = (),
    naive_is_utc: bool = False,
    venue: str | None = None,
    json: JsonFile = None,
) -> int:
    """Fetch candles and funding of the venue into the lake, or take them from files.

    Only closed bars are stored. Stopped or killed at any time, it goes on where it was.

    Parameters
    ----------
    from_files
        A folder of Parquet, CSV or Feather files named SYMBOL-INTERVAL or SYMBOL-funding; all are
        checked before the first row is stored.
    column
        For files whose columns are called otherwise: time=Zeit, close=Schluss and so on.
    naive_is_utc
        For files whose times name no zone: take them as UTC.
    venue
        For files: the venue that the candles are of; [venue] id where not given.
    symbol
        Venue ids; those of configs/flows.toml where not given.
    days
        How far back, in days.
    interval
        Bar length: 1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d.
    json
        Write what was found to this file, for machines.
    """
    settings = load_settings()
    if days is not None and days < 1:
        raise InputError(f"--days: {days} is too few; give 1 or more")
    if from_files is not None:
        reading = Reading(columns=_columns(column), naive_is_utc=naive_is_utc)
        return _import(settings, from_files, venue or settings.venue.id, reading, json)
    parameters: dict[str, Any] = {
        "symbols": split_symbols(symbol) or list(settings.data.symbols),
        "interval": interval or settings.data.interval,
        "start_ms": now_ms() - (days or settings.data.days) * DAY_MS,
    }
    outcome = run_served(settings, "ingest", parameters)
    write_json(json, {"page": outcome.page, **outcome.result})
    _show(outcome.result)
    return 0


def coverage(*, json: JsonFile = None) -> int:
    """List what the lake holds: symbols, range, days, share of bars, and whether they can train.

    A symbol is covered when `tribar quality` has passed it, and blocked from training when it has
    failed: for a short history, missing bars or candles that cannot be true.
    """
    settings = load_settings()
    lake = Lake(settings.paths.lake)
    rows = [coverage_row(lake, series) for series in lake.series()]
    write_json(json, [dict(zip(COVERAGE, row, strict=True)) for row in rows])
    if not rows:
        console().print("The lake is empty. Fetch candles with [bold]tribar ingest[/].")
        return 0
    shown = [
        (*row[1:4], _day(row[4]), _day(row[5]), row[6], row[7], f"{row[8]}: {row[9]}".rstrip(": "))
        for row in rows
    ]
    for venue in sorted({str(row[0]) for row in rows}):
        mine = [line for line, row in zip(shown, rows, strict=True) if row[0] == venue]
        console().print(table(venue, (*COVERAGE[1:8], "training"), mine))
    return 0


def coverage_row(lake: Lake, series: Series) -> tuple[object, ...]:
    """Return one line of the coverage, in the order of :data:`COVERAGE`."""
    span = lake.span(CANDLES, series)
    names = (series.venue, series.symbol, series.interval)
    if span is None:
        return (*names, 0, None, None, 0.0, 0.0, "empty", "")
    length_ms = interval_ms(series.interval)
    expected = (span.last_ms - span.first_ms) // length_ms + 1
    judged = verdicts(lake, series.venue, series.interval).get(series.symbol)
    state = "not judged yet" if judged is None else STATES[judged.verdict]
    why = "run tribar quality" if judged is None else "; ".join(judged.reasons)
    return (
        *names,
        span.rows,
        span.first_ms,
        span.last_ms + length_ms,
        round(expected * length_ms / DAY_MS, 1),
        round(span.rows / expected, 4),
        state,
        why,
    )


def quality(*, symbol: Symbols = None, interval: str | None = None, json: JsonFile = None) -> int:
    """Judge the lake's candles, symbol by symbol: pass, warn or fail, with reasons.

    Exit code 0 where at least one symbol may be trained on, 1 where none may.

    Parameters
    ----------
    symbol
        Venue ids; those of configs/flows.toml where not given.
    interval
        Bar length: 1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d.
    json
        Write what was found to this file, for machines.
    """
    settings = load_settings()
    parameters = {
        "symbols": split_symbols(symbol) or list(settings.data.symbols),
        "interval": interval or settings.data.interval,
    }
    outcome = run_served(settings, "quality", parameters)
    write_json(json, {"page": outcome.page, **outcome.result})
    _show(outcome.result)
    return 0 if any(found["verdict"] != "fail" for found in outcome.result.values()) else 1


def _day(time_ms: object) -> str:
    return instant(time_ms)[:10] if isinstance(time_ms, int) else ""


def _import(
    settings: Settings, folder: Path, venue: str, reading: Reading, json: Path | None
) -> int:
    lake = Lake(settings.paths.lake)
    with Stages(console()).stage("Import") as stage:

        def tell(name: str, fraction: float, note: str) -> None:
            stage.advance(fraction, 1.0, f"{name} {note}")

        found = import_files(lake, folder, venue, reading=reading, on_progress=tell)
        stage.say(f"{sum(one.inserted for one in found):,} new rows from {folder}")
    rows = [asdict(one) for one in found]
    write_json(json, rows)
    names = ("symbol", "interval", "kind", "rows", "inserted", "restated", "differing")
    console().print(table("", names, [tuple(row[name] for name in names) for row in rows]))
    return 0


def _columns(given: tuple[str, ...]) -> dict[str, str]:
    """Return `ours=theirs` pairs as a mapping."""
    pairs = {}
    for text in given:
        ours, mark, theirs = text.partition("=")
        if not mark or not theirs:
            raise InputError(f"--column: {text!r} is no pair such as time=Date")
        pairs[ours.strip()] = theirs.strip()
    return pairs


def _show(result: Any) -> None:
    """Print one row a symbol, with the columns that the flow returned."""
    names = list(dict.fromkeys(name for found in result.values() for name in found))
    rows = [
        (symbol, *("; ".join(v) if isinstance(v := found.get(n), list) else v for n in names))
        for symbol, found in result.items()
    ]
    console().print(table("", ("symbol", *names), rows))
