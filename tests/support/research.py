"""Hand-made rows for tests of research: labels that depend on the first column by a known rule."""

import numpy as np

from flows.research.samples import Samples
from flows.research.table import Table

BAR_MS = 900_000
START_MS = 1_700_000_100_000 // BAR_MS * BAR_MS


def made_samples(seed=0, n=3000, symbols=("AAAUSDT", "BBBUSDT"), strength=1.5, hold=20):
    """Return samples in time order, overlapping, with P(win) = σ(strength·x₀ − 0.4)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6))
    p = 1 / (1 + np.exp(-(strength * x[:, 0] - 0.4)))
    label = (rng.random(n) < p).astype(np.int8)
    net = np.where(label == 1, 0.018, -0.012) * rng.uniform(0.8, 1.2, n)
    symbol = rng.integers(0, len(symbols), n)
    entry = np.sort(rng.integers(0, n * 5, n)).astype(np.int64)
    leave = entry + rng.integers(1, hold, n)
    start = START_MS + entry * BAR_MS
    return Samples(
        names=tuple(f"x{i}" for i in range(6)),
        symbols=tuple(symbols),
        left_out={},
        x=Table(x),
        label=label,
        net=net,
        gross=net + 0.0015,
        weight=np.full(n, 0.5),
        symbol=symbol.astype(np.int64),
        side=np.where(rng.random(n) < 0.5, 1, -1).astype(np.int8),
        reason=np.where(label == 1, 1, 2).astype(np.int8),
        ambiguous=np.zeros(n, dtype=np.bool_),
        volatility=np.abs(rng.normal(0.002, 0.0005, n)),
        entry_index=entry,
        exit_index=leave,
        entry_price=np.full(n, 100.0),
        start_ms=start,
        end_ms=start + (leave - entry) * BAR_MS,
    )
