"""The declared list of features: names, order, parameters and the schema hash.

Decides which columns a model sees and in what order. Never computes one: ``batch`` and ``stream``
run the kernels named here. Rule: a feature is one entry; changing a kernel's source, a parameter
or the order changes the schema hash, which travels with every model.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from features import volatility
from features.errors import InputError
from features.kernels import geometry, moving, windows
from features.suggest import unknown_name

VOLATILITY_WINDOW = volatility.VOLATILITY_WINDOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column: a kernel run over bars of ``timeframe`` times the base interval.

    ``n`` is the kernel's length in its own bars (0: the interval in minutes is filled in),
    ``ring`` the values it keeps, ``lookback`` its bars until warm and settled to the last bit.
    """

    name: str
    unit: str
    kernel: Callable[..., tuple[Any, float]]
    start: Any
    n: int
    ring: int
    lookback: int
    timeframe: int = 1


@dataclass(frozen=True, slots=True)
class Catalog:
    """An ordered list of features."""

    features: tuple[Feature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def warmup_bars(self) -> int:
        """Base bars until every feature is warm, whatever the history before."""
        return max((f.lookback + 1) * f.timeframe for f in self.features)

    @property
    def schema_hash(self) -> str:
        """Sha256 over names, parameters and kernel source of every feature, in order."""
        digest = hashlib.sha256()
        for module in (geometry, moving, windows, volatility):
            digest.update(inspect.getsource(module).encode())
        for f in self.features:
            digest.update(f"{f.name}|{f.kernel.__name__}|{f.n}|{f.ring}|{f.timeframe}\n".encode())
        return digest.hexdigest()

    def subset(self, names: Iterable[str]) -> "Catalog":
        """Return the catalog of ``names`` in the given order; an unknown name is refused."""
        known = {feature.name: feature for feature in self.features}
        chosen = []
        for name in names:
            if name not in known:
                raise InputError(unknown_name("feature", name, known))
            chosen.append(known[name])
        return Catalog(tuple(chosen))


def _ema_z(name: str, n: int, timeframe: int = 1) -> Feature:
    return Feature(
        name=name,
        unit="standard deviations",
        kernel=moving.ema_z,
        start=moving.EMA_Z_START,
        n=n,
        ring=VOLATILITY_WINDOW,
        # An EMA forgets its seed to the last bit in about 16 n bars (measured, tests).
        lookback=max(17 * n, 2 * VOLATILITY_WINDOW) + 1,
        timeframe=timeframe,
    )


def _recurrence(name: str, unit: str, kernel: Any, start: Any, n: int, timeframe: int) -> Feature:
    # Bars until a recurrence has forgotten where it began, to the last bit (measured, tests).
    lookback = {"rsi": 38 * n, "atr": 38 * n, "adx": 42 * n, "macd_histogram": 17 * (26 + n)}
    return Feature(
        name=name,
        unit=unit,
        kernel=kernel,
        start=start,
        n=n,
        ring=1,
        lookback=lookback[kernel.__name__],
        timeframe=timeframe,
    )


def _window(name: str, unit: str, kernel: Any, start: Any, n: int, timeframe: int = 1) -> Feature:
    return Feature(
        name=name,
        unit=unit,
        kernel=kernel,
        start=start,
        n=n,
        ring=n,
        lookback=2 * n + 1,
        timeframe=timeframe,
    )


def _plain(name: str, unit: str, kernel: Any, n: int = 0) -> Feature:
    return Feature(
        name=name,
        unit=unit,
        kernel=kernel,
        start=geometry.PLAIN_START,
        n=n,
        ring=1,
        lookback=1,
    )


def _trend(suffix: str, timeframe: int, slow: int) -> list[Feature]:
    """Return the features that every timeframe has; ``slow`` is the length of its longer EMA."""
    return [
        _window(f"return_1{suffix}", "log", windows.log_return, 0, 1, timeframe),
        _window(f"return_8{suffix}", "log", windows.log_return, 0, 8, timeframe),
        _ema_z(f"ema_z_12{suffix}", 12, timeframe),
        _ema_z(f"ema_z_{slow}{suffix}", slow, timeframe),
        _recurrence(f"rsi_14{suffix}", "0-100", moving.rsi, moving.RSI_START, 14, timeframe),
        _recurrence(
            f"atr_14{suffix}", "fraction of close", moving.atr, moving.ATR_START, 14, timeframe
        ),
        _window(
            f"bollinger_z_20{suffix}",
            "standard deviations",
            windows.bollinger_z,
            windows.MOMENTS_START,
            20,
            timeframe,
        ),
    ]


def default_catalog() -> Catalog:
    """Return the features that models are trained on by default."""
    fraction = "fraction of close"
    deviations = "standard deviations"
    start = windows.MOMENTS_START
    base = [
        Feature(
            name=f"volatility_{VOLATILITY_WINDOW}",
            unit="fraction per bar",
            kernel=moving.volatility,
            start=volatility.VOLATILITY_START,
            n=VOLATILITY_WINDOW,
            ring=VOLATILITY_WINDOW,
            lookback=2 * VOLATILITY_WINDOW + 1,
        ),
        *_trend("", 1, 48),
        _recurrence("adx_14", "0-100", moving.adx, moving.ADX_START, 14, 1),
        _window("return_32", "log", windows.log_return, 0, 32),
        _window("return_96", "log", windows.log_return, 0, 96),
        _ema_z("trend_z_96", 96),
        _recurrence("macd_histogram_9", fraction, moving.macd_histogram, moving.MACD_START, 9, 1),
        _window("bollinger_width_20", fraction, windows.bollinger_width, start, 20),
        _window("volume_z_96", deviations, windows.volume_z, start, 96),
        _window("parkinson_48", "fraction per bar", windows.parkinson, start, 48),
        _window("donchian_48", "-1 to 1", windows.donchian, windows.COUNT_START, 48),
        _plain("body", "-1 to 1", geometry.body),
        _plain("upper_wick", "0 to 1", geometry.upper_wick),
        _plain("lower_wick", "0 to 1", geometry.lower_wick),
        _plain("day_fraction", "0 to 1", geometry.day_fraction),
        _plain("week_fraction", "0 to 1", geometry.week_fraction),
    ]
    adx_x4 = _recurrence("adx_14_x4", "0-100", moving.adx, moving.ADX_START, 14, 4)
    return Catalog((*base, *_trend("_x4", 4, 48), adx_x4, *_trend("_x16", 16, 24)))
