"""Candles for tests of the features: real, simulated, and hostile."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from features.catalog import Catalog
from features.funding import settled_between
from features.stream import FeatureStream
from features.synthetic import simulate_market
from features.types import Candles, FloatArray, Funding

INTERVAL_MS = 900_000
START_MS = 1_699_999_200_000
COLUMNS = ("open", "high", "low", "close", "volume")
NO_FUNDING = Funding(time_ms=np.empty(0, np.int64), rate=np.empty(0, np.float64))


def real_candles(path: Path, interval_ms: int) -> Candles:
    """Return the candles of a Parquet file of the shared data."""
    table = pq.read_table(path).to_pydict()
    columns = {name: np.array(table[name]) for name in COLUMNS}
    return Candles(interval_ms=interval_ms, open_ms=np.array(table["timestamp"]), **columns)


def real_funding(path: Path) -> Funding:
    """Return the settlements of a Parquet file of the shared data."""
    table = pq.read_table(path).to_pydict()
    return Funding(time_ms=np.array(table["timestamp"]), rate=np.array(table["funding_rate"]))


def simulated(bars: int, seed: int = 3, interval_ms: int = INTERVAL_MS) -> tuple[Candles, Funding]:
    """Return one simulated symbol."""
    start_ms = START_MS // interval_ms * interval_ms
    one = simulate_market(
        np.random.default_rng(seed),
        symbols=1,
        bars=bars,
        interval_ms=interval_ms,
        start_ms=start_ms,
    )[0]
    return one.candles, one.funding


def rows(candles: Candles, keep: np.ndarray) -> Candles:
    """Return only these rows."""
    columns = {name: getattr(candles, name)[keep] for name in COLUMNS}
    return Candles(interval_ms=candles.interval_ms, open_ms=candles.open_ms[keep], **columns)


def without(candles: Candles, lost: list[int]) -> Candles:
    """Return the candles with a gap where ``lost`` rows were."""
    return rows(candles, np.setdiff1d(np.arange(candles.n), lost))


def hostile(rng: np.random.Generator, bars: int, interval_ms: int = INTERVAL_MS) -> Candles:
    """Return candles in stretches that are flat, silent, calm, wild or gone, at any price level."""
    price = 10.0 ** rng.uniform(-9.0, 12.0)
    volume_level = 10.0 ** rng.uniform(-8.0, 12.0)
    index = START_MS // interval_ms + int(rng.integers(0, 2_000))
    out: list[tuple[float, ...]] = []
    while len(out) < bars:
        kind = rng.choice(["flat", "silent", "calm", "wild", "gone"])
        length = int(rng.integers(1, 60))
        if kind == "gone":
            index += length
            continue
        for _ in range(length):
            step = {"flat": 0.0, "silent": 0.0, "calm": 1e-3, "wild": 0.8}[str(kind)]
            opened = price
            price = float(np.clip(price * np.exp(step * rng.standard_normal()), 1e-10, 1e13))
            reach = step * 0.5 * np.abs(rng.standard_normal(2))
            high = max(opened, price) * float(np.exp(reach[0]))
            low = min(opened, price) * float(np.exp(-reach[1]))
            traded = 0.0 if kind == "silent" else volume_level * float(rng.exponential())
            out.append((index * interval_ms, opened, high, low, price, traded))
            index += 1
    table = np.array(out[:bars])
    columns = {name: np.ascontiguousarray(table[:, i + 1]) for i, name in enumerate(COLUMNS)}
    return Candles(
        interval_ms=interval_ms, open_ms=np.array([int(row[0]) for row in out[:bars]]), **columns
    )


def streamed(
    catalog: Catalog, candles: Candles, funding: Funding, *, stream: FeatureStream | None = None
) -> FloatArray:
    """Return the rows of a stream (a fresh one, if none is given) over the candles."""
    stream = stream or FeatureStream(catalog, candles.interval_ms)
    out = np.empty((candles.n, len(catalog.names)))
    last_ms = stream.last_open_ms
    for i in range(candles.n):
        candle = candles.candle(i)
        before_ms = candle.open_ms if last_ms is None else last_ms + candles.interval_ms
        close_ms = candle.open_ms + candles.interval_ms
        out[i] = stream.update(candle, settled_between(funding, before_ms, close_ms))
        last_ms = candle.open_ms
    return out
