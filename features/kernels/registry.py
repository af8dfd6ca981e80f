"""The kernels that a catalog may name.

Decides how each is begun, how many values it gives and after how many bars two histories agree.
Never computes a feature. Rule: a kernel is one plain function and its ``_start``; a new one is
registered here and nowhere else.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from features.drivers import INPUTS_MAX
from features.errors import InputError
from features.kernels import (
    calendar,
    carry,
    geometry,
    memory,
    momentum,
    moving,
    profile,
    volatility,
    volume,
    windows,
)

# A recurrence has forgotten where it began, to the last bit, in 31 to 40 time constants (measured,
# tests/features/test_warmup.py); the rest is margin.
TIME_CONSTANTS: Final = 48.0
# A settlement is at most 8 hours away, and no base bar is shorter than a minute.
BARS_PER_SETTLEMENT: Final = 480


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """An update and what the engine must know of it.

    ``update(state, *inputs) -> (state, value)``, or a tuple of ``outputs`` values where there are
    more than one; ``start(*parameters) -> state``. Where it is ``ringed``, ``start`` gives (state,
    ring) and the ring is the update's second argument. ``settled(*parameters)`` is the number of
    bars after which the value no longer depends, to the last bit, on what came before them.
    """

    update: Callable[..., tuple[Any, Any]]
    start: Callable[..., Any]
    settled: Callable[..., int]
    inputs: int
    outputs: int = 1
    ringed: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.inputs <= INPUTS_MAX:
            raise InputError(
                f"kernel {self.update.__name__} takes {self.inputs} inputs; 1 to {INPUTS_MAX} are "
                "possible (put two kernels one after the other)"
            )


def _exponential(period: int) -> int:
    return math.ceil(TIME_CONSTANTS * (period + 1) / 2.0) + period


def _wilder(period: int) -> int:
    return math.ceil(TIME_CONSTANTS * (period - 0.5)) + period


def _window(window: int, *_: float) -> int:
    return window + 1


def _anchored(window: int) -> int:
    return 2 * window + 1


def _once(*_: float) -> int:
    return 1


_ALL: Final = (
    Kernel(update=moving.ema, start=moving.ema_start, settled=_exponential, inputs=1),
    Kernel(update=moving.ema_distance, start=moving.ema_distance_start, settled=_once, inputs=3),
    Kernel(
        update=windows.rolling_mean,
        start=windows.mean_start,
        settled=_anchored,
        inputs=2,
        ringed=True,
    ),
    Kernel(
        update=windows.rolling_deviation,
        start=windows.moments_start,
        settled=_anchored,
        inputs=2,
        ringed=True,
    ),
    Kernel(
        update=windows.rolling_z,
        start=windows.moments_start,
        settled=_anchored,
        inputs=2,
        ringed=True,
    ),
    Kernel(
        update=windows.rolling_max,
        start=windows.extreme_start,
        settled=_window,
        inputs=1,
        ringed=True,
    ),
    Kernel(
        update=windows.rolling_min,
        start=windows.extreme_start,
        settled=_window,
        inputs=1,
        ringed=True,
    ),
    Kernel(update=windows.range_place, start=windows.range_place_start, settled=_once, inputs=3),
    Kernel(update=windows.donchian, start=windows.donchian_start, settled=lambda: 2, inputs=3),
    Kernel(
        update=momentum.log_return,
        start=momentum.log_return_start,
        settled=_window,
        inputs=1,
        ringed=True,
    ),
    Kernel(
        update=momentum.scaled_return,
        start=momentum.scaled_return_start,
        settled=_once,
        inputs=2,
    ),
    Kernel(update=momentum.rsi, start=momentum.rsi_start, settled=_wilder, inputs=1),
    Kernel(
        update=momentum.macd,
        start=momentum.macd_start,
        settled=lambda fast, slow, signal: _exponential(max(fast, slow)) + signal,
        inputs=1,
        outputs=3,
    ),
    Kernel(update=momentum.adx, start=momentum.adx_start, settled=_wilder, inputs=3, outputs=3),
    Kernel(
        update=volatility.realised,
        start=volatility.realised_start,
        settled=_anchored,
        inputs=2,
        ringed=True,
    ),
    Kernel(
        update=volatility.parkinson,
        start=volatility.parkinson_start,
        settled=_anchored,
        inputs=3,
        ringed=True,
    ),
    Kernel(update=volatility.atr, start=volatility.atr_start, settled=_wilder, inputs=3),
    Kernel(
        update=volatility.bollinger,
        start=volatility.bollinger_start,
        settled=_anchored,
        inputs=2,
        ringed=True,
        outputs=2,
    ),
    Kernel(update=volatility.ratio, start=volatility.ratio_start, settled=_once, inputs=2),
    Kernel(
        update=volume.signed_volume,
        start=volume.signed_volume_start,
        settled=_window,
        inputs=2,
        ringed=True,
    ),
    Kernel(
        update=profile.volume_profile,
        start=profile.volume_profile_start,
        settled=_window,
        inputs=4,
        ringed=True,
        outputs=2,
    ),
    Kernel(
        update=geometry.candle_shape,
        start=geometry.candle_shape_start,
        settled=lambda: 2,
        inputs=4,
        outputs=4,
    ),
    Kernel(
        update=geometry.candle_patterns,
        start=geometry.candle_patterns_start,
        settled=lambda: 3,
        inputs=4,
        outputs=6,
    ),
    Kernel(
        update=calendar.session,
        start=calendar.session_start,
        settled=_once,
        inputs=1,
        outputs=6,
    ),
    Kernel(
        update=carry.funding,
        start=carry.funding_start,
        settled=lambda settlements: BARS_PER_SETTLEMENT * (settlements + 1),
        inputs=3,
        ringed=True,
        outputs=3,
    ),
    Kernel(
        update=memory.fractional_log,
        start=memory.fractional_log_start,
        settled=lambda order, width: width,  # noqa: ARG005 - called as start is
        inputs=1,
        ringed=True,
    ),
)

KERNELS: Final[dict[str, Kernel]] = {kernel.update.__name__: kernel for kernel in _ALL}
