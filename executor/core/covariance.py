"""How the symbols move together, from their last closes.

Decides the rolling window of closes and volumes, and the shrunk covariance, correlation and market
beta that sizing and selection use. Never sees a position. Rule: where too little is known, symbols
count as moving together (correlation ``UNKNOWN_CORRELATION``); volatility is always
``volatility_96``, the number that labels, costs and the venue use.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from features.types import FloatArray

# The usual correlation of coins among themselves: ten of them are about 1.3 independent bets.
UNKNOWN_CORRELATION: Final = 0.7
VOLUMES_MIN: Final = 32
# The parts of a row.
_CLOSE: Final = 1
_VOLUME: Final = 2


Row = tuple[int, dict[str, float], dict[str, float]]


@dataclass(slots=True)
class _Column:
    """One symbol's values by the number of the row that brought them, ascending."""

    number: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    read: int = 0


@dataclass(slots=True)
class RecentBars:
    """Closes and volumes of the last bars of all symbols, oldest first; only ``step`` changes it.

    A row is (close time, close by symbol, volume by symbol). Columns of the symbols that were asked
    for are read off the rows as they are needed.
    """

    size: int
    rows: list[Row] = field(default_factory=list)
    _forgotten: int = 0
    _columns: dict[int, dict[str, _Column]] = field(
        default_factory=lambda: {_CLOSE: {}, _VOLUME: {}}
    )

    def push(self, row: Row) -> None:
        """Add one close of all symbols; the oldest beyond ``size`` are forgotten now and then."""
        self.rows.append(row)
        if len(self.rows) > 2 * self.size:
            self._forgotten += len(self.rows) - self.size
            del self.rows[: -self.size]

    def load(self, rows: list[Row]) -> None:
        """Replace all rows."""
        self.rows = rows
        self._forgotten = 0
        self._columns = {_CLOSE: {}, _VOLUME: {}}

    def returns(self, symbols: Sequence[str]) -> FloatArray:
        """Return simple returns, shape (bars - 1, symbols); NaN where a close is missing."""
        n = min(self.size, len(self.rows))
        if n < 2:
            return np.empty((0, len(symbols)))
        prices = np.full((n, len(symbols)), float("nan"))
        first = self._forgotten + len(self.rows) - n
        for place, symbol in enumerate(symbols):
            column, start = self._held(_CLOSE, symbol)
            if len(column.value) - start == n:
                prices[:, place] = column.value[start:]
            else:
                rows = [number - first for number in column.number[start:]]
                prices[rows, place] = column.value[start:]
        return np.asarray(prices[1:] / prices[:-1] - 1.0, dtype=np.float64)

    def volume_ratio(self, symbol: str) -> float | None:
        """Return the newest volume as a multiple of the mean of those held, None where unknown."""
        column, start = self._held(_VOLUME, symbol)
        held = column.value[start:]
        mean = sum(held) / len(held) if len(held) >= VOLUMES_MIN else 0.0
        return held[-1] / mean if mean > 0.0 else None

    def _held(self, kind: Literal[1, 2], symbol: str) -> tuple[_Column, int]:
        """Return a symbol's column, and where in it the last ``size`` rows begin.

        ``kind`` says which part of a row it is.
        """
        columns = self._columns[kind]
        column = columns.get(symbol)
        if column is None:
            column = columns[symbol] = _Column()
        end = self._forgotten + len(self.rows)
        first = max(column.read, end - self.size, self._forgotten)
        newest = self.rows[first - self._forgotten :]
        try:
            column.value += [row[kind][symbol] for row in newest]
            column.number += range(first, end)
        except KeyError:  # a bar is missing somewhere
            there = [(number, row[kind]) for number, row in enumerate(newest, first)]
            column.value += [values[symbol] for _, values in there if symbol in values]
            column.number += [number for number, values in there if symbol in values]
        column.read = end
        start = bisect_left(column.number, max(self._forgotten, end - self.size))
        if start > 8 * self.size:
            del column.number[:start], column.value[:start]
            start = 0
        return column, start


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comovement:
    """Correlations of some symbols, shape (k, k), and their betas to the market, shape (k,)."""

    index: Mapping[str, int]
    correlation: FloatArray
    beta: FloatArray

    def between(self, one: str, other: str) -> float:
        """Return the correlation of two symbols."""
        return float(self.correlation[self.index[one], self.index[other]])

    def beta_of(self, symbol: str) -> float:
        """Return a symbol's beta to the equally weighted mean of these symbols."""
        return float(self.beta[self.index[symbol]])


def comovement(
    recent: RecentBars,
    symbols: Sequence[str],
    volatility: Mapping[str, float],
    shrinkage: float,
    bars_min: int,
) -> Comovement:
    """Return how ``symbols`` move together.

    The sample correlation over pairs of known returns is shrunk towards a constant one by
    ``shrinkage``; a pair with fewer than ``bars_min`` common returns gets the constant alone. Beta
    is to the equally weighted mean of these symbols, from the shrunk covariance. Every sum runs
    from the oldest bar to the newest and in the order of symbols (not as a matrix product), so that
    the compiled loop of the simulation gets the same bits.
    """
    k = len(symbols)
    if k == 1:  # alone it is its own market
        one = np.ones(1)
        return Comovement(index={symbols[0]: 0}, correlation=one.reshape(1, 1), beta=one)
    target = np.full((k, k), UNKNOWN_CORRELATION)
    np.fill_diagonal(target, 1.0)
    returns = recent.returns(symbols)
    known = np.isfinite(returns)
    count = known.sum(axis=0)
    total = np.where(known, returns, 0.0).sum(axis=0)
    centred = np.where(known, returns - total / np.maximum(count, 1), 0.0)
    spread = np.sqrt((centred * centred).sum(axis=0))
    common = known.T.astype(np.float64) @ known.astype(np.float64)  # whole numbers: exact
    products = (centred[:, :, None] * centred[:, None, :]).sum(axis=0)
    scale = np.outer(spread, spread)
    usable = (common >= bars_min) & (scale > 0.0)
    sample = np.divide(products, scale, out=target.copy(), where=usable)
    correlation = np.where(usable, shrinkage * target + (1.0 - shrinkage) * sample, target)
    np.fill_diagonal(correlation, 1.0)
    sigma = np.array([volatility[s] for s in symbols])
    covariance = correlation * np.outer(sigma, sigma)
    market = covariance.sum(axis=0) / k
    variance = 0.0
    for value in market.tolist():
        variance += value
    variance /= k
    beta = market / variance if variance > 0.0 else np.ones(k)
    return Comovement(
        index={symbol: i for i, symbol in enumerate(symbols)}, correlation=correlation, beta=beta
    )
