"""Where a position's barriers lie, and which of them a bar touches.

Decides the take-profit and stop prices and what a bar does to them: the one exit rule of the
labels, the live position, the simulation and the paper exchange. Never looks past the bar it is
given, never charges costs, never rounds.
Rule: undecorated functions, scalars in, tuple out. Enter at a bar's open; scan from that bar on;
both barriers in one bar count as the stop unless the open was already past the profit barrier;
a stop that the market jumps over fills at the open; a profit is never better than its barrier. A
time exit is decided at the close of the last bar held and fills at the next open.
"""

NONE = 0
PROFIT = 1
STOP = 2
TIME = 3
TRUNCATED = 4

REASON_NAMES = {NONE: "none", PROFIT: "profit", STOP: "stop", TIME: "time", TRUNCATED: "truncated"}


def barrier_fractions(
    profit: float, loss: float, volatility_scaled: bool, volatility: float
) -> tuple[float, float]:
    """Return the barriers' distances as fractions of the entry price.

    ``profit`` and ``loss`` are fractions, or with ``volatility_scaled`` multiples of the per-bar
    ``volatility`` of the signal's bar.
    """
    if volatility_scaled:
        return profit * volatility, loss * volatility
    return profit, loss


def barrier_prices(
    entry_price: float, side: int, profit: float, loss: float
) -> tuple[float, float]:
    """Return ``(take_price, stop_price)`` of a position of ``side`` (1 long, -1 short).

    Parameters
    ----------
    entry_price : float
        Reference price: the open of the entry bar, before slippage.
    profit, loss : float
        Distances as fractions, above 0.
    """
    if side > 0:
        return entry_price * (1.0 + profit), entry_price * (1.0 - loss)
    return entry_price * (1.0 - profit), entry_price * (1.0 + loss)


def traded_through(side: int, take_price: float, tick: float) -> float:
    """Return the price a bar must reach for a *limit* take-profit at ``take_price`` to fill."""
    return take_price + tick if side > 0 else take_price - tick


def touch(
    side: int, take_price: float, stop_price: float, open_: float, high: float, low: float
) -> tuple[int, float]:
    """Return ``(reason, price)``: what this bar does to a position's two barriers.

    ``NONE`` (price 0), ``PROFIT`` at the take price, or ``STOP`` at the stop price or, where the
    bar opened beyond it, at the open.
    """
    if side > 0:
        stopped = low <= stop_price
        if high >= take_price and (not stopped or open_ >= take_price):
            return PROFIT, take_price
        if stopped:
            return STOP, min(stop_price, open_)
        return NONE, 0.0
    stopped = high >= stop_price
    if low <= take_price and (not stopped or open_ <= take_price):
        return PROFIT, take_price
    if stopped:
        return STOP, max(stop_price, open_)
    return NONE, 0.0


def ambiguous(
    side: int, take_price: float, stop_price: float, open_: float, high: float, low: float
) -> bool:
    """Say whether a bar holds both barriers and its open does not tell which came first."""
    if side > 0:
        return high >= take_price > open_ > stop_price >= low
    return low <= take_price < open_ < stop_price <= high
