"""A history's features at machine speed.

Decides nothing: it runs the catalog's kernels, compiled, over columns of bars. Never differs from
``features.stream`` in a single bit. Rule: one driver a kernel; no arithmetic of its own.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from features.bars import FOLD_START, fold, overdue
from features.catalog import Catalog, Feature
from features.compiled import compiled
from features.types import Candles, FloatArray, Funding, IntArray

MINUTE_MS = 60_000
Columns = tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]


@cache
def _driver(kernel: Callable[..., Any], start: Any) -> Callable[..., FloatArray]:
    """Return the compiled loop that runs ``kernel`` over columns of bars."""

    def drive(
        n: int,
        ring: FloatArray,
        index: IntArray,
        open_: FloatArray,
        high: FloatArray,
        low: FloatArray,
        close: FloatArray,
        volume: FloatArray,
    ) -> FloatArray:
        out = np.empty(close.size)
        state = start
        for i in range(close.size):
            state, out[i] = kernel(
                state, ring, n, index[i], open_[i], high[i], low[i], close[i], volume[i]
            )
        return out

    # numba names a cached function's environment by its name alone, so each driver has its own.
    drive.__name__ = drive.__qualname__ = f"drive_{kernel.__name__}"
    return compiled(drive)


def _fold_all(
    k: int,
    index: IntArray,
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
) -> tuple[FloatArray, IntArray]:
    """Return (the higher bars as rows group, o, h, l, c, v; the base bar that published each)."""
    rows = np.empty((index.size + 1, 6))
    seen = np.empty(index.size + 1, np.int64)
    count = 0
    state = FOLD_START
    for i in range(index.size):
        if overdue(state, index[i], k):
            rows[count, 0] = state[0]
            rows[count, 1], rows[count, 2], rows[count, 3] = state[2], state[3], state[4]
            rows[count, 4], rows[count, 5] = state[5], state[6]
            seen[count] = i
            count += 1
        state, ended = fold(state, index[i], k, open_[i], high[i], low[i], close[i], volume[i])
        if ended:
            rows[count, 0] = state[0]
            rows[count, 1], rows[count, 2], rows[count, 3] = state[2], state[3], state[4]
            rows[count, 4], rows[count, 5] = state[5], state[6]
            seen[count] = i
            count += 1
    return rows[:count], seen[:count]


@cache
def _folder() -> Callable[..., tuple[FloatArray, IntArray]]:
    return compiled(_fold_all)


def feature_matrix(candles: Candles, catalog: Catalog, funding: Funding | None) -> FloatArray:
    """Return the features of every bar, float64 of shape (n_bars, n_features).

    NaN until a feature is warm. Row i uses bars up to and including i, known at its close.
    """
    del funding
    index = candles.open_ms // candles.interval_ms
    base: Columns = (
        index,
        candles.open,
        candles.high,
        candles.low,
        candles.close,
        candles.volume,
    )
    matrix = np.full((candles.n, len(catalog.features)), np.nan)
    frames: dict[int, tuple[Columns, IntArray]] = {}
    for column, feature in enumerate(catalog.features):
        k = feature.timeframe
        if k == 1:
            matrix[:, column] = _run(feature, base, candles.interval_ms)
            continue
        if k not in frames:
            frames[k] = _higher(k, base)
        bars, newest = frames[k]
        values = np.concatenate((np.array([np.nan]), _run(feature, bars, candles.interval_ms)))
        matrix[:, column] = values[newest]
    return matrix


def _run(feature: Feature, bars: Columns, interval_ms: int) -> FloatArray:
    n = feature.n or interval_ms * feature.timeframe // MINUTE_MS
    ring = np.zeros(feature.ring)
    return _driver(feature.kernel, feature.start)(n, ring, *bars)


def _higher(k: int, base: Columns) -> tuple[Columns, IntArray]:
    """Return the higher bars and, for each base bar, how many of them it may see."""
    rows, seen = _folder()(k, *base)
    group = rows[:, 0].astype(np.int64)
    columns = [np.ascontiguousarray(rows[:, j]) for j in range(1, 6)]
    newest = np.searchsorted(seen, np.arange(base[0].size), side="right")
    return (group, columns[0], columns[1], columns[2], columns[3], columns[4]), newest
