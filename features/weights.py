"""How much each label counts: labels that overlap in time tell the same story twice.

Decides average uniqueness, return attribution, time decay and the sequential bootstrap's draws.
Never drops a row and never looks at features. Rule: linear in events and bars (difference arrays
and prefix sums, no loop over spans); randomness comes in as a generator.

Spans are in market time, as in ``labels.Labels``: a label made of the bars from ``start_ms`` to
``end_ms`` is concurrent with another where they share a bar. Times are counted in steps of
``interval_ms``; a span shorter than a step counts as one.

All after López de Prado, Advances in Financial Machine Learning (2018), chapter 4.
"""

import numpy as np

from features.errors import InputError
from features.types import Candles, FloatArray, IntArray


def average_uniqueness(
    start_ms: IntArray,
    end_ms: IntArray,
    interval_ms: int,
    *,
    symbol: IntArray | None = None,
    correlation: FloatArray | None = None,
) -> FloatArray:
    """Return the mean over each label's bars of 1 / (labels concurrent in the bar), shape (m,).

    Parameters
    ----------
    start_ms, end_ms : int64 arrays, shape (m,)
        Spans, ``end_ms`` not before ``start_ms``; any order.
    interval_ms : int
        Length of a bar.
    symbol : int64 array, shape (m,), optional
        Number of each label's symbol. Without ``correlation`` other symbols do not count.
    correlation : float64 array, shape (s, s), optional
        Correlation of the symbols' returns: a concurrent label of symbol b counts as
        max(0, correlation[a, b]) of one of symbol a. Needs ``symbol``.

    Returns
    -------
    float64 array, shape (m,)
        In (0, 1]; 1 where nothing overlaps.

    Raises
    ------
    InputError
        For spans that end before they start, or symbols outside the correlation matrix.

    Notes
    -----
    AFML 4.3 and 4.4 (c_t and ū_i), with c_t by a difference array and Σ 1/c_t by a prefix sum:
    O(m + bars), for s symbols O(m + s²·bars).
    """
    first, last, bars = _steps(start_ms, end_ms, interval_ms)
    if symbol is None or not first.size:
        if symbol is None and correlation is not None:
            raise InputError("correlation: say which symbol each label has (symbol=...)")
        return _span_mean(_shares(_counts(first, last, bars)), first, last)
    shared = _correlation(symbol, correlation, first.size)
    members = [np.flatnonzero(symbol == one) for one in range(shared.shape[0])]
    counts = np.stack([_counts(first[rows], last[rows], bars) for rows in members])
    uniqueness = np.empty(first.size)
    for one, rows in enumerate(members):
        if rows.size:
            shares = _shares(shared[one] @ counts)
            uniqueness[rows] = _span_mean(shares, first[rows], last[rows])
    return uniqueness


def return_attribution(start_ms: IntArray, end_ms: IntArray, candles: Candles) -> FloatArray:
    """Return weights by the absolute log return that a label has to itself, mean 1, shape (m,).

    w_i ∝ |Σ_t r_t / c_t| over the label's bars, r_t the bar's log return from the close before it
    (from its open for the first bar of the data), c_t the labels concurrent in the bar.

    Raises
    ------
    InputError
        Where a span ends before it starts or reaches outside the candles.

    Notes
    -----
    AFML 4.6. All zero where no price moved.
    """
    _check_spans(start_ms, end_ms)
    first = np.searchsorted(candles.open_ms, start_ms, side="left")
    last = np.maximum(np.searchsorted(candles.open_ms, end_ms, side="left") - 1, first)
    if first.size and (start_ms.min() < candles.open_ms[0] or last.max() >= candles.n):
        raise InputError("spans: they reach outside the candles; give the candles of the labels")
    before = np.concatenate((candles.open[:1], candles.close[:-1]))
    shares = _shares(_counts(first, last, candles.n))
    running = np.concatenate(([0.0], np.cumsum(np.log(candles.close / before) * shares)))
    weight = np.abs(running[last + 1] - running[first])
    total = weight.sum()
    scaled: FloatArray = weight * (weight.size / total) if total > 0.0 else weight
    return scaled


def time_decay(start_ms: IntArray, uniqueness: FloatArray, oldest: float) -> FloatArray:
    """Return factors that fall linearly with cumulative uniqueness, newest 1, shape (m,).

    Parameters
    ----------
    start_ms : int64 array, shape (m,)
        When each label starts; labels that start together decay alike.
    uniqueness : float64 array, shape (m,)
        Average uniqueness: age is counted in information, not in days.
    oldest : float
        Factor at age's end, in (-1, 1]: 1 no decay; 0 the oldest tends to 0; below 0 the oldest
        share of that size gets 0.

    Notes
    -----
    AFML 4.7, snippet 4.11.
    """
    if not -1.0 < oldest <= 1.0:
        raise InputError(f"oldest: {oldest}; give a factor above -1 and at most 1")
    if start_ms.shape != uniqueness.shape:
        raise InputError(
            f"uniqueness: shape is {uniqueness.shape}; it must be that of start_ms {start_ms.shape}"
        )
    if not start_ms.size:
        return np.empty(0)
    order = np.argsort(start_ms, kind="stable")
    age = np.cumsum(uniqueness[order])
    last_alike = np.searchsorted(start_ms[order], start_ms, side="right") - 1
    share = age[last_alike] / age[-1]
    slope = 1.0 - oldest if oldest >= 0.0 else 1.0 / (1.0 + oldest)
    factors: FloatArray = np.maximum(1.0 - slope * (1.0 - share), 0.0)
    return factors


