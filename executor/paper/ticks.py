"""The public path of a bar, where it comes in ticks.

Decides which prices a bar shows on its way. Never decides what they do to a position: the venue
looks at what lies ahead (``matching.Path``). Rule: both extremes are shown, in an order that the
bar itself decides, and nothing is drawn at random.
"""

import math
from dataclasses import dataclass

from executor.paper.market import Series


@dataclass(frozen=True, slots=True)
class Tick:
    """A point of a bar's public path: its share of the bar's time, its price, what lies ahead."""

    is_first: bool
    share: float
    price: float
    ahead_high: float
    ahead_low: float


def ticks(series: Series, index: int, count: int) -> list[Tick]:
    """Return ``count`` points on the public path of bar ``index``: open, extremes, close.

    A bar that rises shows its low first, one that falls its high; both extremes are points.
    """
    candle, scale = series.candles.candle(index), 10.0**series.instrument.places
    rises = candle.close >= candle.open
    corners = [candle.low, candle.high] if rises else [candle.high, candle.low]
    stations = [candle.open, *corners, candle.close]
    prices: list[float] = []
    for number in range(1, count + 1):
        place = 3.0 * number / count
        leg = min(2, math.ceil(place) - 1)
        within = place - leg
        prices.append(
            round((stations[leg] * (1 - within) + stations[leg + 1] * within) * scale) / scale
        )
    for corner in (1, 2):
        prices[max(0, round(corner * count / 3) - 1)] = stations[corner]
    prices[-1] = candle.close
    return [
        Tick(
            is_first=number == 0,
            share=(number + 1) / count,
            price=price,
            ahead_high=max(prices[number:]),
            ahead_low=min(prices[number:]),
        )
        for number, price in enumerate(prices)
    ]
