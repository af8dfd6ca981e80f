"""Candle geometry and the classic patterns, as numbers.

Decides what the shape of the newest one to three candles says. Never answers yes or no: a pattern
has a strength and a direction. Rule: kernels as in ``moving``; a candle without range is 0.
"""

import math

Shape = float  # last close, 0 before the first bar
Pair = tuple[int, float, float, float, float, float, float]  # bars, o and c two ago, o h l c ago


def candle_shape_start() -> Shape:
    """Return the state of :func:`candle_shape` before its first bar."""
    return 0.0


def candle_shape(
    state: Shape, open_: float, high: float, low: float, close: float
) -> tuple[Shape, tuple[float, float, float, float]]:
    """Return (body, upper wick, lower wick, gap) of a candle.

    body = (close - open)/(high - low), -1 to 1; the wicks as shares of the range, 0 to 1; gap =
    log(open / last close), a fraction, NaN for the first bar. Shares of a flat candle are 0.
    """
    gap = math.log(open_ / state) if state > 0.0 else math.nan
    span = high - low
    if not span > 0.0:
        return close, (0.0, 0.0, 0.0, gap)
    top = max(open_, close)
    bottom = min(close, open_)
    return close, ((close - open_) / span, (high - top) / span, (bottom - low) / span, gap)


def candle_patterns_start() -> Pair:
    """Return the state of :func:`candle_patterns` before its first bar."""
    return (0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def candle_patterns(
    state: Pair, open_: float, high: float, low: float, close: float
) -> tuple[Pair, tuple[float, float, float, float, float, float]]:
    """Return (doji, hammer, engulfing, star, inside, march), strengths of six patterns.

    doji: 1 - |body|/range, 0 to 1. hammer: lower wick - upper wick - body as shares of the range,
    positive parts, signed + for a hammer, - for a shooting star. engulfing: share of this body
    that lies beyond the last, opposite one it covers, signed by this body. star: morning (+) or
    evening (-) star, recovered share of the body two bars ago after a small one. inside: 1 -
    range/last range for a range within the last. march: three bodies of one sign, the smallest
    share of range of this one times that sign. NaN for the first two bars. Source: Nison 1991, as
    numbers.
    """
    count, open_2, close_2, open_1, high_1, low_1, close_1 = state
    following = (count + 1 if count < 2 else 2, open_1, close_1, open_, high, low, close)
    if count < 2:
        blank = (math.nan, math.nan, math.nan, math.nan, math.nan, math.nan)
        return following, blank
    span = high - low
    if not span > 0.0:
        return following, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    body = (close - open_) / span
    top = max(open_, close)
    bottom = min(close, open_)
    upper = (high - top) / span
    lower = (bottom - low) / span
    hammer = 0.0
    if lower - upper > abs(body):
        hammer = lower - upper - abs(body)
    elif upper - lower > abs(body):
        hammer = -(upper - lower - abs(body))
    engulfing = engulfed(open_1, close_1, open_, close)
    star = starred(open_2, close_2, open_1, close_1, close)
    span_1 = high_1 - low_1
    inside = 1.0 - span / span_1 if high <= high_1 and low >= low_1 and span_1 > 0.0 else 0.0
    rising = open_2 < close_2 < close_1 < close and open_1 < close_1 and open_ < close
    falling = open_2 > close_2 > close_1 > close and open_1 > close_1 and open_ > close
    march = body if rising or falling else 0.0
    return following, (1.0 - abs(body), hammer, engulfing, star, inside, march)


def engulfed(open_1: float, close_1: float, open_: float, close: float) -> float:
    """Return the signed strength with which a body covers the opposite one before it."""
    if close > open_ and close_1 < open_1 and close >= open_1 and open_ <= close_1:
        return 1.0 - (open_1 - close_1) / (close - open_)
    if close < open_ and close_1 > open_1 and close <= open_1 and open_ >= close_1:
        return -(1.0 - (close_1 - open_1) / (open_ - close))
    return 0.0


def starred(open_2: float, close_2: float, open_1: float, close_1: float, close: float) -> float:
    """Return the signed strength of a morning or evening star; 0 where there is none."""
    fallen = open_2 - close_2
    small = abs(close_1 - open_1) < 0.3 * abs(fallen)
    if not small:
        return 0.0
    highest = max(close_1, open_1)
    lowest = min(open_1, close_1)
    if fallen > 0.0 and highest <= close_2 + 0.3 * fallen and close > close_2:
        return min((close - close_2) / fallen, 1.0)
    if fallen < 0.0 and lowest >= close_2 + 0.3 * fallen and close < close_2:
        return -min((close - close_2) / fallen, 1.0)
    return 0.0
