"""The commands around candles: `ingest`, `quality`, `coverage`.

Decides how their outcome is shown. Never fetches or judges a candle itself: the flows and the lake
do.
Rule: a symbol that cannot be used comes with the reason.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from features.errors import InputError
from features.intervals import interval_ms
from flows.champion_symbols import champion_symbols
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
from flows.lake.coverage import Goals
from flows.lake.coverage import coverage as covered
from flows.lake.fileread import Reading
from flows.lake.files import import_files
from flows.lake.store import Lake
from flows.lake.universe import history
from flows.settings import Settings, load_settings
from flows.shown.terminal import Stages

DAY_MS = 86_400_000
WORDS = ("reasons", "error", "note")  # what the flows return in words
STATUSES = ("covered", "short", "untrained", "blocked")
COVERAGE = (
    "venue",
    "symbol",
    "interval",
    "bars",
    "from",
    "to",
    "days",
    "share",
    "status",
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
        For files whose times name no zone, or lack an hour when clocks go forward: they are UTC.
    venue
        For files: the venue that the candles are of; [venue] id where not given.
    symbol
        Venue ids; the universe of configs/flows.toml where not given.
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
    if interval is not None:
        interval_ms(interval)
    if from_files is not None:
        reading = Reading(columns=_columns(column), naive_is_utc=naive_is_utc, now_ms=now_ms())
        return _import(settings, from_files, venue or settings.venue.id, reading, json)
    parameters: dict[str, Any] = {
        "symbols": split_symbols(symbol),
        "interval": interval or settings.data.interval,
        "start_ms": now_ms() - (days or settings.data.days) * DAY_MS,
    }
    outcome = run_served(settings, "ingest", parameters)
    write_json(json, {"page": outcome.page, **outcome.result})
    _show(outcome.result)
    return 0


def coverage(*, json: JsonFile = None) -> int:
    """Say of each symbol: covered, short, untrained or blocked, and why.

    covered: enough history, passed by `tribar quality`. short: may be trained on, with fewer days
    than wanted. untrained: may be trained on, but the champion does not know it. blocked: kept out
    of training. What is wanted and what is the least: [coverage] and [quality] of
    configs/flows.toml.
    """
    settings = load_settings()
    lake = Lake(settings.paths.lake)
    goals = Goals(
        days=settings.coverage.days,
        days_min=settings.quality.history_days_min,
        coverage_min=settings.quality.coverage_min,
    )
    trained = champion_symbols(settings)
    held = _held(lake, settings)
    rows = [
        line
        for (venue, interval), symbols in held.items()
        for line in _lines(lake, settings, goals, trained, venue, interval, symbols)
    ]
    write_json(json, [dict(zip(COVERAGE, row, strict=True)) for row in rows])
    if all(row[3] == 0 for row in rows):
        console().print("The lake is empty. Fetch candles with [bold]tribar ingest[/].")
        return 0
    for venue in dict.fromkeys(venue for venue, _ in held):
        mine = [
            (*row[1:3], row[8], f"{row[6]:,.0f}", f"{row[7]:.2%}", _day(row[4]), _day(row[5]))
            for row in rows
            if row[0] == venue
        ]
        names = ("symbol", "interval", "status", "days", "bars there", "from", "to")
        console().print(table(venue, names, mine))
        _reasons((f"{row[1]} {row[2]}", row[9].split("; ")) for row in rows if row[0] == venue)
    counts = Counter(str(row[8]) for row in rows)
    told = ", ".join(f"{counts[word]} {word}" for word in STATUSES if counts[word])
    console().print(
        f"{told}. Wanted: {goals.days:g} days; at least {goals.days_min:g} days and "
        f"{goals.coverage_min:.0%} of the bars."
    )
    if trained is None:
        console().print("No MLflow runs, so nobody knows a champion and none counts as untrained.")
    return 0


def _held(lake: Lake, settings: Settings) -> dict[tuple[str, str], list[str]]:
    """Return the symbols by venue and interval: the configured ones first, then what is stored."""
    where = settings.venue.id, settings.data.interval
    chosen = None if settings.universe.mode == "fixed" else history(lake, where[0], now_ms())
    wanted = list(settings.data.symbols) if chosen is None else [m.symbol for m in chosen[1]]
    held = {where: wanted}
    for series in lake.series():
        symbols = held.setdefault((series.venue, series.interval), [])
        if series.symbol not in symbols:
            symbols.append(series.symbol)
    return held


def _lines(
    lake: Lake,
    settings: Settings,
    goals: Goals,
    trained: frozenset[str] | None,
    venue: str,
    interval: str,
    symbols: list[str],
) -> list[tuple[Any, ...]]:
    """Return a line a symbol, in the order of :data:`COVERAGE`."""
    is_traded = (venue, interval) == (settings.venue.id, settings.data.interval)
    found = covered(
        lake,
        venue,
        symbols,
        interval,
        goals=goals,
        verdicts=verdicts(lake, venue, interval),
        trained=trained if is_traded else None,
    )
    length_ms = interval_ms(interval)
    return [
        (
            venue,
            one.symbol,
            interval,
            one.bars,
            one.first_ms,
            None if one.last_ms is None else one.last_ms + length_ms,
            round(one.history_days, 1),
            round(one.coverage, 4),
            one.status,
            one.reason,
        )
        for one in found
    ]


def quality(*, symbol: Symbols = None, interval: str | None = None, json: JsonFile = None) -> int:
    """Judge the lake's candles, symbol by symbol: pass, warn or fail, with reasons.

    Exit code 0 where at least one symbol may be trained on, 1 where none may.

    Parameters
    ----------
    symbol
        Venue ids; the universe of configs/flows.toml where not given.
    interval
        Bar length: 1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d.
    json
        Write what was found to this file, for machines.
    """
    settings = load_settings()
    interval_ms(interval or settings.data.interval)
    parameters = {
        "symbols": split_symbols(symbol),
        "interval": interval or settings.data.interval,
    }
    outcome = run_served(settings, "quality", parameters)
    write_json(json, {"page": outcome.page, **outcome.result})
    _show(outcome.result)
    reports = settings.paths.reports
    console().print(f"Data Docs: {reports / 'data_docs/index.html'}", soft_wrap=True)
    console().print(f"Calendar of defects: {reports / 'quality.png'}", soft_wrap=True)
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


def _show(result: Mapping[str, Any]) -> None:
    """Print one row a symbol with the figures that the flow returned; what is in words, below."""
    names = list(dict.fromkeys(name for found in result.values() for name in found))
    figures = [name for name in names if name not in WORDS]
    rows = [
        (symbol, *(_figure(n, found.get(n)) for n in figures)) for symbol, found in result.items()
    ]
    titles = [name.removesuffix("_ms").removesuffix("_inserted") for name in figures]
    titles = [title.replace("_", " ") for title in titles]
    console().print(table("", ("symbol", *titles), rows))
    _reasons(
        (symbol, [line for name in WORDS if (said := found.get(name)) for line in _listed(said)])
        for symbol, found in result.items()
    )


def _figure(name: str, value: Any) -> Any:
    return _day(value) if name.endswith("_ms") else value


def _listed(said: str | list[str]) -> list[str]:
    return [said] if isinstance(said, str) else said


def _reasons(lines: Iterable[tuple[str, list[str]]]) -> None:
    """Print the reasons of each name on lines of their own: no column is wide enough for them."""
    for name, reasons in lines:
        for reason in filter(None, reasons):
            console().print(f"  [bold]{name}[/]  {escape(reason)}", soft_wrap=True)
