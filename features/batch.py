"""A history's features at machine speed.

Decides nothing: it runs the catalog's kernels, compiled, over columns of bars. Never differs from
``features.stream`` in a single bit. Rule: no arithmetic of its own; one driver a kernel, blocks of
bars small enough to stay in the cache, states carried from block to block.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from features.bars import FOLD_START, fold, overdue
from features.catalog import Catalog
from features.compiled import compiled
from features.drivers import many_valued, one_valued
from features.errors import InputError
from features.funding import settled_columns
from features.kernels.registry import Kernel
from features.node import BAR_COLUMNS
from features.plan import Frame, frames
from features.types import Candles, FloatArray, Funding, IntArray
from features.validation import check_candles

BLOCK = 4096
PRICED = len(BAR_COLUMNS) - 2  # the columns that are not times


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bars:
    """Bars of one timeframe: absolute index (n,), and rows o, h, l, c, v, settled, rate (7, n)."""

    index: IntArray
    columns: FloatArray


def feature_matrix(candles: Candles, catalog: Catalog, funding: Funding | None) -> FloatArray:
    """Return the features of every bar, float64 of shape (n_bars, n_features).

    Parameters
    ----------
    candles : Candles
        Base bars, ascending; bars may be missing.
    funding : Funding or None
        Settlements; needed by the catalog's funding features.

    Returns
    -------
    ndarray
        Row i uses bars up to and including i, and is known at its close. NaN until a feature is
        warm, and never after.

    Raises
    ------
    InputError
        Before any work: bad candles or settlements (row and column are named), or no settlements
        where a feature needs them.
    """
    check_candles(candles)
    if funding is None and catalog.funding_names:
        raise InputError(
            f"features {', '.join(catalog.funding_names)} need funding settlements: pass the "
            "symbol's Funding, or take a catalog.subset without them"
        )
    matrix = np.full((candles.n, len(catalog.features)), np.nan)
    base = _base_bars(candles, funding)
    for frame in frames(catalog):
        columns = np.array(frame.columns, dtype=np.int64)
        if frame.timeframe == 1:
            _run_frame(frame, base, candles.interval_ms, matrix, columns)
            continue
        bars, newest = _higher_bars(frame.timeframe, base)
        own = np.empty((bars.index.size, columns.size))
        interval_ms = candles.interval_ms * frame.timeframe
        _run_frame(frame, bars, interval_ms, own, np.arange(columns.size))
        _spreader()(own, newest, columns, matrix)
    return matrix


def _base_bars(candles: Candles, funding: Funding | None) -> _Bars:
    columns = np.zeros((PRICED, candles.n))
    for row, name in enumerate(("open", "high", "low", "close", "volume")):
        columns[row] = getattr(candles, name)
    if funding is not None:
        columns[5], columns[6] = settled_columns(candles, funding)
    return _Bars(index=candles.open_ms // candles.interval_ms, columns=columns)


def _higher_bars(k: int, base: _Bars) -> tuple[_Bars, IntArray]:
    """Return bars of k base bars, and for each base bar the newest of them it may see, or -1."""
    index, columns, seen = _folder()(k, base.index, base.columns)
    newest = np.searchsorted(seen, np.arange(base.index.size), side="right") - 1
    return _Bars(index=index, columns=columns), newest


def _run_frame(
    frame: Frame, bars: _Bars, interval_ms: int, matrix: FloatArray, columns: IntArray
) -> None:
    """Fill ``matrix[:, columns]`` with the frame's features."""
    states = [_arrays(step.kernel.start(*step.parameters)) for step in frame.steps]
    values = np.full((frame.slots, BLOCK), np.nan)
    times = np.zeros((2, BLOCK), np.int64)
    sources = np.array(frame.sources, dtype=np.int64)
    for start in range(0, bars.index.size, BLOCK):
        n = min(BLOCK, bars.index.size - start)
        times[0, :n] = bars.index[start : start + n]
        times[1, :n] = (times[0, :n] + 1) * interval_ms
        values[2 : len(BAR_COLUMNS), :n] = bars.columns[:, start : start + n]
        for number, step in enumerate(frame.steps):
            inputs = (times[slot] if slot < len(times) else values[slot] for slot in step.inputs)
            out = values[step.output : step.output + step.kernel.outputs]
            states[number] = _driver(step.kernel)(states[number], n, out, *inputs)
        _publisher()(values, sources, start, n, columns, matrix)


def _arrays(state: Any) -> Any:
    """Return a kernel's state with its rings as arrays, which compiled code takes."""
    if isinstance(state, tuple):
        return tuple(_arrays(part) for part in state)
    if isinstance(state, list):
        return np.array(state, dtype=np.int64 if isinstance(state[0], int) else np.float64)
    return state


@cache
def _driver(kernel: Kernel) -> Callable[..., Any]:
    """Return the compiled loop that runs ``kernel`` over a block of bars."""
    make = one_valued if kernel.outputs == 1 else many_valued
    return compiled(make(kernel.update, kernel.inputs))


def _publish(
    values: FloatArray,
    sources: IntArray,
    start: int,
    n: int,
    columns: IntArray,
    matrix: FloatArray,
) -> None:
    for i in range(n):
        for j in range(columns.size):
            matrix[start + i, columns[j]] = values[sources[j], i]


def _spread(own: FloatArray, newest: IntArray, columns: IntArray, matrix: FloatArray) -> None:
    for i in range(newest.size):
        if newest[i] >= 0:
            for j in range(columns.size):
                matrix[i, columns[j]] = own[newest[i], j]


def _fold_all(k: int, index: IntArray, base: FloatArray) -> tuple[IntArray, FloatArray, IntArray]:
    """Return (absolute index, columns, publishing base bar) of the higher bars."""
    group = np.empty(index.size + 1, np.int64)
    seen = np.empty(index.size + 1, np.int64)
    rows = np.empty((7, index.size + 1))
    count = 0
    state = FOLD_START
    for i in range(index.size):
        for turn in range(2):
            ended = False
            if turn == 0:
                ended = overdue(state, index[i], k)
            else:
                state, ended = fold(
                    state,
                    index[i],
                    k,
                    base[0, i],
                    base[1, i],
                    base[2, i],
                    base[3, i],
                    base[4, i],
                    base[5, i],
                    base[6, i],
                )
            if ended:
                group[count] = state[0]
                seen[count] = i
                for j in range(7):
                    rows[j, count] = state[2:][j]
                count += 1
    return group[:count].copy(), rows[:, :count].copy(), seen[:count].copy()


@cache
def _publisher() -> Callable[..., None]:
    return compiled(_publish)


@cache
def _spreader() -> Callable[..., None]:
    return compiled(_spread)


@cache
def _folder() -> Callable[..., tuple[IntArray, FloatArray, IntArray]]:
    return compiled(_fold_all)
