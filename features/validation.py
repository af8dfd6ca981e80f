"""What candles must be before anything is computed from them.

Decides whether columns of candles, or one candle, can be used. Never repairs and never drops:
the caller is told the row and the column. Rule: every public entry point that takes candles calls
this first, so kernels need no checks of their own.
"""

import math

import numpy as np
from numpy.typing import NDArray

from features.errors import InputError
from features.types import Candle, Candles

PRICES = ("open", "high", "low", "close")
# Within these bounds no product in any kernel overflows or underflows.
PRICE_MIN, PRICE_MAX = 1e-12, 1e15
VOLUME_MAX = 1e18


def check_candles(candles: Candles) -> None:
    """Refuse candles that are not whole, ascending, on their grid and possible.

    Raises
    ------
    InputError
        Naming the first bad row and its column: wrong dtype or shape, a time off the grid, out of
        order or double, a price that is NaN or outside 1e-12..1e15, a high below or a low above
        another price, a volume that is NaN, negative or above 1e18.
    """
    _check_shapes(candles)
    _check_times(candles)
    for name in PRICES:
        column = getattr(candles, name)
        _refuse(
            candles,
            ~((column >= PRICE_MIN) & (column <= PRICE_MAX)),
            name,
            f"must be a price in {PRICE_MIN:g}..{PRICE_MAX:g}",
        )
    top = np.maximum(candles.open, candles.close)
    bottom = np.minimum(candles.open, candles.close)
    _refuse(candles, candles.high < top, "high", "is below open or close")
    _refuse(candles, candles.low > bottom, "low", "is above open or close")
    _refuse(
        candles,
        ~((candles.volume >= 0.0) & (candles.volume <= VOLUME_MAX)),
        "volume",
        f"must be in 0..{VOLUME_MAX:g}",
    )


def check_candle(candle: Candle, interval_ms: int, last_open_ms: int | None) -> None:
    """Refuse one candle by the rules of :func:`check_candles`, and one not after the last.

    Raises
    ------
    InputError
        Naming the bar and the column.
    """
    where = f"bar {candle.open_ms}"
    if candle.open_ms % interval_ms or candle.open_ms < 0:
        raise InputError(f"{where}, column open_ms: not a multiple of {interval_ms} ms")
    if last_open_ms is not None and candle.open_ms <= last_open_ms:
        raise InputError(f"{where} is not after {last_open_ms}: feed bars in order, each once")
    ordered = PRICE_MIN <= candle.low <= candle.high <= PRICE_MAX
    inside = candle.low <= candle.open <= candle.high and candle.low <= candle.close <= candle.high
    if not (ordered and inside):
        prices = {name: getattr(candle, name) for name in PRICES}
        wrong = next(
            (name for name in PRICES if not PRICE_MIN <= prices[name] <= PRICE_MAX),
            "low" if candle.low > min(candle.open, candle.close) else "high",
        )
        raise InputError(f"{where}, column {wrong}: {prices[wrong]} cannot be, of {prices}")
    if not 0.0 <= candle.volume <= VOLUME_MAX:
        raise InputError(f"{where}, column volume: {candle.volume} must be in 0..{VOLUME_MAX:g}")


def check_rate(rate: float) -> None:
    """Refuse a funding rate that is not a number.

    Raises
    ------
    InputError
        Where it is NaN or infinite.
    """
    if not math.isfinite(rate):
        raise InputError(f"funding rate is {rate}; give a fraction per settlement, or None")


def _check_shapes(candles: Candles) -> None:
    if candles.interval_ms <= 0:
        raise InputError(f"candles: interval_ms is {candles.interval_ms}; it must be above 0")
    n = candles.open_ms.size
    for name in ("open_ms", *PRICES, "volume"):
        column = getattr(candles, name)
        wanted = np.int64 if name == "open_ms" else np.float64
        if column.dtype != wanted:
            raise InputError(
                f"candles, column {name}: dtype {column.dtype}; convert it to {wanted.__name__}"
            )
        if column.shape != (n,):
            raise InputError(f"candles, column {name}: shape {column.shape}, open_ms has ({n},)")


def _check_times(candles: Candles) -> None:
    times = candles.open_ms
    _refuse(
        candles,
        (times % candles.interval_ms != 0) | (times < 0),
        "open_ms",
        f"is not a multiple of {candles.interval_ms} ms",
    )
    step = np.zeros(times.size, np.bool_)
    step[1:] = times[1:] <= times[:-1]
    _refuse(candles, step, "open_ms", "is not after the row before; sort, and drop doubles")


def _refuse(candles: Candles, wrong: NDArray[np.bool_], column: str, why: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        value = getattr(candles, column)[row]
        raise InputError(
            f"candles row {row} (open_ms {candles.open_ms[row]}), column {column}: {value} {why}"
        )
