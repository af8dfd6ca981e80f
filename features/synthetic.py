"""A seeded market to try things on: clustering volatility, regimes with momentum, jumps, funding.

Decides how the simulated market moves; shared by the paper exchange, the gate's null markets and
the tests. Never claims to be real: the figures only resemble crypto perpetuals. Rule: all chance
comes from the generator given, so a seed is a market.
"""

from dataclasses import dataclass

import numpy as np

from features.errors import InputError
from features.types import Candles, FloatArray, Funding, IntArray

DAY_MS = 86_400_000
FUNDING_MS = 28_800_000
SUBSTEPS = 4
SMOOTHED_TOGETHER = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SyntheticSymbol:
    """One symbol's simulated history."""

    candles: Candles
    funding: Funding


def simulate_market(
    rng: np.random.Generator,
    *,
    symbols: int,
    bars: int,
    interval_ms: int,
    start_ms: int,
    annual_volatility: float = 0.7,
    correlation: float = 0.6,
    momentum: float = 0.03,
    jumps_per_day: float = 0.3,
) -> list[SyntheticSymbol]:
    """Return ``symbols`` correlated histories of ``bars`` bars each.

    Parameters
    ----------
    annual_volatility : float
        Long-run volatility of log prices, a fraction a year.
    correlation : float
        Share of a symbol's variance that a common factor explains.
    momentum : float
        How far returns follow the slow average of past ones: three times this in a trending
        stretch, minus this in a choppy one. At 0.03 the default momentum signal earns about
        40 basis points a trade after costs, far more than real markets give; at 0.015 about ten;
        at 0 it loses its costs, because there is nothing to find.

    Raises
    ------
    InputError
        Where a count or the interval is not positive.
    """
    if symbols < 1 or bars < 1 or interval_ms < 1:
        raise InputError("simulated market: symbols, bars and interval must be above 0")
    steps = bars * SUBSTEPS
    sigma = annual_volatility * np.sqrt(interval_ms / SUBSTEPS / (365.0 * DAY_MS))
    common = _clustered(rng, steps) * rng.standard_normal(steps)
    memory = _regimes(rng, steps, momentum)
    times = start_ms + interval_ms * np.arange(bars, dtype=np.int64)
    out = []
    for number in range(symbols):
        own = _clustered(rng, steps) * rng.standard_normal(steps)
        shocks = np.sqrt(correlation) * common + np.sqrt(1.0 - correlation) * own
        rate = jumps_per_day * interval_ms / SUBSTEPS / DAY_MS
        jumps = (rng.random(steps) < rate) * rng.standard_normal(steps) * 8.0
        returns = sigma * _autoregressive(shocks + jumps, memory)
        start = 10.0 ** (4.5 - 1.2 * (number % 4)) * (1.0 + 0.1 * rng.random())
        out.append(_symbol(rng, returns, start, times, interval_ms))
    return out


def _clustered(rng: np.random.Generator, steps: int) -> FloatArray:
    """Return a volatility multiplier around 1 that decays over about a day of steps."""
    level = _smoothed(rng.standard_normal(steps) * 0.03, 0.998)
    multiplier: FloatArray = np.exp(level - 0.5 * np.var(level))
    return multiplier


def _regimes(rng: np.random.Generator, steps: int, momentum: float) -> FloatArray:
    """Return the autocorrelation of each step: trending and choppy stretches of random length."""
    memory = np.empty(steps)
    at = 0
    trending = bool(rng.random() < 0.5)
    while at < steps:
        length = int(rng.exponential(1200.0)) + 100
        memory[at : at + length] = momentum * 3.0 if trending else -momentum
        trending = not trending
        at += length
    return memory


def _autoregressive(shocks: FloatArray, memory: FloatArray) -> FloatArray:
    """Return shocks with each step's autocorrelation through a slow average of past returns."""
    slow = _smoothed(0.3 * shocks[:-1], 0.97)
    return shocks + memory * np.concatenate((np.zeros(1), slow))


def _smoothed(shocks: FloatArray, keep: float) -> FloatArray:
    """Return at each step ``keep`` times the value before plus the step's shock.

    In blocks: the sum of k^(n-i)·x_i is k^n times that of x_i/k^i, and k^n must not vanish.
    """
    fade = keep ** np.arange(1.0, SMOOTHED_TOGETHER + 1.0)
    values = np.empty(shocks.size)
    value = 0.0
    for begin in range(0, shocks.size, SMOOTHED_TOGETHER):
        block = shocks[begin : begin + SMOOTHED_TOGETHER]
        k = fade[: block.size]
        values[begin : begin + block.size] = k * (value + np.cumsum(block / k))
        value = values[begin + block.size - 1]
    return values


def _symbol(
    rng: np.random.Generator,
    returns: FloatArray,
    start: float,
    times: IntArray,
    interval_ms: int,
) -> SyntheticSymbol:
    """Return one symbol; its candles share ``times`` with all others."""
    bars, start_ms = times.size, int(times[0])
    path = start * np.exp(np.cumsum(returns)).reshape(bars, SUBSTEPS)
    close = path[:, -1]
    open_: FloatArray = np.concatenate((np.array([start]), close[:-1]))
    high = np.maximum(path.max(axis=1), open_)
    low = np.minimum(path.min(axis=1), open_)
    moved = np.abs(np.log(close / open_))
    typical = float(np.mean(moved)) or 1.0
    volume = np.exp(rng.normal(0.0, 0.35, bars)) * (0.4 + moved / typical) * 1e7 / start
    digits = max(0, 6 - int(np.floor(np.log10(start))))
    candles = Candles(
        interval_ms=interval_ms,
        open_ms=times,
        open=np.round(open_, digits),
        high=np.round(high, digits),
        low=np.round(low, digits),
        close=np.round(close, digits),
        volume=np.round(volume, 3),
    )
    first = -(-start_ms // FUNDING_MS) * FUNDING_MS
    settled = np.arange(first, int(times[-1]) + interval_ms + 1, FUNDING_MS, dtype=np.int64)
    at = np.clip((settled - start_ms) // interval_ms - 1, 0, bars - 1)
    back = np.maximum(at - max(1, DAY_MS // interval_ms), 0)
    drift = np.log(close[at] / close[back])
    rates = np.clip(0.0001 + 0.004 * drift + rng.normal(0.0, 3e-5, settled.size), -0.003, 0.003)
    return SyntheticSymbol(
        candles=candles, funding=Funding(time_ms=settled, rate=np.round(rates, 8))
    )
