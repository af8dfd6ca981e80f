"""The stationary bootstrap: blocks of days drawn with replacement, of geometric lengths.

Decides how days are drawn, and what a series' mean and its deviation are in every draw. Never says
what is tested. Rule: all randomness comes from the Generator passed in; a draw is never written out
as a series: block sums are looked up and added by one sparse product.

Sources: Politis, Romano: The stationary bootstrap, JASA 89, 1994; Hansen: A test for superior
predictive ability, J. of Business & Economic Statistics 23(4), 2005, section 3.2 (the variance);
Götze, Künsch: Second-order correctness of the blockwise bootstrap, Annals of Statistics 24, 1996
(the deviation of a draw from the draw's own blocks).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from features.types import FloatArray

CHUNK = 16  # series summed at a time: bounds the memory of the block sums


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """The blocks of all draws, one after another; ``lengths`` of a draw sum to ``periods``.

    ``first`` has shape (draws + 1,): draw d has blocks ``first[d]`` to ``first[d + 1]``.
    """

    periods: int
    first: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]


def stationary_blocks(
    periods: int, block_mean: float, draws: int, rng: np.random.Generator
) -> Blocks:
    """Return blocks that start anywhere, have geometric lengths of a mean, and wrap around.

    The last block of a draw is cut where the draw is full.
    """
    fresh = rng.random((draws, periods)) < 1.0 / block_mean
    fresh[:, 0] = True
    place = np.flatnonzero(fresh)
    return Blocks(
        periods=periods,
        first=np.concatenate(([0], np.cumsum(fresh.sum(axis=1)))).astype(np.int64),
        start=rng.integers(0, periods, size=place.size),
        length=np.diff(place, append=draws * periods),
    )


def drawn_means(series: FloatArray, blocks: Blocks) -> tuple[FloatArray, FloatArray]:
    """Return each draw's mean, and the variance of √n times it as the draw itself shows it.

    The latter is Σ (S − L·m)²/n over the draw's blocks, S their sums, L their lengths and m the
    draw's mean.

    Parameters
    ----------
    series
        Shape (n, k), of the blocks' ``periods``; no NaN.

    Returns
    -------
    tuple of FloatArray
        Shapes (draws, k).
    """
    n, k = series.shape
    longest = int(blocks.length.max())
    code, place = np.unique(blocks.start * longest + blocks.length - 1, return_inverse=True)
    start, length = code // longest, code % longest + 1
    adds = csr_array(
        (np.ones(place.size), place, blocks.first), shape=(blocks.first.size - 1, code.size)
    )
    span = length[:, None].astype(np.float64)
    squares = adds @ (span * span)
    before = np.zeros((2 * n + 1, k))
    np.cumsum(np.concatenate((series, series)), axis=0, out=before[1:])
    mean = np.empty((blocks.first.size - 1, k))
    variance = np.empty_like(mean)
    for low in range(0, k, CHUNK):
        part = slice(low, low + CHUNK)
        sums = before[start + length, part] - before[start, part]
        m = adds @ sums / n
        spread = adds @ (sums * sums) - 2.0 * m * (adds @ (sums * span)) + m * m * squares
        mean[:, part], variance[:, part] = m, np.maximum(spread, 0.0) / n
    return mean, variance


def stationary_counts(
    periods: int, block_mean: float, draws: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return how often each period is drawn, shape (draws, periods); every row sums to ``periods``.

    Blocks as those of :func:`stationary_blocks`.
    """
    fresh = rng.random((draws, periods)) < 1.0 / block_mean
    fresh[:, 0] = True
    start = rng.integers(0, periods, size=(draws, periods), dtype=np.int32)
    position = np.arange(periods, dtype=np.int32)
    opened = np.where(fresh, position, 0)
    np.maximum.accumulate(opened, axis=1, out=opened)
    index = (np.take_along_axis(start, opened, axis=1) + position - opened) % periods
    index += (np.arange(draws, dtype=np.int64) * periods)[:, None]
    counts = np.bincount(index.ravel(), minlength=draws * periods)
    return counts.reshape(draws, periods).astype(np.float32)


def long_run_variance(returns: FloatArray, block_mean: float) -> FloatArray:
    """Return the variance of √n times the mean that the stationary bootstrap implies.

    Hansen (2005) section 3.2: γ₀ + 2·Σ κ(n, i)·γᵢ with
    κ(n, i) = ((n − i)/n)(1 − q)^i + (i/n)(1 − q)^(n − i), q = 1/``block_mean``.

    Parameters
    ----------
    returns
        Shape (n, k).

    Returns
    -------
    FloatArray
        Shape (k,), at least a thousandth of γ₀ so that a studentised mean stays finite.
    """
    n = int(returns.shape[0])
    centred = returns - returns.mean(axis=0)
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centred, size, axis=0)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum), size, axis=0)[:n] / n
    lag = np.arange(1, n)
    stay = 1.0 - 1.0 / block_mean
    weight = (n - lag) / n * stay**lag + lag / n * stay ** (n - lag)
    variance = covariance[0] + 2.0 * weight @ covariance[1:]
    return np.asarray(np.maximum(variance, 1e-3 * covariance[0]), dtype=np.float64)
