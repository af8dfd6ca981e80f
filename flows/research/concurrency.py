"""How much a labelled event counts, by what was known when it was entered.

Decides sample weights: an event that is entered while others are open tells part of their story.
Never looks at what happens after the entry. Rule: a weight is a function of the past of its own
event. Average uniqueness (López de Prado, AFML ch. 4) is not: where a trend goes on, more signals
follow and overlap, so winners of a momentum rule weigh less than losers, and a weighted mean of
outcomes is too low by more than most edges are worth (docs/decisions/0007).
"""

import numpy as np

from features.types import FloatArray, IntArray
from features.weights import average_uniqueness


def entry_weights(
    start_ms: IntArray,
    end_ms: IntArray,
    interval_ms: int,
    *,
    symbol: IntArray,
    correlation: FloatArray,
    until_ms: int,
) -> FloatArray:
    """Return weights 1/c, c the events open at the entry, in units of independent events.

    Parameters
    ----------
    start_ms, end_ms
        Closed spans, shape (n,).
    symbol
        Number of each event's symbol, shape (n,).
    correlation
        Of the symbols' returns; an open event of symbol b counts max(0, ``correlation[a, b]``).
    until_ms
        Events that ended before this time settle the unit.

    Returns
    -------
    FloatArray
        Shape (n,), > 0. Over the events that settle the unit their sum is that of average
        uniqueness: one factor for all rows, which says how many independent events there are,
        favours none and knows nothing of the time that judges.
    """
    beside = open_at_entry(start_ms, end_ms, symbol=symbol, correlation=correlation)
    weight = 1.0 / beside
    known = end_ms < until_ms
    if not known.any():
        return np.asarray(weight, dtype=np.float64)
    unique = average_uniqueness(
        start_ms[known],
        end_ms[known],
        interval_ms,
        symbol=symbol[known],
        correlation=correlation,
    )
    return np.asarray(weight * (unique.sum() / weight[known].sum()), dtype=np.float64)


def open_at_entry(
    start_ms: IntArray, end_ms: IntArray, *, symbol: IntArray, correlation: FloatArray
) -> FloatArray:
    """Return how many events are open when each one starts, itself included, shape (n,), >= 1."""
    count = np.ones(start_ms.size)
    for other in np.unique(symbol):
        theirs = symbol == other
        begun = np.sort(start_ms[theirs])
        ended = np.sort(end_ms[theirs])
        there = np.searchsorted(begun, start_ms, side="right") - np.searchsorted(
            ended, start_ms, side="left"
        )
        share = np.maximum(correlation[symbol, other], 0.0)
        count += np.where(theirs, there - 1.0, share * there)
    return np.maximum(count, 1.0)
