"""The loop of the labels for the barriers alone: each event's first touch, found and booked.

Decides nothing of its own: the exit rule is ``barriers``, the money is ``costs``. Never validates
(``labels`` did) and never allocates per event.
Rule: undecorated; ``labels`` compiles these functions and the tests interpret them. This kernel
and the scan of ``label_scan`` must agree to the last bit wherever both apply. Columns are indexed
in the loop and scalars handed on: a compiled call with arrays costs more than the arithmetic.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from features.barriers import (
    NONE,
    PROFIT,
    TIME,
    TRUNCATED,
    ambiguous,
    barrier_fractions,
    barrier_prices,
    touch,
    traded_through,
)
from features.costs import net_return, slippage
from features.types import FloatArray, IntArray

Number = TypeVar("Number", np.float64, np.int64)

AT_ONCE = 4  # records compared at once where a new one comes
WINDOW = 16  # records compared at once, without a branch, before any search


class Bars(NamedTuple):
    """Columns of shape (n,); ``funding`` is Σ rate·open over the settlements up to each bar."""

    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volatility: FloatArray
    funding: FloatArray


class Requests(NamedTuple):
    """One row an event, shape (m,); the last three may have shape (1,), valid for all."""

    event: IntArray
    side: NDArray[np.int8]
    profit: FloatArray
    loss: FloatArray
    horizon: IntArray


class Terms(NamedTuple):
    """What holds for all events: see ``Costs``, ``Barriers`` and ``ExitPlan``."""

    volatility_scaled: bool
    tick: float
    taker_fee: float
    maker_fee: float
    slippage_base: float
    slippage_volatility: float
    take_profit_is_market: bool
    partial_fraction: float
    partial_at: float
    break_even: bool
    break_even_offset: float
    trail: float
    trail_from: float


class Found(NamedTuple):
    """Where the results go, shape (m,)."""

    exit_index: IntArray
    reason: NDArray[np.int8]
    gross: FloatArray
    net: FloatArray
    ambiguous: NDArray[np.bool_]


def pick(column: NDArray[Number], row: int) -> Number:
    """Return the row's value, or the only one there is."""
    return column[row if column.size > 1 else 0]  # type: ignore[no-any-return]  # compiled


def entry_prices(
    terms: Terms, entry_price: float, side: int, profit: float, loss: float, volatility: float
) -> tuple[float, float, float]:
    """Return ``(take_price, target, stop_price)``; the profit order fills when target is traded."""
    profit, loss = barrier_fractions(profit, loss, terms.volatility_scaled, volatility)
    take_price, stop_price = barrier_prices(entry_price, side, profit, loss)
    if terms.take_profit_is_market:
        return take_price, take_price, stop_price
    return take_price, traded_through(side, take_price, terms.tick), stop_price


def booked(
    terms: Terms,
    side: int,
    entry_price: float,
    price: float,
    is_limit: bool,
    entry_volatility: float,
    exit_volatility: float,
    funding_points: float,
) -> tuple[float, float]:
    """Return ``(gross, net)`` of one way in by market order and one way out."""
    base, coefficient = terms.slippage_base, terms.slippage_volatility
    fee, exit_slippage = terms.taker_fee, slippage(base, coefficient, exit_volatility)
    if is_limit:
        fee, exit_slippage = terms.maker_fee, 0.0
    return net_return(
        side,
        entry_price,
        price,
        slippage(base, coefficient, entry_volatility),
        exit_slippage,
        terms.taker_fee,
        fee,
        funding_points,
    )


def push(index: NDArray[np.int32], value: FloatArray, size: int, bar: int, price: float) -> int:
    """Put a bar on a stack of records and return the new size.

    Bars come from right to left; those that a nearer bar reaches or exceeds can never be a first
    touch again and are dropped, so ``value`` falls from the farthest record to the nearest. They
    are counted some at once, without a branch: how many there are is what no processor can guess.
    """
    dropped = AT_ONCE
    while dropped == AT_ONCE and size >= AT_ONCE:
        dropped = 0
        for position in range(size - AT_ONCE, size):
            dropped += value[position] <= price
        size -= dropped
    while size > 0 and value[size - 1] <= price:
        size -= 1
    index[size] = bar
    value[size] = price
    return size + 1


