"""The walk that plants an edge: signals of altered prices decide how the next price is altered.

Decides nothing of its own: features come from the catalog's kernels, the signal from
``features.signals``, and a test holds the walk against ``features.stream``. Never sees costs.
Rule: plain loops over numbers, compiled once, because a market has sixty thousand bars and the size
of an edge is found by planting it several times.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import numpy as np

from features.compiled import compiled
from features.kernels.momentum import Returns, log_return, log_return_start
from features.kernels.moving import Ema, ema, ema_distance, ema_distance_start, ema_start
from features.kernels.volatility import Realised, realised, realised_start
from features.kernels.windows import Moments, Ring, moments_start, rolling_z
from features.signals import MOMENTUM, SignalParams, scored, verdict
from features.types import Candles, FloatArray

S = TypeVar("S")
SHORT, MEDIUM, WINDOW = 12, 48, 96


def _walk(
    close: FloatArray,
    volume: FloatArray,
    index: int,
    averages: tuple[Ema, Ema],
    scales: tuple[float, float],
    change_state: tuple[Returns, Ring],
    volatility_state: tuple[Realised, Ring],
    surge_state: tuple[Moments, Ring],
    weights: tuple[float, float, float],
    limits: tuple[float, float, float],
    bars: int,
    strength: float,
    prolonged: bool,
    shift: FloatArray,
    drifts: FloatArray,
) -> int:
    """Fill ``shift`` and ``drifts``; return how many drifts there are, the last one open or not."""
    short, medium = averages
    last, last_ring = change_state
    spread, spread_ring = volatility_state
    surge, surge_ring = surge_state
    volatility = short_z = medium_z = math.nan
    found, side, drift, until = 0, 0, 0.0, -1
    for i in range(close.size):
        shift[i + 1] = shift[i] + drift
        price = close[i] * math.exp(shift[i + 1])
        short, near = ema(short, price)
        medium, far = ema(medium, price)
        last, change = log_return(last, last_ring, price)
        if not math.isnan(change):
            spread, volatility = realised(spread, spread_ring, change, index + i)
        if not math.isnan(volatility):
            short_z = ema_distance(scales[0], price, near, volatility)[1]
            medium_z = ema_distance(scales[1], price, far, volatility)[1]
        surge, volume_z = rolling_z(surge, surge_ring, volume[i], index + i)
        score = scored(
            MOMENTUM, short_z, medium_z, volume_z, change, weights[0], weights[1], weights[2]
        )
        fired = verdict(score, 0.0, 0.0, limits[0], limits[1], limits[2])[0]
        if prolonged and fired != 0:
            until = i + bars
        if side != 0 and (i >= until or (prolonged and fired == -side)):
            drifts[found - 1, 3] = i + 1
            drifts[found - 1, 4] = volatility
            side, drift = 0, 0.0
        if side == 0 and fired != 0:
            side, drift, until = fired, fired * strength * volatility, i + bars
            drifts[found, 0] = i + 1
            drifts[found, 1] = side
            drifts[found, 2] = volatility
            found += 1
    return found if side == 0 else found - 1


def drift_walk(
    candles: Candles, signal: SignalParams, *, bars: int, strength: float, prolonged: bool
) -> tuple[FloatArray, FloatArray]:
    """Return the shift of log prices and the drifts that made it.

    Parameters
    ----------
    signal
        Of the momentum rule; its higher timeframe is not looked at.
    bars, strength, prolonged
        As in ``flows.research.planted.plant``.

    Returns
    -------
    tuple of FloatArray
        Shift before and after every bar, shape (n + 1,); drifts that ended, shape (m, 5): first
        bar, side, volatility there, the bar after the last, volatility there.
    """
    shift, drifts = np.zeros(candles.n + 1), np.empty((candles.n, 5))
    found = _compiled()(
        candles.close,
        candles.volume,
        int(candles.open_ms[0]) // candles.interval_ms,
        (ema_start(SHORT), ema_start(MEDIUM)),
        (ema_distance_start(SHORT), ema_distance_start(MEDIUM)),
        _ringed(log_return_start(1)),
        _ringed(realised_start(WINDOW)),
        _ringed(moments_start(WINDOW)),
        (signal.volume_weight, signal.short_ma_weight, signal.med_ma_weight),
        (signal.momentum_threshold, signal.confidence_multiplier, signal.min_confidence_threshold),
        bars,
        strength,
        prolonged,
        shift,
        drifts,
    )
    return shift, drifts[:found]


def _ringed(started: tuple[S, list[float]]) -> tuple[S, FloatArray]:
    state, ring = started
    return state, np.array(ring, dtype=np.float64)


@cache
def _compiled() -> Callable[..., int]:
    return compiled(_walk)
