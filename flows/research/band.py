"""What the next weeks should look like if the record goes on as it was.

Decides the fan of equity paths that live trading is compared with: quantiles by day of stationary
bootstrap paths of the record's daily returns. Never says that the record was luck or skill: it says
what follows from it. Rule: drawn once with a seed, kept with the model, never widened afterwards.
"""

from dataclasses import dataclass

import numpy as np

from features.errors import InputError
from features.types import FloatArray, IntArray

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Band:
    """Equity (from 1.0) by day ahead, shape (days + 1,), for each quantile."""

    quantile: dict[str, FloatArray]

    def as_dict(self) -> dict[str, list[float]]:
        """Return plain lists by quantile, such as ``"0.05"``."""
        return {name: values.tolist() for name, values in self.quantile.items()}


def expected_band(
    daily: FloatArray, *, days: int, draws: int, block_mean: float, rng: np.random.Generator
) -> Band:
    """Return the fan of ``days`` days ahead.

    Parameters
    ----------
    daily
        The record's daily net returns, shape (n,), n >= 10.
    block_mean
        Mean length of the blocks that are drawn, in days.
    """
    if daily.size < 10:
        raise InputError(f"a band needs a record of 10 days, got {daily.size}")
    index = _blocks(int(daily.size), days, draws, block_mean, rng)
    paths = np.cumprod(1.0 + daily[index], axis=1)
    whole = np.concatenate([np.ones((draws, 1)), paths], axis=1)
    return Band(
        quantile={f"{q:g}": np.quantile(whole, q, axis=0) for q in QUANTILES},
    )


def block_means(
    values: FloatArray, *, draws: int, block_mean: float, rng: np.random.Generator
) -> FloatArray:
    """Return the means of stationary bootstrap draws of ``values``, shape (draws,)."""
    n = int(values.size)
    means: FloatArray = values[_blocks(n, n, draws, block_mean, rng)].mean(axis=1)
    return means


def _blocks(
    n: int, length: int, draws: int, block_mean: float, rng: np.random.Generator
) -> IntArray:
    """Return row numbers of stationary bootstrap paths, shape (draws, length)."""
    fresh = rng.random((draws, length)) < 1.0 / block_mean
    fresh[:, 0] = True
    start = rng.integers(0, n, size=(draws, length))
    position = np.arange(length)
    opened = np.maximum.accumulate(np.where(fresh, position, 0), axis=1)
    index: IntArray = (np.take_along_axis(start, opened, axis=1) + position - opened) % n
    return index
