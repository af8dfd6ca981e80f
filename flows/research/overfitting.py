"""How often the best of many trials is a product of the search itself.

Decides nothing: takes the trials' return series and answers by combinatorially symmetric
cross-validation (CSCV). Never sees a model or a price. Rule: the Sharpe ratios of every half come
from block sums, so the cost is one matrix product however many halves there are.

Source: Bailey, Borwein, López de Prado, Zhu: The probability of backtest overfitting, J. of
Computational Finance 20(4), 2017.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from features.errors import InputError
from features.types import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overfitting:
    """What CSCV says of a set of trials."""

    probability: float
    """PBO: share of halves whose in-sample best ranks at or below the out-of-sample median."""
    loss_probability: float
    """Share of halves whose in-sample best has a Sharpe ratio below 0 out of sample."""
    logits: FloatArray
    """Log odds of the best's out-of-sample rank, one a half."""
    in_sample: FloatArray
    """Sharpe ratio of the best in its own half (per period)."""
    out_of_sample: FloatArray
    """Sharpe ratio of the same trial in the other half (per period)."""


def probability_of_overfitting(series: FloatArray, blocks: int = 16) -> Overfitting:
    """Run CSCV over all ways to choose half of the blocks.

    Parameters
    ----------
    series
        Returns of shape (periods, trials), aligned in time, no NaN.
    blocks
        Even number of equal time blocks; surplus periods at the end are left out.

    Returns
    -------
    Overfitting
        Ties count against the best (rank by ``<=``, logit 0 counts as overfit).

    Raises
    ------
    InputError
        Fewer than 2 trials, an odd number of blocks, or less than 2 periods a block.
    """
    periods, trials = series.shape
    if blocks < 2 or blocks % 2:
        raise InputError(f"CSCV needs an even number of blocks >= 2, got {blocks}")
    if trials < 2:
        raise InputError("CSCV needs at least 2 trials; run a search with more trials")
    length = periods // blocks
    if length < 2:
        raise InputError(
            f"CSCV needs >= {2 * blocks} periods for {blocks} blocks, got {periods}; "
            "use a longer history"
        )
    cut = series[: length * blocks].reshape(blocks, length, trials)
    first, second = cut.sum(axis=1), (cut * cut).sum(axis=1)
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    member = np.zeros((len(halves), blocks))
    member[np.arange(len(halves))[:, None], halves] = 1.0
    inside_first, inside_second = member @ first, member @ second
    n = length * blocks // 2
    inside = _sharpe(inside_first, inside_second, n)
    outside = _sharpe(first.sum(axis=0) - inside_first, second.sum(axis=0) - inside_second, n)
    rows = np.arange(len(halves))
    best = inside.argmax(axis=1)
    chosen = outside[rows, best]
    rank = (outside <= chosen[:, None]).sum(axis=1) / (trials + 1)
    logits = np.log(rank / (1.0 - rank))
    return Overfitting(
        probability=float(np.mean(logits <= 0.0)),
        loss_probability=float(np.mean(chosen < 0.0)),
        logits=logits,
        in_sample=inside[rows, best],
        out_of_sample=chosen,
    )


def _sharpe(total: FloatArray, squares: FloatArray, n: int) -> FloatArray:
    """Return Sharpe ratios from sums; 0 where a trial did not move."""
    variance = np.maximum((squares - total * total / n) / (n - 1), 0.0)
    moved = variance > 1e-24
    ratio = np.zeros_like(total)
    np.divide(total / n, np.sqrt(variance), out=ratio, where=moved)
    return ratio
