"""A project with a lake of simulated candles, for tests of the research flows."""

import numpy as np
import polars as pl

from features.synthetic import simulate_market
from flows.lake.store import Lake

START_MS = 1_704_067_200_000
INTERVAL_MS = 900_000


def fill_lake(lake: Lake, symbols, *, bars=12_500, seed=5, momentum=0.06, funding=True):
    """Store simulated histories of ``symbols`` as if ingested from bybit."""
    histories = simulate_market(
        np.random.default_rng(seed),
        symbols=len(symbols),
        bars=bars,
        interval_ms=INTERVAL_MS,
        start_ms=START_MS,
        momentum=momentum,
    )
    for symbol, history in zip(symbols, histories, strict=True):
        c = history.candles
        columns = ("open_ms", "open", "high", "low", "close", "volume")
        frame = pl.DataFrame({name: getattr(c, name) for name in columns})
        lake.upsert_candles("bybit", symbol, "15m", frame)
        if funding:
            paid = {"time_ms": history.funding.time_ms, "rate": history.funding.rate}
            lake.upsert_funding("bybit", symbol, pl.DataFrame(paid))
