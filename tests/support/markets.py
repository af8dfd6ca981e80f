"""Small hostile markets for tests of labels: gaps, flats, jumps, tiny and huge prices."""

import numpy as np

from features.types import Candles

MINUTE = 60_000


def market(
    rng: np.random.Generator,
    bars: int,
    *,
    interval_ms: int = 15 * MINUTE,
    price: float = 100.0,
    deviation: float = 0.01,
    gaps: bool = False,
    flat: bool = False,
    holes: bool = False,
) -> Candles:
    """Return ``bars`` bars; ``gaps`` jump between close and open, ``holes`` leave bars out."""
    steps = np.zeros(bars) if flat else rng.standard_normal(bars) * deviation
    close = price * np.exp(np.cumsum(steps))
    open_ = np.concatenate(([price], close[:-1]))
    if gaps:
        open_ = open_ * np.exp(rng.standard_normal(bars) * deviation * (rng.random(bars) < 0.3))
    wick = np.zeros(bars) if flat else np.abs(rng.standard_normal((2, bars))) * deviation
    high = np.maximum(open_, close) * np.exp(wick[0] if not flat else 0.0)
    low = np.minimum(open_, close) * np.exp(-wick[1] if not flat else 0.0)
    index = np.arange(bars, dtype=np.int64)
    if holes:
        index = index + np.cumsum(rng.random(bars) < 0.1) * 3
    return Candles(
        interval_ms=interval_ms,
        open_ms=index * interval_ms + 1_700_000_000_000 // interval_ms * interval_ms,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=np.ones(bars),
    )
