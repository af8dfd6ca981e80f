"""The logistic baseline: scaled columns, a ridge penalty, one optimum.

Decides how it is fitted. Never sees time, symbols or money. Rule: Newton's method over batches of
rows in a fixed order, so that the optimum does not depend on whether the rows lie in memory.

scikit-learn's ``newton-cholesky`` finds the same optimum (a test compares), but needs all rows in
memory; its out-of-core classifiers stop near an optimum and not at it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.types import FloatArray
from flows.research.table import BATCH, Table
from flows.research.threads import threads_capped

LOGIT_CLIP = 1e-6
STEPS_MAX = 60
TOLERANCE = 1e-9
Labels = NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """Logistic regression on scaled features: p = σ(intercept + Σ cᵢ·(xᵢ − meanᵢ)/scaleᵢ)."""

    mean: FloatArray
    scale: FloatArray
    coefficients: FloatArray
    intercept: float

    def probability(self, x: Table) -> FloatArray:
        """Return probabilities of rows, shape (n,)."""
        z = [(rows - self.mean) / self.scale @ self.coefficients for rows in x.batches()]
        return sigmoid((np.concatenate(z) if z else np.empty(0)) + self.intercept)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Point:
    """The penalised loss at a place, with its slope and curve."""

    value: float
    slope: FloatArray
    curve: FloatArray


def sigmoid(z: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(−z)), held where exp would overflow."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -500.0, 500.0))), dtype=np.float64)


def logit(p: FloatArray) -> FloatArray:
    """Return log(p / (1 − p)) with p held in [1e-6, 1 − 1e-6]."""
    held = np.clip(p, LOGIT_CLIP, 1.0 - LOGIT_CLIP)
    return np.asarray(np.log(held / (1.0 - held)), dtype=np.float64)


def fit_linear(x: Table, label: Labels, weight: FloatArray, c: float) -> Linear:
    """Return the logistic baseline; scaling is fitted on these rows alone.

    Minimises ``|coefficients|²/2 + c·Σ wᵢ·lossᵢ`` with weights of mean 1; the intercept is free.

    Parameters
    ----------
    x, label, weight
        Rows of shape (n, k), labels and weights of shape (n,).
    """
    with threads_capped(1):
        mean, scale = _scaling(x, weight)
        theta = _optimum(x, label, weight / weight.mean() * c, mean, scale)
    return Linear(mean=mean, scale=scale, coefficients=theta[:-1], intercept=float(theta[-1]))


def _scaling(x: Table, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the weighted mean and deviation of every column."""
    total, sums = float(weight.sum()), np.zeros(x.shape[1])
    for rows, w in _weighed(x, weight):
        sums += w @ rows
    mean = sums / total
    squares = np.zeros(x.shape[1])
    for rows, w in _weighed(x, weight):
        squares += w @ (rows - mean) ** 2
    spread = np.sqrt(squares / total)
    # A column that never moves (a rule, a symbol without rows) says nothing: it is left unscaled.
    return mean, np.where(spread > 1e-9 * np.maximum(1.0, np.abs(mean)), spread, 1.0)


def _optimum(
    x: Table, label: Labels, weight: FloatArray, mean: FloatArray, scale: FloatArray
) -> FloatArray:
    """Return coefficients and intercept by Newton steps, halved where the loss would rise."""
    theta = np.zeros(x.shape[1] + 1)
    here = _look(x, label, weight, mean, scale, theta)
    for _ in range(STEPS_MAX):
        step = np.linalg.solve(here.curve, here.slope)
        expected = float(here.slope @ step)
        if expected <= TOLERANCE * max(1.0, here.value):
            return theta - step  # so near that a whole step lands at the optimum
        share = 1.0
        while True:
            there = _look(x, label, weight, mean, scale, theta - share * step)
            if there.value <= here.value - 1e-4 * share * expected or share < 1e-6:
                break
            share *= 0.5
        theta, here = theta - share * step, there
    return theta


def _look(
    x: Table,
    label: Labels,
    weight: FloatArray,
    mean: FloatArray,
    scale: FloatArray,
    theta: FloatArray,
) -> _Point:
    """Return loss, slope and curve at ``theta`` in one walk over the rows."""
    free = np.append(theta[:-1], 0.0)
    value, slope = 0.5 * float(free @ free), free.copy()
    # A breath of a penalty on the intercept keeps the curve invertible for rows of weight 0.
    curve = np.diag(np.append(np.ones(theta.size - 1), 1e-12))
    start = 0
    for rows, w in _weighed(x, weight):
        won = label[start : start + w.size]
        start += w.size
        design = np.column_stack([(rows - mean) / scale, np.ones(w.size)])
        z = design @ theta
        p = sigmoid(z)
        value += float(w @ (np.logaddexp(0.0, z) - won * z))
        slope += (w * (p - won)) @ design
        curve += design.T @ (design * (w * p * (1.0 - p))[:, None])
    return _Point(value=value, slope=slope, curve=curve)


def _weighed(x: Table, weight: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield batches of rows with their weights."""
    for number, rows in enumerate(x.batches()):
        yield rows, weight[number * BATCH : number * BATCH + rows.shape[0]]
