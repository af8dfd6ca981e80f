"""Markets with nothing to find: what the gate's honesty is measured on.

Decides how such markets are made. Never judges. Rule: everything random comes from the Generator
given; a null has the volatility, the jumps and the comovement of a market but no way to know the
next sign; costs are set to zero by the caller, because costs alone make refusal easy.
"""

from collections.abc import Sequence

import numpy as np
from scipy.signal import lfilter

from features.types import Candles, FloatArray, Funding
from flows.research.market import DAY_MS

YEAR_MS = 365 * DAY_MS
ANNUAL_VOLATILITY = 0.7
COMMON = 0.6
JUMPS_A_DAY = 0.3
Histories = list[tuple[Candles, Funding]]


def sign_flipped(
    histories: Sequence[tuple[Candles, Funding]], rng: np.random.Generator
) -> Histories:
    """Return real histories with one random sign a bar, the same for all symbols.

    Log open, high, low and close over the previous close are multiplied by the bar's sign, high
    and low swapped where it is negative: volatility, volume, wicks and comovement stay, the
    direction is a coin toss. Symbols must share their bars.
    """
    n = min(candles.n for candles, _ in histories)
    signs = rng.choice(np.array([-1.0, 1.0]), n)
    return [(_flipped(c.slice(c.n - n, c.n), signs), idle_funding(c)) for c, _ in histories]


def driftless(
    rng: np.random.Generator, *, symbols: int, bars: int, interval_ms: int, start_ms: int
) -> Histories:
    """Return martingales of stochastic volatility with a common factor and opening jumps.

    Inside a bar the path is a Brownian bridge, and high and low follow the law of its extremes: a
    barrier is met exactly, never jumped over, so that filling there is fair. A path made of a few
    steps a bar would not do: stops "filled" at their price where the path leapt past it are free
    money, and a gate measured on such a market is measured on its artefact. Jumps fall between
    bars, where stops gap to the open.
    """
    sigma = ANNUAL_VOLATILITY * np.sqrt(interval_ms / YEAR_MS)
    common = _volatility_path(rng, bars) * rng.standard_normal(bars)
    made: Histories = []
    for number in range(symbols):
        own = _volatility_path(rng, bars)
        scale = sigma * own
        shock = np.sqrt(COMMON) * common + np.sqrt(1.0 - COMMON) * rng.standard_normal(bars)
        inside = scale * shock - 0.5 * scale * scale
        jump = (rng.random(bars) < JUMPS_A_DAY * interval_ms / DAY_MS) * rng.standard_normal(bars)
        gap = 4.0 * sigma * jump
        gap -= 8.0 * sigma * sigma * (jump != 0.0)
        price = 10.0 ** (4.5 - 1.2 * (number % 4))
        candles = _bridged(rng, inside, gap, scale, price, interval_ms, start_ms)
        made.append((candles, idle_funding(candles)))
    return made


def drifting(histories: Histories, annual: float) -> Histories:
    """Return histories whose log prices drift by ``annual`` a year: a tide that lifts all boats."""
    return [(_drifted(candles, annual), funding) for candles, funding in histories]


def idle_funding(candles: Candles) -> Funding:
    """Return settlements every 8 hours at a rate of zero."""
    step = 28_800_000
    first = int(candles.open_ms[0]) // step * step
    times = np.arange(first, int(candles.close_ms[-1]) + step, step, dtype=np.int64)
    return Funding(time_ms=times, rate=np.zeros(times.size))


def _volatility_path(rng: np.random.Generator, bars: int) -> FloatArray:
    """Return a lognormal multiplier of mean square about 1 that forgets over some 50 bars."""
    log_level = lfilter([1.0], [1.0, -0.98], rng.standard_normal(bars) * 0.1)
    multiplier: FloatArray = np.exp(log_level - float(np.var(log_level)))
    return multiplier


def _bridged(
    rng: np.random.Generator,
    inside: FloatArray,
    gap: FloatArray,
    scale: FloatArray,
    price: float,
    interval_ms: int,
    start_ms: int,
) -> Candles:
    """Return candles of log moves ``inside`` bars and ``gap`` before them."""
    bars = inside.size
    end = np.cumsum(inside + gap)
    begin = end - inside
    reach = [
        np.sqrt(inside * inside - 2.0 * scale * scale * np.log(rng.random(bars))) for _ in range(2)
    ]
    high = begin + (inside + reach[0]) / 2.0
    low = begin + (inside - reach[1]) / 2.0
    open_, close = price * np.exp(begin), price * np.exp(end)
    moved = np.abs(inside) / scale
    return Candles(
        interval_ms=interval_ms,
        open_ms=start_ms + interval_ms * np.arange(bars, dtype=np.int64),
        open=open_,
        high=np.maximum(price * np.exp(high), np.maximum(open_, close)),
        low=np.minimum(price * np.exp(low), np.minimum(open_, close)),
        close=close,
        volume=np.exp(rng.normal(0.0, 0.35, bars)) * (0.4 + moved) * 1e7 / price,
    )


def _flipped(candles: Candles, signs: FloatArray) -> Candles:
    before = np.concatenate(([candles.open[0]], candles.close[:-1]))
    moves = [np.log(x / before) * signs for x in (candles.open, candles.high, candles.low)]
    steps = np.log(candles.close / before) * signs
    close = float(candles.open[0]) * np.exp(np.cumsum(steps))
    start = np.concatenate(([candles.open[0]], close[:-1]))
    open_, high, low = (start * np.exp(move) for move in moves)
    return Candles(
        interval_ms=candles.interval_ms,
        open_ms=candles.open_ms,
        open=open_,
        high=np.maximum(np.maximum(high, low), np.maximum(open_, close)),
        low=np.minimum(np.minimum(high, low), np.minimum(open_, close)),
        close=close,
        volume=candles.volume,
    )


def _drifted(candles: Candles, annual: float) -> Candles:
    rate = np.log1p(annual) if annual > 0.0 else -np.log1p(-annual)
    grown = np.exp(rate * (candles.open_ms - candles.open_ms[0]) / YEAR_MS)
    later = np.exp(rate * (candles.close_ms - candles.open_ms[0]) / YEAR_MS)
    open_, close = candles.open * grown, candles.close * later
    return Candles(
        interval_ms=candles.interval_ms,
        open_ms=candles.open_ms,
        open=open_,
        high=np.maximum(candles.high * later, np.maximum(open_, close)),
        low=np.minimum(candles.low * grown, np.minimum(open_, close)),
        close=close,
        volume=candles.volume,
    )
