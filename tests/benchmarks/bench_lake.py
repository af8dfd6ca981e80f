"""The lake at the sizes its users have: ten million bars in, described, and a year read back.

As a program it measures ours: ``python -m tests.benchmarks.bench_lake FOLDER REPS``. These goals
are seconds that a person waits, so wall time counts here, disk and both cores included.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from features.synthetic import simulate_market
from flows.lake.assess import assess
from flows.lake.defects import Rules
from flows.lake.files import import_files
from flows.lake.heatmap import calendar
from flows.lake.profile import Inputs, profile
from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import CANDLES
from flows.lake.verdict import Thresholds
from tests.benchmarks.measure import report, versions
from tests.benchmarks.suite import Contender, Report, Row

BARS = 10_000_000
SYMBOLS = 20
MINUTE_MS, QUARTER_MS, DAY_MS = 60_000, 900_000, 86_400_000
START_MS = 1_640_995_200_000
YEAR_BARS = 365 * 1440
TWO_YEARS = 2 * 365 * 96


def wall_seconds(work: Callable[[], object], reps: int) -> float:
    """Return the least wall time of ``reps`` calls."""
    best = float("inf")
    for _ in range(reps):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best


def minutes(seed: int, bars: int) -> pl.DataFrame:
    """Return valid one-minute bars, quickly made."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 5e-4, bars)))
    start = np.concatenate([[100.0], close[:-1]])
    return pl.DataFrame(
        {
            "timestamp": START_MS + MINUTE_MS * np.arange(bars),
            "open": start,
            "high": np.maximum(start, close) * 1.0002,
            "low": np.minimum(start, close) * 0.9998,
            "close": close,
            "volume": rng.lognormal(3, 0.5, bars),
        }
    )


def ours(folder: Path, reps: int) -> None:
    """Import, profile, read and judge; prints a line each."""
    source = folder / "files"
    source.mkdir(exist_ok=True)
    for number in range(SYMBOLS):
        minutes(number, BARS // SYMBOLS).write_parquet(source / f"S{number}USDT-1m.parquet")
    rounds = iter(range(1000))

    def imported() -> None:
        import_files(Lake(folder / f"lake{next(rounds)}"), source, "bybit")

    used = versions("polars", "deltalake", "great-expectations")
    report("import", wall_seconds(imported, min(reps, 2)), units=BARS, reps=reps, versions=used)
    whole = minutes(1, BARS).rename({"timestamp": "open_ms"})
    inputs = Inputs(step_ms=MINUTE_MS, candles=whole)
    report(
        "profile",
        wall_seconds(lambda: profile(inputs, Rules()), min(reps, 3)),
        units=BARS,
        reps=reps,
    )
    lake = Lake(folder / "year")
    lake.upsert_candles("bybit", "BTCUSDT", "1m", whole.head(3 * YEAR_BARS))
    end_ms = START_MS + 2 * YEAR_BARS * MINUTE_MS

    def read() -> None:
        found = lake.candles("bybit", "BTCUSDT", "1m", end_ms - YEAR_BARS * MINUTE_MS, end_ms)
        if found.n != YEAR_BARS:
            raise RuntimeError(f"{found.n} bars instead of {YEAR_BARS}")

    report("read", wall_seconds(read, reps + 2), units=YEAR_BARS, reps=reps)
    judged(folder, reps)


def judged(folder: Path, reps: int) -> None:
    """Time the quality of three symbols over two years of 15m, Great Expectations' import too."""
    lake = Lake(folder / "judged")
    markets = simulate_market(
        np.random.default_rng(7), symbols=3, bars=TWO_YEARS, interval_ms=QUARTER_MS,
        start_ms=START_MS,
    )  # fmt: skip
    names = [f"S{number}USDT" for number in range(len(markets))]
    for name, market in zip(names, markets, strict=True):
        columns = {c: getattr(market.candles, c) for c in ("open_ms", *CANDLES.values)}
        lake.upsert_candles("bybit", name, "15m", pl.DataFrame(columns))
        funding = {"time_ms": market.funding.time_ms, "rate": market.funding.rate}
        lake.upsert_funding("bybit", name, pl.DataFrame(funding))
    begun = time.perf_counter()
    from flows.lake.suite import document  # noqa: PLC0415 - its import is part of what is timed

    found = assess(lake, "bybit", names, "15m", rules=Rules(), limits=Thresholds())
    days = {name: one.days for name, one in found.items()}
    document(days, {name: one.checks for name, one in found.items()}, folder / "docs")
    calendar(days, "quality", folder / "quality.png", Thresholds())
    seconds = time.perf_counter() - begun
    rows = lake.span(CANDLES, series_of("bybit", names[0], "15m"))
    report("quality", seconds, units=3 * (rows.rows if rows else 0), reps=1)


def run(folder: Path, rounds: int, reps: int) -> Report:
    """Measure ours; nobody else's lake does the same work."""
    where = folder / "lake"
    where.mkdir(exist_ok=True)
    found = Report("lake: seconds a person waits, on this machine as loaded as it is")
    command = ("-m", "tests.benchmarks.bench_lake", str(where), str(reps))
    found.measure([Contender("ours", command)], min(rounds, 1))
    for case, what, most in (
        ("import", f"{BARS:,} bars imported from {SYMBOLS} Parquet files", 30.0),
        ("profile", f"{BARS:,} bars described by day", 5.0),
        ("read", "one symbol's year of 1m bars read", 0.2),
        ("quality", "3 symbols × 2 years of 15m judged, with Data Docs", 20.0),
    ):
        if case in found.cases:
            seconds = found.cases[case]["seconds"]
            found.rows.append(Row(what, f"{seconds:.2f} s", f"≤ {most:g} s", seconds <= most))
    return found


if __name__ == "__main__":
    ours(Path(sys.argv[1]), int(sys.argv[2]))
