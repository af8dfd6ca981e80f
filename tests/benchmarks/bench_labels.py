"""Triple-barrier labels and their weights beside the peers (DESIGN §8).

As a program it measures ours: ``python -m tests.benchmarks.bench_labels CASE BARS.npz REPS``.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from features.costs import Costs, FlatFunding
from features.exit_plan import ExitPlan
from features.labels import Barriers, Labels, triple_barrier
from features.types import Candles
from features.weights import average_uniqueness
from tests.benchmarks.data import minute_bars, write_bars
from tests.benchmarks.measure import cpu_seconds, peak_bytes, report, versions
from tests.benchmarks.suite import Contender, Report, Row, script

ROWS = 1_000_000
ROWS_MEMORY = 10_000_000
GIB = 1 << 30
LADDER = ExitPlan(partial_fraction=0.4, break_even=True, trail=1.0, trail_from=0.5)


def candles_of(bars: dict[str, np.ndarray]) -> Candles:
    close = bars["close"]
    columns = {name: bars[name] for name in ("open", "high", "low", "close", "volume")}
    open_ms = np.arange(close.size, dtype=np.int64) * 60_000
    return Candles(interval_ms=60_000, open_ms=open_ms, **columns)


def labeller(bars: dict[str, np.ndarray]) -> Callable[[int, ExitPlan | None], Labels]:
    """Return what labels an event on every bar, with all costs; the input is made once."""
    candles = candles_of(bars)
    events = np.arange(candles.n, dtype=np.int64)

    def label(horizon: int, plan: ExitPlan | None = None) -> Labels:
        return triple_barrier(
            candles,
            events,
            bars["side"],
            Barriers(horizon_bars=horizon),
            Costs(),
            FlatFunding(rate=0.0001),
            volatility=bars["volatility"],
            plan=plan,
            tick=0.1,
        )

    return label


def labels(bars: dict[str, np.ndarray], reps: int) -> None:
    label = labeller(bars)
    cases = (
        ("ours 1440", 1_440, None, reps),
        ("ours 10080", 10_080, None, reps),
        ("ours plan", 1_440, LADDER, 1),
    )
    for case, horizon, plan, count in cases:
        seconds = cpu_seconds(partial(label, horizon, plan), count)
        report(case, seconds, units=ROWS, reps=count, versions=versions("numpy", "numba", "tribar"))


def uniqueness(bars: dict[str, np.ndarray], reps: int) -> None:
    spans = labeller(bars)(1_440, None)
    seconds = cpu_seconds(lambda: average_uniqueness(spans.start_ms, spans.end_ms, 60_000), reps)
    report("uniqueness", seconds, units=spans.event.size, reps=reps)


def memory() -> None:
    """Label ten million events in a process of its own and report the most memory it held."""
    bars = minute_bars(ROWS_MEMORY)
    made = peak_bytes()
    columns = sum(column.nbytes for column in bars.values())
    found = labeller(bars)(1_440, None)
    report(
        "memory", 0.0, units=found.event.size, reps=1, peak=peak_bytes(), before=made, data=columns
    )


def run(folder: Path, rounds: int, reps: int) -> Report:
    """Measure all contenders on the same bars."""
    path = str(write_bars(folder, ROWS))
    module = ("-m", "tests.benchmarks.bench_labels")
    found = Report(f"labels: {ROWS:,} one-minute bars, an event on every bar, 2 % / 1 %")
    found.measure(
        [
            Contender("ours", (*module, "labels", path, str(reps))),
            Contender("peers", (script("peer_labels.py"), "vectorbt", path, str(reps))),
            Contender("peers", (script("peer_labels.py"), "pymlfinance", path, str(reps))),
        ],
        rounds,
    )
    found.measure(
        [
            Contender("mlfinpy", (script("peer_labels.py"), "mlfinpy", path, "1")),
            Contender("ours", (*module, "uniqueness", path, str(reps))),
            Contender("ours", (*module, "memory", "-", "1")),
        ],
        1,
    )
    found.time("ours, h = 1440, all costs", "ours 1440", "event")
    found.time("ours, h = 10080, all costs", "ours 10080", "event")
    found.time("ours, exit plan walked bar by bar, h = 1440", "ours plan", "event")
    found.time("vectorbt BOLB, close only, label only", "vectorbt", "event")
    found.time("pymlfinance, close only", "pymlfinance", "event")
    found.time("mlfinpy, close only, 2,000 events", "mlfinpy", "event")
    found.time("average uniqueness", "uniqueness", "event")
    found.ratio("vectorbt / ours", "vectorbt", "ours 1440", least=4.0)
    found.ratio("pymlfinance / ours", "pymlfinance", "ours 1440", least=8.0)
    found.ratio("mlfinpy / ours", "mlfinpy", "ours 1440", least=1_000.0)
    found.ratio("h = 10080 / h = 1440", "ours 10080", "ours 1440", most=1.2)
    if "memory" in found.cases:
        peak = found.cases["memory"]["peak"]
        what = f"most memory, {ROWS_MEMORY:,} events with their bars"
        found.rows.append(Row(what, f"{peak / GIB:.2f} GiB", "≤ 2 GB", peak <= 2e9))
    return found


if __name__ == "__main__":
    case, bars_path, repetitions = sys.argv[1:4]
    if case == "memory":
        memory()
    else:
        {"labels": labels, "uniqueness": uniqueness}[case](
            dict(np.load(bars_path)), int(repetitions)
        )
