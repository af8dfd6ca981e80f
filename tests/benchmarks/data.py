"""One-minute bars for the benchmarks: about 60 % volatility a year that itself wanders.

Seeded, so that every contender and every run sees the same numbers.
"""

from pathlib import Path

import numpy as np

MINUTES_A_YEAR = 525_600


def minute_bars(n: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Return columns open, high, low, close, volume, volatility and side of ``n`` bars."""
    rng = np.random.default_rng(seed)
    hours = n // 60 + 2
    shocks = rng.standard_normal(hours) * 0.08
    log_level = np.empty(hours)
    level = 0.0
    for hour in range(hours):
        level = 0.985 * level + shocks[hour]
        log_level[hour] = level
    volatility = 0.6 / np.sqrt(MINUTES_A_YEAR) * np.exp(np.repeat(log_level, 60)[:n])
    close = 30_000.0 * np.exp(np.cumsum(volatility * rng.standard_normal(n)))
    open_ = np.concatenate(([30_000.0], close[:-1]))
    upper = np.exp(np.abs(rng.standard_normal(n)) * volatility * 0.5)
    lower = np.exp(-np.abs(rng.standard_normal(n)) * volatility * 0.5)
    return {
        "open": open_,
        "high": np.maximum(open_, close) * upper,
        "low": np.minimum(open_, close) * lower,
        "close": close,
        "volume": rng.lognormal(2.0, 1.0, n),
        "volatility": volatility,
        "side": np.where(rng.random(n) < 0.5, 1, -1).astype(np.int8),
    }


def write_bars(folder: Path, n: int) -> Path:
    """Write ``n`` bars where every contender can read them."""
    path = folder / f"bars-{n}.npz"
    if not path.exists():
        np.savez(path, **minute_bars(n))
    return path
