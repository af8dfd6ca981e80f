"""Single indicators, compiled, beside TA-Lib's C over the same bars (DESIGN §8).

As a program it measures ours: ``python -m tests.benchmarks.bench_indicators BARS.npz REPS``. Where
a kernel gives more than the indicator (ADX with both DI), all of it is part of its time.
"""

import math
import statistics
import sys
from pathlib import Path

import numpy as np

from features.batch import _array, _driver
from features.kernels.registry import KERNELS
from tests.benchmarks.data import write_bars
from tests.benchmarks.measure import cpu_seconds, report, versions
from tests.benchmarks.suite import Contender, Report, Row, script

ROWS = 1_000_000
# TA-Lib's function and parameters; our kernel, its parameters and the columns it reads.
PAIRS: dict[str, tuple[str, tuple[int, ...], tuple[str, ...]]] = {
    "EMA 50": ("ema", (50,), ("close",)),
    "SMA 20": ("rolling_mean", (20,), ("close", "index")),
    "STDDEV 20": ("rolling_deviation", (20,), ("close", "index")),
    "BBANDS 20": ("bollinger", (20,), ("close", "index")),
    "RSI 14": ("rsi", (14,), ("close",)),
    "MACD 12 26 9": ("macd", (12, 26, 9), ("close",)),
    "ATR 14": ("atr", (14,), ("high", "low", "close")),
    "ADX 14": ("adx", (14,), ("high", "low", "close")),
    "MAX 48": ("rolling_max", (48,), ("close",)),
    "MIN 48": ("rolling_min", (48,), ("close",)),
}


def ours(bars: dict[str, np.ndarray], reps: int) -> None:
    """Run each kernel in the loop in which the batch engine runs it, over all bars at once."""
    columns = bars | {"index": np.arange(ROWS, dtype=np.int64)}
    for name, (kernel_name, parameters, inputs) in PAIRS.items():
        kernel = KERNELS[kernel_name]
        given = [columns[column] for column in inputs]

        def work(kernel=kernel, parameters=parameters, given=given) -> np.ndarray:
            out = np.empty((kernel.outputs, ROWS))
            begun = kernel.start(*parameters)
            state = (begun[0], _array(begun[1])) if kernel.ringed else (begun,)
            _driver(kernel)(*state, ROWS, out, *given)
            return out

        seconds = cpu_seconds(work, reps)
        report(f"ours {name}", seconds, units=ROWS, reps=reps, versions=versions("numba", "numpy"))


def run(folder: Path, rounds: int, reps: int) -> Report:
    """Measure ours and TA-Lib's on the same bars."""
    path = str(write_bars(folder, ROWS))
    found = Report(f"indicators: {ROWS:,} one-minute bars, ours / TA-Lib's C")
    found.measure(
        [
            Contender("ours", ("-m", "tests.benchmarks.bench_indicators", path, str(reps))),
            Contender("peers", (script("peer_indicators.py"), "talib", path, str(reps))),
        ],
        rounds,
    )
    ratios = []
    for name in PAIRS:
        mine, theirs = found.per_unit(f"ours {name}"), found.per_unit(f"talib {name}")
        ratio = mine / theirs
        if math.isnan(ratio):
            found.rows.append(Row(name, "not measured"))
            continue
        value = f"{mine * 1e9:.1f} / {theirs * 1e9:.1f} ns = {ratio:.2f}×"
        ratios.append(ratio)
        found.rows.append(Row(name, value, "≤ 2.5×", ratio <= 2.5))
    if ratios:
        middle = statistics.median(ratios)
        found.rows.append(Row("median", f"{middle:.2f}×", "≤ 1.5×", middle <= 1.5))
    return found


if __name__ == "__main__":
    ours(dict(np.load(sys.argv[1])), int(sys.argv[2]))
