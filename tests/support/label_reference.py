"""Triple-barrier labels the slow way: one event, one bar at a time, written from the prose.

Shares only ``costs.net_return`` and ``costs.slippage`` (proven against a ledger of their own) with
what it checks; the walk, the order within a bar and the settlements are stated here anew.
"""

import math
from dataclasses import dataclass

import numpy as np

from features.barriers import PROFIT, STOP, TIME, TRUNCATED
from features.costs import Costs, net_return, slippage
from features.types import Candles


@dataclass(frozen=True)
class Outcome:
    exit_index: int
    reason: int
    gross: float
    net: float
    ambiguous: bool


def outcome(
    candles: Candles,
    event: int,
    side: int,
    profit: float,
    loss: float,
    horizon: int,
    costs: Costs,
    settlements: list[tuple[int, float]],
    volatility: np.ndarray,
    tick: float,
) -> Outcome:
    """Return what becomes of one event; ``settlements`` are (whole-minute ms, rate) pairs."""
    entry = event + 1
    if entry >= candles.n:
        return Outcome(-1, TRUNCATED, math.nan, math.nan, False)
    bars = [candles.candle(i) for i in range(candles.n)]
    paid = bars[entry].open
    take = paid * (1.0 + profit) if side == 1 else paid * (1.0 - profit)
    stop = paid * (1.0 - loss) if side == 1 else paid * (1.0 + loss)
    reach = take if costs.take_profit_is_market else take + tick * side

    found = None
    for index in range(entry, entry + horizon):
        if index >= candles.n:
            found = (candles.n - 1, TRUNCATED, bars[-1].close, False)
            break
        bar = bars[index]
        takes = bar.high >= reach if side == 1 else bar.low <= reach
        stops = bar.low <= stop if side == 1 else bar.high >= stop
        opened_past_take = (bar.open - reach) * side >= 0
        opened_past_stop = (stop - bar.open) * side >= 0
        if takes and stops and not opened_past_take:
            price = bar.open if opened_past_stop else stop
            found = (index, STOP, price, not opened_past_stop)
        elif takes:
            found = (index, PROFIT, take, False)
        elif stops:
            found = (index, STOP, bar.open if opened_past_stop else stop, False)
        if found:
            break
    if found is None:
        after = entry + horizon
        if after < candles.n:
            found = (after, TIME, bars[after].open, False)
        else:
            found = (candles.n - 1, TRUNCATED, bars[-1].close, False)

    leaves, reason, price, unclear = found
    limit = reason == PROFIT and not costs.take_profit_is_market
    points = funding_points(candles, settlements)
    gross, net = net_return(
        side,
        paid,
        price,
        slippage(costs.slippage_base, costs.slippage_volatility, float(volatility[event])),
        0.0
        if limit
        else slippage(
            costs.slippage_base, costs.slippage_volatility, float(volatility[leaves - 1])
        ),
        costs.taker_fee,
        costs.maker_fee if limit else costs.taker_fee,
        points[leaves] - points[entry],
    )
    return Outcome(leaves, reason, gross, net, unclear)


def funding_points(candles: Candles, settlements: list[tuple[int, float]]) -> list[float]:
    """Return the running sum of rate·open, each settlement at the first bar at or after it."""
    due = [0.0] * candles.n
    for settled, rate in settlements:
        for index in range(candles.n):
            if candles.open_ms[index] >= settled:
                if index:
                    due[index] += rate * float(candles.open[index])
                break
    total, running = 0.0, []
    for amount in due:
        total += amount
        running.append(total)
    return running