def nearest(value: FloatArray, size: int, hint: int, threshold: float) -> int:
    """Return the position of the nearest record at or above ``threshold``, -1 if there is none.

    ``hint`` is the last answer to a like question. Thresholds move as slowly as prices do, so the
    answer nearly always lies in a window around it, where counting finds it without a branch that
    a processor could mispredict.
    """
    if size < WINDOW:
        return gallop(value, size, hint, threshold)
    first = min(max(hint - WINDOW // 2, 0), size - WINDOW)
    reached = 0
    for position in range(first, first + WINDOW):
        reached += value[position] >= threshold
    if reached == 0 and first > 0:
        return gallop(value, size, first, threshold)
    if reached == WINDOW and first + WINDOW < size:
        return gallop(value, size, first + WINDOW, threshold)
    return first + reached - 1


def gallop(value: FloatArray, size: int, hint: int, threshold: float) -> int:
    """Return what :func:`nearest` does, by doubling steps away from ``hint``, then halving."""
    below = max(min(hint, size - 1), 0)
    step = 1
    if value[below] >= threshold:
        above, below = below, below + 1
        while below < size and value[below] >= threshold:
            above = below
            below += step
            step *= 2
        below = min(below, size)
    else:
        above = below - 1
        while above >= 0 and value[above] < threshold:
            below = above
            above -= step
            step *= 2
        above = max(above, -1)
    while below - above > 1:
        middle = (above + below) >> 1
        if value[middle] >= threshold:
            above = middle
        else:
            below = middle
    return above


def label_by_stack(
    bars: Bars, requests: Requests, terms: Terms, found: Found, horizon_max: int
) -> None:
    """Label every event with the barriers alone, O(1) amortised whatever the horizon.

    Walks from the last event to the first. One stack holds the future's record highs, one the
    record lows (negated), and each answers "first bar at or beyond this price". Four hints, one
    for each side and barrier. Where events lie further apart than the longest horizon the stacks
    start anew, so that sparse events cost no more than their own bars.
    """
    n = bars.open.size
    high_index, high_value = np.empty(n, np.int32), np.empty(n)
    low_index, low_value = np.empty(n, np.int32), np.empty(n)
    hints = np.zeros((2, 2), np.int64)
    highs, lows, next_bar = 0, 0, n + horizon_max
    for row in range(requests.event.size - 1, -1, -1):
        event, side = requests.event[row], requests.side[row]
        entry, after = event + 1, event + 1 + pick(requests.horizon, row)
        if entry >= n:
            found.exit_index[row], found.reason[row] = -1, TRUNCATED
            found.gross[row], found.net[row] = np.nan, np.nan
            found.ambiguous[row] = False
            continue
        if next_bar > event + horizon_max:
            highs, lows, next_bar = 0, 0, min(event + horizon_max, n - 1)
        while next_bar > event:
            highs = push(high_index, high_value, highs, next_bar, bars.high[next_bar])
            lows = push(low_index, low_value, lows, next_bar, -bars.low[next_bar])
            next_bar -= 1
        profit, loss = pick(requests.profit, row), pick(requests.loss, row)
        take_price, target, stop_price = entry_prices(
            terms, bars.open[entry], side, profit, loss, bars.volatility[event]
        )
        is_long = side > 0
        upper, lower = (target, stop_price) if is_long else (stop_price, target)
        kind = 1 if is_long else 0
        up = nearest(high_value, highs, hints[kind, 0], upper)
        down = nearest(low_value, lows, hints[kind, 1], -lower)
        hints[kind, 0], hints[kind, 1] = up, down
        # A bar that is not the touch (none, or beyond the horizon) touches nothing below.
        touched = min(after, n) - 1
        touched = min(touched, high_index[up]) if up >= 0 else touched
        touched = min(touched, low_index[down]) if down >= 0 else touched
        open_, high, low = bars.open[touched], bars.high[touched], bars.low[touched]
        reason, price = touch(side, target, stop_price, open_, high, low)
        found.ambiguous[row] = ambiguous(side, target, stop_price, open_, high, low)
        if reason == PROFIT:
            price = take_price
        leaves = touched
        if reason == NONE and after < n:
            leaves, reason, price = after, TIME, bars.open[after]
        elif reason == NONE:
            leaves, reason, price = n - 1, TRUNCATED, bars.close[n - 1]
        found.exit_index[row], found.reason[row] = leaves, reason
        found.gross[row], found.net[row] = booked(
            terms,
            side,
            bars.open[entry],
            price,
            reason == PROFIT and not terms.take_profit_is_market,
            bars.volatility[event],
            bars.volatility[leaves - 1],
            bars.funding[leaves] - bars.funding[entry],
        )
