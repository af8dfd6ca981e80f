"""What a win and a loss are worth, by symbol and by how much the market moves.

Decides the groups (symbol times volatility bucket), their mean net win, mean net loss and second
moment, and the expected-value rule on top. Never sees features. Rule: figures come from labels
after all costs; a thin group leans on the pooled figures in proportion to what it lacks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.types import FloatArray, IntArray

BUCKETS = 3
LEAN = 200.0  # effective rows that the pooled shape counts for in every group
LEAN_SCALE = 20.0  # effective rows that the pooled scale counts for: scale is known sooner


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Economics:
    """Group figures of shape (symbols, buckets); ``loss_mean`` is positive.

    ``n`` counts the effective rows behind a group's figures, those it leans on included; 0 where
    training never saw the symbol.
    """

    edges: FloatArray
    win_mean: FloatArray
    loss_mean: FloatArray
    second_moment: FloatArray
    n: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Expectation:
    """What the rule expects of rows, shape (n,) each."""

    net: FloatArray
    error: FloatArray
    second_moment: FloatArray


def volatility_bucket(volatility: FloatArray, edges: FloatArray) -> IntArray:
    """Return the bucket of each volatility; a value on an edge belongs to the upper bucket."""
    return np.searchsorted(edges, volatility, side="right").astype(np.int64)


def measure(
    net: FloatArray,
    weight: FloatArray,
    symbol: IntArray,
    volatility: FloatArray,
    *,
    symbols: int,
) -> Economics:
    """Return the group figures of labelled rows; all arrays of shape (n,)."""
    edges = np.quantile(volatility, np.arange(1, BUCKETS) / BUCKETS)
    group = symbol * BUCKETS + volatility_bucket(volatility, edges)
    size = symbols * BUCKETS
    won = net > 0.0
    mass = np.bincount(group, weight, minlength=size)
    total = float(weight.sum())
    typical = float((np.abs(net) * weight).sum()) / total if total > 0.0 else 0.0
    moved = np.bincount(group, np.abs(net) * weight, minlength=size)
    scale = (moved + LEAN_SCALE * typical) / (mass + LEAN_SCALE)

    def leaning(value: FloatArray, kept: FloatArray, power: float) -> FloatArray:
        """Return means by group, leaning on the pooled mean in units of scale to the power."""
        unit = np.maximum(scale, 1e-300) ** power
        among = float(kept.sum())
        shape = float((value / unit[group] * kept).sum()) / among if among > 0.0 else 0.0
        sums = np.bincount(group, value * kept, minlength=size)
        masses = np.bincount(group, kept, minlength=size)
        return ((sums + LEAN * shape * unit) / (masses + LEAN)).reshape(symbols, BUCKETS)

    seen = np.repeat(mass.reshape(symbols, BUCKETS).sum(axis=1) > 0.0, BUCKETS)
    behind = np.where(seen, mass + np.minimum(LEAN, total - mass), 0.0)
    return Economics(
        edges=np.asarray(edges, dtype=np.float64),
        win_mean=leaning(net, weight * won, 1.0),
        loss_mean=leaning(-net, weight * ~won, 1.0),
        second_moment=leaning(net * net, weight, 2.0),
        n=behind.reshape(symbols, BUCKETS).astype(np.float64),
    )


def expect(
    economics: Economics, probability: FloatArray, symbol: IntArray, volatility: FloatArray
) -> Expectation:
    """Return expected net return μ = p·W − (1 − p)·L and its standard error by row.

    The error is that of a mean over the group's n effective rows, √(E[r²]/n), as the bundle has it;
    infinite where training never saw the group.
    """
    bucket = volatility_bucket(volatility, economics.edges)
    win, loss = economics.win_mean[symbol, bucket], economics.loss_mean[symbol, bucket]
    n, moment = economics.n[symbol, bucket], economics.second_moment[symbol, bucket]
    error = np.full(n.shape, np.inf)
    np.divide(moment, n, out=error, where=n > 0.0)
    return Expectation(
        net=probability * win - (1.0 - probability) * loss,
        error=np.sqrt(error),
        second_moment=moment,
    )


def wishes(expected: Expectation, kappa: float) -> NDArray[np.bool_]:
    """Return which rows are worth entering: μ − κ·se > 0."""
    return np.asarray(expected.net - kappa * expected.error > 0.0)


def break_even(economics: Economics) -> FloatArray:
    """Return the probability at which μ is 0, by group: L / (W + L)."""
    return economics.loss_mean / (economics.win_mean + economics.loss_mean)
