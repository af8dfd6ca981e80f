"""The whole catalog: a history compiled, and bar by bar interpreted beside talipp (DESIGN §8).

As a program it measures ours: ``python -m tests.benchmarks.bench_features BARS.npz REPS``.
"""

import sys
from pathlib import Path

import numpy as np

from features.batch import feature_matrix
from features.catalog import Catalog, default_catalog
from features.stream import FeatureStream
from features.types import Candle, Candles, Funding
from tests.benchmarks.bench_labels import candles_of
from tests.benchmarks.data import write_bars
from tests.benchmarks.measure import cpu_seconds, report, versions
from tests.benchmarks.suite import Contender, Report, Row, script

ROWS = 1_000_000
STREAMED = 3_000
SYMBOLS = 200
FUNDED_MS = 28_800_000
# The same six kinds of indicator that talipp streams.
SIX = ("ema_z_48", "rsi_14", "macd_histogram_9", "bollinger_b_20", "atr_14", "adx_14")


def stream(catalog: Catalog, candles: Candles, history: list[Candle]) -> float:
    """Feed ``history`` to a fresh stream; return the last row's sum."""
    one = FeatureStream(catalog, candles.interval_ms)
    row = np.empty(0)
    for candle in history:
        row = one.update(candle, 0.0001 if candle.open_ms % FUNDED_MS == 0 else None)
    return float(row.sum())


def ours(bars: dict[str, np.ndarray], reps: int) -> None:
    candles, catalog = candles_of(bars), default_catalog()
    times = np.arange(0, int(candles.open_ms[-1]) + 1, FUNDED_MS, dtype=np.int64)
    funding = Funding(time_ms=times, rate=np.full(times.size, 0.0001))
    seconds = cpu_seconds(lambda: feature_matrix(candles, catalog, funding), min(reps, 2))
    report(
        "batch",
        seconds,
        units=ROWS,
        reps=reps,
        features=len(catalog.names),
        versions=versions("numba", "numpy"),
    )
    history = [candles.candle(row) for row in range(STREAMED)]
    seconds = cpu_seconds(lambda: stream(catalog, candles, history), min(reps, 3))
    report("stream", seconds, units=STREAMED, reps=reps)
    six = catalog.subset(SIX)
    seconds = cpu_seconds(lambda: stream(six, candles, history), min(reps, 3))
    report("stream six", seconds, units=STREAMED, reps=reps)
    many = [FeatureStream(catalog, candles.interval_ms) for _ in range(SYMBOLS)]
    upcoming = iter(history)

    def close() -> None:
        candle = next(upcoming)
        for one in many:
            one.update(candle, None)

    for _ in range(20):
        close()
    report("close", cpu_seconds(close, 20), units=1, reps=20)


def run(folder: Path, rounds: int, reps: int) -> Report:
    """Measure ours and talipp on the same bars."""
    path = str(write_bars(folder, ROWS))
    found = Report(f"features: {ROWS:,} one-minute bars compiled, single bars interpreted")
    found.measure(
        [
            Contender("ours", ("-m", "tests.benchmarks.bench_features", path, str(reps))),
            Contender("peers", (script("peer_indicators.py"), "talipp", path, str(reps))),
        ],
        rounds,
    )
    if "batch" in found.cases:
        count, seconds = found.cases["batch"]["features"], found.cases["batch"]["seconds"]
        what = f"batch, {count} features × {ROWS:,} bars"
        met = count >= 40 and seconds <= 1.0
        found.rows.append(Row(what, f"{seconds:.2f} s", "≥ 40 features, ≤ 1 s", met))
        found.time(f"stream, {count} features", "stream", "bar", "≤ 150 µs", 150e-6)
        found.time(f"{SYMBOLS} symbols in one close", "close", "close", "≤ 50 ms", 50e-3)
    found.time("stream, six indicators", "stream six", "bar")
    found.time("talipp, six indicators", "talipp six", "bar")
    found.ratio("talipp / ours, six indicators", "talipp six", "stream six")
    return found


if __name__ == "__main__":
    ours(dict(np.load(sys.argv[1])), int(sys.argv[2]))
