"""The loop of the labels for any exit plan: walk each position bar by bar.

Decides nothing of its own: what a bar does is ``exit_plan``, the money is ``costs``. Never
validates (``labels`` did) and never allocates per event.
Rule: undecorated; ``labels`` compiles these functions and the tests interpret them. With the
barriers alone this is the plain reference that the stack kernel equals.
"""

import numpy as np

from features.barriers import (
    NONE,
    PROFIT,
    TIME,
    TRUNCATED,
    barrier_fractions,
    traded_through,
)
from features.exit_plan import exit_step, favourable, managed_stop, plan_prices
from features.label_kernel import Bars, Found, Requests, Terms, booked, entry_prices, pick


def follow(
    bars: Bars, terms: Terms, event: int, side: int, profit: float, loss: float, horizon: int
) -> tuple[int, int, float, bool, int, float]:
    """Walk one position bar by bar through its exit plan.

    Returns ``(exit_index, reason, price, unclear, partial_index, partial_price)``; the partial's
    index is -1 where it did not fill.
    """
    n, entry_price, volatility = bars.open.size, bars.open[event + 1], bars.volatility[event]
    take_price, target, stop_price = entry_prices(
        terms, entry_price, side, profit, loss, volatility
    )
    profit, loss = barrier_fractions(profit, loss, terms.volatility_scaled, volatility)
    partial_price, break_even_price, trail_points, trail_from_price = plan_prices(
        entry_price,
        side,
        profit,
        loss,
        terms.partial_at,
        terms.break_even_offset,
        terms.trail,
        terms.trail_from,
    )
    partial_target = traded_through(side, partial_price, terms.tick)
    partial_index, best = -1, entry_price
    for bar in range(event + 1, min(event + horizon + 1, n)):
        resting = terms.partial_fraction > 0.0 and partial_index < 0
        high, low = bars.high[bar], bars.low[bar]
        fills, reason, price, unclear = exit_step(
            side, target, stop_price, partial_target, resting, bars.open[bar], high, low
        )
        if fills:
            partial_index = bar
        if reason != NONE:
            if reason == PROFIT:
                price = take_price
            return bar, reason, price, unclear, partial_index, partial_price
        best = favourable(side, best, high, low)
        stop_price = managed_stop(
            side,
            stop_price,
            best,
            partial_index >= 0,
            terms.break_even,
            break_even_price,
            trail_points,
            trail_from_price,
        )
    leaves = event + horizon + 1
    if leaves < n:
        return leaves, TIME, bars.open[leaves], False, partial_index, partial_price
    return n - 1, TRUNCATED, bars.close[n - 1], False, partial_index, partial_price


def label_by_scan(bars: Bars, requests: Requests, terms: Terms, found: Found) -> None:
    """Label every event by walking its exit plan; O(bars held) an event."""
    for row in range(requests.event.size):
        event, side = requests.event[row], requests.side[row]
        if event + 1 >= bars.open.size:
            found.exit_index[row], found.reason[row] = -1, TRUNCATED
            found.gross[row], found.net[row] = np.nan, np.nan
            found.ambiguous[row] = False
            continue
        leaves, reason, price, unclear, partial, partial_price = follow(
            bars,
            terms,
            event,
            side,
            pick(requests.profit, row),
            pick(requests.loss, row),
            int(pick(requests.horizon, row)),
        )
        gross, net = booked(
            terms,
            side,
            bars.open[event + 1],
            price,
            reason == PROFIT and not terms.take_profit_is_market,
            bars.volatility[event],
            bars.volatility[leaves - 1],
            bars.funding[leaves] - bars.funding[event + 1],
        )
        if partial >= 0:
            partial_gross, partial_net = booked(
                terms,
                side,
                bars.open[event + 1],
                partial_price,
                True,
                bars.volatility[event],
                bars.volatility[partial - 1],
                bars.funding[partial] - bars.funding[event + 1],
            )
            share = terms.partial_fraction
            gross = share * partial_gross + (1.0 - share) * gross
            net = share * partial_net + (1.0 - share) * net
        found.exit_index[row], found.reason[row] = leaves, reason
        found.gross[row], found.net[row] = gross, net
        found.ambiguous[row] = unclear
