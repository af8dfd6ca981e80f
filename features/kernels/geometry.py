"""Kernels of one bar's shape and of its place in the day and week.

Decides what a single candle says. Keeps no state beyond a counter. Never reads a clock: the time
is the bar's own. Rule: the same signature as every kernel; ``index`` times ``n`` is the bar's
opening minute, where n is the interval in minutes.
"""

from collections.abc import MutableSequence

PLAIN_START = 0


def body(
    state: int,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[int, float]:
    """Return (close - open) / (high - low), -1 to 1; 0 for a flat bar."""
    span = high - low
    return state, (close - open_) / span if span > 0.0 else 0.0


def upper_wick(
    state: int,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[int, float]:
    """Return the share of the range above the body, 0 to 1; 0 for a flat bar."""
    span = high - low
    return state, (high - max(open_, close)) / span if span > 0.0 else 0.0


def lower_wick(
    state: int,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[int, float]:
    """Return the share of the range below the body, 0 to 1; 0 for a flat bar."""
    span = high - low
    return state, (min(open_, close) - low) / span if span > 0.0 else 0.0


def day_fraction(
    state: int,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[int, float]:
    """Return the share of the UTC day that has passed at the bar's close, 0 to 1."""
    return state, ((index + 1) * n % 1440) / 1440.0


def week_fraction(
    state: int,
    ring: MutableSequence[float],
    n: int,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[int, float]:
    """Return the share of the week that has passed at the bar's close; Monday 00:00 UTC is 0."""
    return state, (((index + 1) * n + 4320) % 10080) / 10080.0