def draw_probabilities(first: IntArray, last: IntArray, concurrency: FloatArray) -> FloatArray:
    """Return the probability of each label at the next draw, shape (m,).

    Proportional to the average uniqueness that a label would have beside those drawn already.

    Parameters
    ----------
    first, last : int64 arrays, shape (m,)
        First and last bar of each label.
    concurrency : float64 array, shape (bars,)
        How many labels drawn so far cover each bar.

    Notes
    -----
    AFML 4.5.2, equation for δ_j.
    """
    uniqueness = _span_mean(1.0 / (concurrency + 1.0), first, last)
    probabilities: FloatArray = uniqueness / uniqueness.sum()
    return probabilities


def sequential_bootstrap(
    start_ms: IntArray,
    end_ms: IntArray,
    interval_ms: int,
    draws: int,
    generator: np.random.Generator,
) -> IntArray:
    """Return row numbers drawn with replacement, each draw favouring what is not yet told.

    O(m + bars) a draw.

    Notes
    -----
    AFML 4.5.2. The same generator state gives the same draws.
    """
    first, last, bars = _steps(start_ms, end_ms, interval_ms)
    if draws < 0 or (draws and not first.size):
        raise InputError(f"draws: {draws} cannot be drawn from {first.size} labels")
    concurrency = np.zeros(bars)
    drawn = np.empty(draws, np.int64)
    uniform = generator.random(draws)
    for row in range(draws):
        ladder = np.cumsum(draw_probabilities(first, last, concurrency))
        chosen = int(np.searchsorted(ladder, uniform[row] * ladder[-1], side="right"))
        drawn[row] = chosen
        concurrency[first[chosen] : last[chosen] + 1] += 1.0
    return drawn


def _check_spans(start_ms: IntArray, end_ms: IntArray) -> None:
    """Refuse spans of unequal number or that end before they start."""
    if start_ms.ndim != 1 or start_ms.shape != end_ms.shape:
        raise InputError(f"spans: shapes are {start_ms.shape} and {end_ms.shape}; give equal rows")
    bad = end_ms < start_ms
    if bad.any():
        row = int(bad.argmax())
        raise InputError(f"end_ms row {row}: {end_ms[row]} is before its start {start_ms[row]}")


def _steps(
    start_ms: IntArray, end_ms: IntArray, interval_ms: int
) -> tuple[IntArray, IntArray, int]:
    """Return first and last step of each span, and how many steps there are."""
    _check_spans(start_ms, end_ms)
    if interval_ms <= 0:
        raise InputError(f"interval_ms: {interval_ms}; give the length of a bar, above 0")
    if not start_ms.size:
        return start_ms, end_ms, 0
    first = start_ms // interval_ms
    last = (end_ms - 1) // interval_ms
    np.maximum(last, first, out=last)
    origin = first.min()
    first -= origin
    last -= origin
    return first, last, int(last.max()) + 1


def _counts(first: IntArray, last: IntArray, bars: int) -> IntArray:
    """Return how many spans cover each bar, shape (bars,)."""
    steps = np.bincount(first, minlength=bars)
    steps[1:] -= np.bincount(last, minlength=bars)[:-1]
    counts: IntArray = np.cumsum(steps, out=steps)
    return counts


def _shares(counts: FloatArray | IntArray) -> FloatArray:
    """Return 1 / counts, 0 where nothing is."""
    shares = np.zeros(counts.size)
    np.divide(1.0, counts, out=shares, where=counts > 0)
    return shares


def _span_mean(shares: FloatArray, first: IntArray, last: IntArray) -> FloatArray:
    """Return the mean of ``shares`` over each span."""
    running = np.empty(shares.size + 1)
    running[0] = 0.0
    np.cumsum(shares, out=running[1:])
    beyond = last + 1
    mean: FloatArray = running[beyond]
    mean -= running[first]
    mean /= np.subtract(beyond, first, out=beyond)
    return mean


def _correlation(symbol: IntArray, correlation: FloatArray | None, rows: int) -> FloatArray:
    """Return what a label of one symbol counts to another, shape (s, s)."""
    if symbol.shape != (rows,) or (rows and symbol.min() < 0):
        raise InputError(f"symbol: shape is {symbol.shape}; give a number from 0 for each label")
    symbols = int(symbol.max(initial=-1)) + 1
    if correlation is None:
        return np.eye(symbols)
    if correlation.ndim != 2 or correlation.shape != (correlation.shape[0],) * 2:
        raise InputError(f"correlation: shape is {correlation.shape}; it must be square")
    if correlation.shape[0] < symbols or not np.isfinite(correlation).all():
        raise InputError(
            f"correlation: a finite matrix of at least {symbols} symbols is needed, "
            f"not {correlation.shape}"
        )
    shared = np.clip(correlation, 0.0, 1.0)
    np.fill_diagonal(shared, 1.0)
    return shared
