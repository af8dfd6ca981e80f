"""Single indicators, compiled, beside TA-Lib's C over the same bars (DESIGN §8).

As a program it measures ours: ``python -m tests.benchmarks.bench_indicators BARS.npz REPS``. Where
a kernel gives a ratio and TA-Lib the indicator itself, the kernel's division is part of its time.
"""

import math
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from features.compiled import compiled
from features.kernels import moving, windows
from features.kernels.moving import ema
from tests.benchmarks.data import write_bars
from tests.benchmarks.measure import cpu_seconds, report, versions
from tests.benchmarks.suite import Contender, Report, Row, script

ROWS = 1_000_000
# Name of the TA-Lib function beside our kernel, its start, its length and the values it keeps.
KERNELS: dict[str, tuple[Callable[..., Any], Any, int, int]] = {
    "RSI 14": (moving.rsi, moving.RSI_START, 14, 1),
    "NATR 14": (moving.atr, moving.ATR_START, 14, 1),
    "ADX 14": (moving.adx, moving.ADX_START, 14, 1),
    "MACD 12 26 9": (moving.macd_histogram, moving.MACD_START, 9, 1),
    "BBANDS 20": (windows.bollinger_width, windows.MOMENTS_START, 20, 20),
    "MINMAX 48": (windows.donchian, windows.COUNT_START, 48, 48),
}


def driven(name: str, kernel: Callable[..., Any], start: Any) -> Callable[..., np.ndarray]:
    """Return the compiled loop of one kernel over columns of bars."""

    def drive(n, ring, index, open_, high, low, close, volume):
        out = np.empty(close.size)
        state = start
        for i in range(close.size):
            state, out[i] = kernel(
                state, ring, n, index[i], open_[i], high[i], low[i], close[i], volume[i]
            )
        return out

    drive.__name__ = drive.__qualname__ = f"bench_{name.split(maxsplit=1)[0].lower()}"
    return compiled(drive)


def average(n: int, close: np.ndarray) -> np.ndarray:
    """Return the EMA of the closes."""
    out = np.empty(close.size)
    state = (0, 0.0)
    for i in range(close.size):
        state, out[i] = ema(state, n, close[i])
    return out


def ours(bars: dict[str, np.ndarray], reps: int) -> None:
    columns = [bars[name] for name in ("open", "high", "low", "close", "volume")]
    index = np.arange(ROWS, dtype=np.int64)
    seconds = cpu_seconds(partial(compiled(average), 50, bars["close"]), reps)
    report("ours EMA 50", seconds, units=ROWS, reps=reps, versions=versions("numba", "numpy"))
    for name, (kernel, start, n, ring) in KERNELS.items():
        work = partial(driven(name, kernel, start), n, np.zeros(ring), index, *columns)
        report(f"ours {name}", cpu_seconds(work, reps), units=ROWS, reps=reps)


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
    for name in ("EMA 50", *KERNELS):
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
