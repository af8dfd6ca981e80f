"""The hot decisions: numbers in, numbers out.

Decides whether an edge is worth its error, how large a bet is, and when time is up. Never sees an
object, a name or a clock.
Rule: undecorated plain functions without dataclasses, ``**`` or transcendental functions, so that
the same source is interpreted by the executor and compiled by a simulation, to the last bit. NaN
never passes: every comparison is written so that NaN refuses.
"""

from typing import Final

# Verdicts of entry_verdict.
ENTER: Final = 0
NO_EDGE: Final = 1
NO_ECONOMICS: Final = 2

# No account bets this much: infinity is a mistake somewhere.
LARGEST: Final = 1e300

# What bound the size.
BY_KELLY: Final = 0
BY_RISK: Final = 1
BY_POSITION: Final = 2
BY_VOLUME: Final = 3


def expected_net(probability: float, win_mean: float, loss_mean: float) -> float:
    """Return μ = p·W - (1-p)·L, the expected net return of a bet (fractions; L positive)."""
    return probability * win_mean - (1.0 - probability) * loss_mean


def entry_verdict(expected: float, error: float, kappa: float) -> tuple[int, float]:
    """Return ``(verdict, edge)``: enter where μ - κ·se > 0.

    ``NO_ECONOMICS`` where the expected return or its error is not a number: a group that training
    never saw is not traded.
    """
    edge = expected - kappa * error
    if edge > 0.0 and error >= 0.0:
        return ENTER, edge
    if edge <= 0.0 and error >= 0.0:
        return NO_EDGE, edge
    return NO_ECONOMICS, edge


def shrunk_probability(probability: float, prior_count: float, wins: float, n: float) -> float:
    """Return p̃ = (n0·p + wins)/(n0 + n), the posterior mean in a calibration bucket."""
    total = prior_count + n
    if not total > 0.0:
        return probability
    return (prior_count * probability + wins) / total


def kelly_bet(probability: float, win_mean: float, loss_mean: float, second_moment: float) -> float:
    """Return f = max(0, μ/E[r²]): the growth-optimal notional as a fraction of equity."""
    expected = expected_net(probability, win_mean, loss_mean)
    if not expected > 0.0 or not second_moment > 0.0:
        return 0.0
    return expected / second_moment


def kelly_share(share_max: float, position_cap: float, bet_q90: float) -> float:
    """Return k = min(share_max, cap/Q90): the 90 % bet out of fold just reaches the cap."""
    if not bet_q90 > 0.0:
        return share_max
    share = position_cap / bet_q90
    if share < share_max:
        return share
    return share_max


def drawdown_throttle(drawdown: float, start: float, full: float, floor: float) -> float:
    """Return the factor on every bet: 1 up to ``start``, falling straight to ``floor`` at ``full``.

    ``drawdown`` is a positive fraction of the peak equity.
    """
    if drawdown <= start:
        return 1.0
    if drawdown >= full or full <= start:
        return floor
    return 1.0 - (1.0 - floor) * (drawdown - start) / (full - start)


def bet_notional(
    equity: float,
    throttle: float,
    kelly: float,
    risk_fraction: float,
    stop_distance: float,
    position_cap: float,
    volume_notional: float,
) -> tuple[float, int]:
    """Return ``(notional, bound_by)`` of a bet in quote currency.

    notional = equity · throttle · min(kelly, risk_fraction/stop_distance, position_cap), and never
    more than ``volume_notional``. 0 where any input is not a positive number.
    """
    if not equity > 0.0 or not stop_distance > 0.0 or not kelly > 0.0 or not throttle > 0.0:
        return 0.0, BY_KELLY
    # Here and not by the comparisons below: the next cap would replace one that is NaN.
    if not risk_fraction > 0.0:
        return 0.0, BY_RISK
    if not position_cap > 0.0:
        return 0.0, BY_POSITION
    if not volume_notional > 0.0:
        return 0.0, BY_VOLUME
    fraction, bound = kelly, BY_KELLY
    by_risk = risk_fraction / stop_distance
    if fraction > by_risk:
        fraction, bound = by_risk, BY_RISK
    if fraction > position_cap:
        fraction, bound = position_cap, BY_POSITION
    notional = equity * throttle * fraction
    if notional > volume_notional:
        notional, bound = volume_notional, BY_VOLUME
    if not 0.0 < notional < LARGEST:
        return 0.0, bound
    return notional, bound


def variance_share(held: float, crossed: float, added: float, target: float) -> float:
    """Return the largest share s in [0, 1] of a new bet that keeps the book's variance in bounds.

    The bound is held + 2·s·crossed + s²·added <= target, all variances of the book per bar: what
    is held, its covariance with the new bet, the new bet's own. By bisection (48 halvings), so
    that no root is taken and the result is never above the exact one.
    """
    if not target > 0.0 or not held <= target:
        return 0.0
    if held + 2.0 * crossed + added <= target:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(48):
        middle = 0.5 * (low + high)
        if held + middle * (2.0 * crossed + middle * added) <= target:
            low = middle
        else:
            high = middle
    return low


def beta_share(held: float, added: float, limit: float) -> float:
    """Return the largest share s in [0, 1] of a new bet with |held + s·added| <= limit."""
    after = held + added
    if -limit <= after <= limit:
        return 1.0
    if added > 0.0:
        share = (limit - held) / added
    elif added < 0.0:
        share = (-limit - held) / added
    else:
        return 0.0
    if not share > 0.0:
        return 0.0
    if share > 1.0:
        return 1.0
    return share


def time_is_up(close_ms: int, deadline_ms: int) -> bool:
    """Say whether a position's time barrier is reached at this close."""
    return close_ms >= deadline_ms


def is_passed(side: int, stop_price: float, price: float) -> bool:
    """Say whether a market at ``price`` has reached a stop: a venue no longer takes it as one."""
    return side * (price - stop_price) <= 0.0
