"""A history's features at machine speed.

Decides nothing: it runs the catalog's kernels, compiled, over columns of bars. Never differs from
``features.stream`` in a single bit. Rule: no arithmetic of its own; one driver a kernel, blocks of
bars small enough to stay in the cache, states carried from block to block.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bars import FOLD_START, Fold, fold, overdue
from features.catalog import Catalog
from features.compiled import compiled
from features.drivers import many_valued, many_valued_ringed, one_valued, one_valued_ringed
from features.errors import InputError
from features.funding import settled_columns
from features.kernels.registry import Kernel
from features.node import BAR_COLUMNS
from features.plan import Frame, begin, frames
from features.types import Candles, FloatArray, Funding, IntArray
from features.validation import check_candles

BLOCK = 2048
PAD = 8  # rows whose lengths are powers of two would share the same cache lines
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
    matrix = np.empty((candles.n, len(catalog.features)))
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
    begun = [begin(step) for step in frame.steps]
    states = [state for state, _ in begun]
    rings = [() if ring is None else (_array(ring),) for _, ring in begun]
    values = np.full((frame.slots, BLOCK + PAD), np.nan)
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
            states[number] = _driver(step.kernel)(states[number], *rings[number], n, out, *inputs)
        _publisher()(values, sources, start, n, columns, matrix)


def _array(ring: list[Any]) -> NDArray[Any]:
    """Return a kernel's ring as an array, which compiled code takes."""
    return np.array(ring, dtype=np.int64 if isinstance(ring[0], int) else np.float64)


@cache
def _driver(kernel: Kernel) -> Callable[..., Any]:
    """Return the compiled loop that runs ``kernel`` over a block of bars."""
    if kernel.outputs == 1:
        make = one_valued_ringed if kernel.ringed else one_valued
    else:
        make = many_valued_ringed if kernel.ringed else many_valued
    loop = make(kernel.update, kernel.inputs)
    # Compiled code from the cache is found by name: two loops of one name would be taken for one.
    loop.__name__ = loop.__qualname__ = f"{kernel.update.__name__}_over_bars"
    return compiled(loop, allocates=False)


def _publish(
    values: FloatArray,
    sources: IntArray,
    start: int,
    n: int,
    columns: IntArray,
    matrix: FloatArray,
) -> None:
    # Tiles of eight rows: each cache line is read once and written once.
    for first in range(0, n, 8):
        last = min(first + 8, n)
        for j in range(columns.size):
            source = sources[j]
            column = columns[j]
            for i in range(first, last):
                matrix[start + i, column] = values[source, i]


def _spread(own: FloatArray, newest: IntArray, columns: IntArray, matrix: FloatArray) -> None:
    for i in range(newest.size):
        row = newest[i]
        for j in range(columns.size):
            matrix[i, columns[j]] = own[row, j] if row >= 0 else math.nan


def _put(
    state: Fold, bar: int, count: int, group: IntArray, rows: FloatArray, seen: IntArray
) -> None:
    """Note the higher bar ``state`` as number ``count``, published by base bar ``bar``."""
    group[count] = state[0]
    seen[count] = bar
    columns = state[2:]
    for j in range(7):
        rows[j, count] = columns[j]


def _fold_all(k: int, index: IntArray, base: FloatArray) -> tuple[IntArray, FloatArray, IntArray]:
    """Return (absolute index, columns, publishing base bar) of the higher bars."""
    group = np.empty(index.size + 1, np.int64)
    seen = np.empty(index.size + 1, np.int64)
    rows = np.empty((7, index.size + 1))
    count = 0
    state = FOLD_START
    for i in range(index.size):
        late = overdue(state, index[i], k)
        if late:
            _put(state, i, count, group, rows, seen)
            count += 1
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
            _put(state, i, count, group, rows, seen)
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
