"""A recording laid out for the compiled portfolio loop: bars and settlements, close by close.

Decides what a close knows of each symbol, as ``core.recording`` does. Never trades. Rule: a symbol
without a bar at a close is NaN there; what is remembered of it is its last bar's.
"""

import numpy as np
from numpy.typing import NDArray

from executor.core.recording import Recording
from features.costs import SETTLEMENT_GRID_MS
from features.types import FloatArray, IntArray
from flows.research.portfolio_book import Sheet


def sheet_of(recording: Recording) -> Sheet:
    """Return the bars and settlements of a recording, close by close."""
    bars = recording.bars
    there = bars >= 0
    names = ("open", "high", "low", "close", "volume")
    columns = {name: np.full(bars.shape, np.nan) for name in (*names, "volatility", "next_open")}
    for s, tape in enumerate(recording.tapes):
        rows, at, candles = there[:, s], bars[there[:, s], s], tape.candles
        for name in names:
            columns[name][rows, s] = getattr(candles, name)[at]
        columns["volatility"][rows, s] = tape.volatility[at]
        follows = candles.open_ms[at + 1] == candles.close_ms[at]
        columns["next_open"][rows, s] = np.where(follows, candles.open[at + 1], candles.close[at])
    close = columns["close"]
    price = np.where(there & (close > 0.0) & np.isfinite(close), close, np.nan)
    known = _last(columns["volatility"], there)
    paid_from, paid_symbol, paid_rate, paid_open = _paid(recording, there)
    return Sheet(
        close_ms=recording.grid,
        there=there,
        open=columns["open"],
        high=columns["high"],
        low=columns["low"],
        price=np.ascontiguousarray(price.T),
        mark=_last(price, np.isfinite(price)),
        next_open=columns["next_open"],
        volume=np.ascontiguousarray(columns["volume"].T),
        volatility=columns["volatility"],
        filling=np.vstack([np.full((1, bars.shape[1]), np.nan), known[:-1]]),
        paid_from=paid_from,
        paid_symbol=paid_symbol,
        paid_rate=paid_rate,
        paid_open=paid_open,
    )


def _last(values: FloatArray, there: NDArray[np.bool_]) -> FloatArray:
    """Return each column's last value that is there, row by row; NaN before the first."""
    rows = np.where(there, np.arange(values.shape[0])[:, None], -1)
    last = np.maximum.accumulate(rows, axis=0)
    found = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, found, np.nan)


def _paid(
    recording: Recording, there: NDArray[np.bool_]
) -> tuple[IntArray, IntArray, FloatArray, NDArray[np.bool_]]:
    """Return the settlements by close, in the order of symbols and then of time."""
    parts: list[list[FloatArray | IntArray]] = []
    grid, interval_ms = recording.grid, recording.interval_ms
    for s, tape in enumerate(recording.tapes):
        if tape.funding is None:
            continue
        time_ms = tape.funding.time_ms - tape.funding.time_ms % SETTLEMENT_GRID_MS
        place = np.searchsorted(grid, time_ms, side="right")
        inside = place < grid.size
        inside[inside] &= there[place[inside], s]
        inside[inside] &= grid[place[inside]] - interval_ms <= time_ms[inside]
        at, times = place[inside], time_ms[inside]
        owner = np.full(at.size, s, np.int64)
        parts.append([at, owner, tape.funding.rate[inside], times == grid[at] - interval_ms, times])
    if not parts:
        none = np.empty(0, np.int64)
        return np.zeros(grid.size + 1, np.int64), none, np.empty(0), np.empty(0, np.bool_)
    place, owner, rate, at_open, times = (np.concatenate(p) for p in zip(*parts, strict=True))
    order = np.lexsort((times, owner, place))
    first = np.searchsorted(place[order], np.arange(grid.size + 1))
    return first, owner[order], rate[order], at_open[order]
