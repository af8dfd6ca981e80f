"""How a position is led out of the market beyond its two barriers.

Decides what the orders resting at the venue do in one bar (``exit_step``) and where the stop moves
at the bar's close (``favourable``, ``managed_stop``). The executor calls the latter two at every
close, the simulation and the paper exchange walk bars by the former, labels are made with all.
Never decides entries, never charges costs. The time barrier is the caller's count of bars.
Rule: undecorated scalar functions; inside a bar the adverse side comes first; a move of the stop
acts from the next bar on and only ever tightens; with no partial and no trailing, ``exit_step``
is ``barriers.touch``.
"""

import math
from dataclasses import dataclass

from features.barriers import STOP, ambiguous, touch
from features.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPlan:
    """What happens between entry and the barriers; the default is the barriers alone.

    ``partial_fraction`` of the quantity rests as a reduce-only limit order at ``partial_at`` times
    the profit barrier's distance (0 = none); once filled, ``break_even`` moves the stop to the
    entry price plus ``break_even_offset`` (fraction of it, in the position's favour). The rest
    leaves at the profit barrier. ``trail`` times the loss barrier's distance is the trailing
    stop's distance from the best price seen (0 = none), from the moment that price has come
    ``trail_from`` times the profit barrier's distance.
    """

    partial_fraction: float = 0.0
    partial_at: float = 0.5
    break_even: bool = False
    break_even_offset: float = 0.0
    trail: float = 0.0
    trail_from: float = 0.0

    def __post_init__(self) -> None:
        rules = (
            ("partial_fraction", 0.0 <= self.partial_fraction < 1.0, "0 or more and below 1"),
            ("partial_at", 0.0 < self.partial_at <= 1.0, "above 0 and at most 1"),
            ("break_even_offset", 0.0 <= self.break_even_offset < 1.0, "0 or more and below 1"),
            ("trail", 0.0 <= self.trail < math.inf, "0 or more"),
            ("trail_from", 0.0 <= self.trail_from <= 1.0, "between 0 and 1"),
        )
        for name, holds, wanted in rules:
            if not holds:
                raise InputError(f"exit plan: {name} is {getattr(self, name)}; it must be {wanted}")
        if self.break_even and not self.partial_fraction:
            raise InputError("exit plan: break_even acts after a partial; set partial_fraction")

    @property
    def barriers_alone(self) -> bool:
        """Whether nothing but the two barriers and the time limit acts."""
        return self.partial_fraction == 0.0 and self.trail == 0.0


def plan_prices(
    entry_price: float,
    side: int,
    profit: float,
    loss: float,
    partial_at: float,
    break_even_offset: float,
    trail: float,
    trail_from: float,
) -> tuple[float, float, float, float]:
    """Return ``(partial_price, break_even_price, trail_points, trail_from_price)`` of a position.

    ``profit`` and ``loss`` are the barriers' distances as fractions of ``entry_price`` (after any
    scaling by volatility); the rest are the fields of :class:`ExitPlan`.
    """
    partial_price = entry_price * (1.0 + side * (partial_at * profit))
    break_even_price = entry_price * (1.0 + side * break_even_offset)
    trail_points = entry_price * (trail * loss)
    trail_from_price = entry_price * (1.0 + side * (trail_from * profit))
    return partial_price, break_even_price, trail_points, trail_from_price


def favourable(side: int, best: float, high: float, low: float) -> float:
    """Return the best price seen so far by a position, this bar included."""
    if side > 0:
        return max(best, high)
    return min(best, low)


def managed_stop(
    side: int,
    stop_price: float,
    best: float,
    partial_filled: bool,
    break_even: bool,
    break_even_price: float,
    trail_points: float,
    trail_from_price: float,
) -> float:
    """Return the stop for the next bar: break-even after the partial, then trailing; never wider.

    Parameters
    ----------
    best : float
        Best price seen since entry (:func:`favourable`), this bar included.
    trail_points : float
        Distance in quote currency; 0 = no trailing.
    """
    if side > 0:
        if break_even and partial_filled:
            stop_price = max(stop_price, break_even_price)
        if trail_points > 0.0 and best >= trail_from_price:
            stop_price = max(stop_price, best - trail_points)
        return stop_price
    if break_even and partial_filled:
        stop_price = min(stop_price, break_even_price)
    if trail_points > 0.0 and best <= trail_from_price:
        stop_price = min(stop_price, best + trail_points)
    return stop_price


def exit_step(
    side: int,
    take_price: float,
    stop_price: float,
    partial_price: float,
    partial_resting: bool,
    open_: float,
    high: float,
    low: float,
) -> tuple[bool, int, float, bool]:
    """Return ``(partial_fills, reason, price, unclear)``: what one bar does to resting orders.

    Parameters
    ----------
    take_price, partial_price : float
        Prices at which the two profit orders fill; for a limit order that is a tick beyond its
        price (``barriers.traded_through``).
    partial_resting : bool
        Whether the partial take-profit is still in the book.

    Returns
    -------
    partial_fills : bool
        The partial filled in this bar, before whatever ``reason`` says of the rest. In a bar that
        also stops the position it did so only if the open was already past it.
    reason, price : int, float
        As :func:`features.barriers.touch`, for the rest of the position.
    unclear : bool
        The bar holds the stop and a profit order, and its open does not say which came first.
    """
    reason, price = touch(side, take_price, stop_price, open_, high, low)
    unclear = ambiguous(side, take_price, stop_price, open_, high, low)
    if not partial_resting:
        return False, reason, price, unclear
    unclear = unclear or ambiguous(side, partial_price, stop_price, open_, high, low)
    if side > 0:
        past, reached = open_ >= partial_price, high >= partial_price
    else:
        past, reached = open_ <= partial_price, low <= partial_price
    return past or (reached and reason != STOP), reason, price, unclear
