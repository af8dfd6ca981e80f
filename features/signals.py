"""Primary signals: which bars are worth asking the model about, and on which side.

Decides side, score and confidence from one feature row. Never asks a model, never sizes. Rule:
plain arithmetic over numbers that the catalog computed, so a signal is the same in training, in
the simulation and live; the bounds of the six adaptive parameters are declared here and nowhere
else.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from features.errors import InputError
from features.suggest import unknown_name
from features.types import FloatArray

NO_RULE: Final = 0
MOMENTUM: Final = 1
TREND: Final = 2
BREAKOUT: Final = 3
REVERSION: Final = 4
RULES: Final = {"momentum": MOMENTUM, "trend": TREND, "breakout": BREAKOUT, "reversion": REVERSION}

# name: (default, low, high), DESIGN §3. The search and self-tuning draw from these.
ADAPTIVE_BOUNDS: Final[dict[str, tuple[float, float, float]]] = {
    "momentum_threshold": (0.008, 0.002, 0.02),
    "confidence_multiplier": (50.0, 20.0, 200.0),
    "volume_weight": (0.2, 0.0, 0.5),
    "short_ma_weight": (0.5, 0.0, 1.0),
    "med_ma_weight": (0.3, 0.0, 1.0),
    "min_confidence_threshold": (0.6, 0.2, 0.9),
}

# What each rule reads, in the order its function takes it.
INPUTS: Final[dict[int, tuple[str, ...]]] = {
    MOMENTUM: ("ema_z_12", "ema_z_48", "volume_z_96", "return_1"),
    TREND: ("ema_z_12", "trend_z_96", "macd_histogram_9", "adx_14"),
    BREAKOUT: ("bollinger_b_20", "donchian_48", "volume_z_96", "adx_14"),
    REVERSION: ("bollinger_b_20", "rsi_14", "adx_14", "volume_z_96"),
}
HIGHER: Final = "ema_z_48_x4"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalParams:
    """Parameters of the primary signal; ``higher_weight`` 0 leaves the higher timeframe out."""

    momentum_threshold: float = 0.008
    confidence_multiplier: float = 50.0
    volume_weight: float = 0.2
    short_ma_weight: float = 0.5
    med_ma_weight: float = 0.3
    min_confidence_threshold: float = 0.6
    rule: str = "momentum"
    higher_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise InputError("signal: " + unknown_name("rule", self.rule, RULES))
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not math.isfinite(value):
                raise InputError(f"signal: {field.name} is {value}; give a number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A primary signal: ``side`` 1, -1 or 0 for none; ``score`` signed; ``rule`` by number."""

    side: int
    score: float
    confidence: float
    rule: int


NONE: Final = Signal(side=0, score=0.0, confidence=0.0, rule=NO_RULE)


def momentum_score(
    short_z: float,
    med_z: float,
    volume_z: float,
    change: float,
    volume_weight: float,
    short_weight: float,
    med_weight: float,
) -> float:
    """Return 0.01·(w_s·z_s + w_m·z_m + w_v·sign(r)·clip(z_volume, 0, 3)), DESIGN §3."""
    direction = 1.0 if change > 0.0 else (-1.0 if change < 0.0 else 0.0)
    surge = min(max(volume_z, 0.0), 3.0)
    return 0.01 * (short_weight * short_z + med_weight * med_z + volume_weight * direction * surge)


def trend_score(short_z: float, long_z: float, histogram: float, adx: float) -> float:
    """Return the averages' distance where MACD agrees and ADX shows a trend, else 0."""
    lead = 0.005 * (short_z + long_z)
    agreed = (lead > 0.0 and histogram > 0.0) or (lead < 0.0 and histogram < 0.0)
    return lead if agreed and adx >= 20.0 else 0.0


def breakout_score(band: float, place: float, volume_z: float, adx: float) -> float:
    """Return the distance from the mean where the close broke band and channel on volume, else 0.

    ``band`` is Bollinger's %b, ``place`` the close in Donchian's channel of the bars before it.
    """
    band_z = 4.0 * band - 2.0
    outside = (band_z > 0.0 and place > 1.0) or (band_z < 0.0 and place < -1.0)
    return 0.01 * band_z if outside and volume_z > 0.0 and adx >= 15.0 else 0.0


def reversion_score(band: float, rsi: float, adx: float, volume_z: float) -> float:
    """Return the way back to the mean where RSI is stretched without trend or surge, else 0."""
    band_z = 4.0 * band - 2.0
    stretched = (band_z < 0.0 and rsi < 35.0) or (band_z > 0.0 and rsi > 65.0)
    return -0.01 * band_z if stretched and adx < 25.0 and volume_z < 2.0 else 0.0


def scored(
    rule: int,
    a: float,
    b: float,
    c: float,
    d: float,
    volume_weight: float,
    short_weight: float,
    med_weight: float,
) -> float:
    """Return the score of ``rule`` from its four inputs (:data:`INPUTS`)."""
    if rule == MOMENTUM:
        return momentum_score(a, b, c, d, volume_weight, short_weight, med_weight)
    if rule == TREND:
        return trend_score(a, b, c, d)
    if rule == BREAKOUT:
        return breakout_score(a, b, c, d)
    return reversion_score(a, b, c, d)


def verdict(
    score: float,
    higher_z: float,
    higher_weight: float,
    threshold: float,
    multiplier: float,
    confidence_min: float,
) -> tuple[int, float, float]:
    """Return (side, score, confidence); side 0 where nothing is tradable.

    The higher timeframe's direction strengthens the score by ``higher_weight`` of itself where it
    agrees and weakens it by as much where it does not. A NaN anywhere is no signal.
    """
    fused = score
    if higher_weight != 0.0:
        agrees = (score > 0.0 and higher_z > 0.0) or (score < 0.0 and higher_z < 0.0)
        fused = score * (1.0 + higher_weight) if agrees else score * (1.0 - higher_weight)
        if math.isnan(higher_z):
            return 0, 0.0, 0.0
    size = abs(fused)
    if not size >= threshold:
        return 0, fused if size < threshold else 0.0, 0.0
    confidence = min(1.0, (size - threshold) * multiplier)
    if confidence < confidence_min:
        return 0, fused, confidence
    return (1 if fused > 0.0 else -1), fused, confidence


def primary_signal(
    row: Sequence[float] | FloatArray, columns: Mapping[str, int], params: SignalParams
) -> Signal:
    """Return the primary signal of one feature row, ``NONE`` where there is none.

    Parameters
    ----------
    row : sequence of float, shape (n_features,)
        NaN in a column that the rule reads is no signal.
    columns : mapping of str to int
        Where each feature is in ``row``.
    """
    rule = RULES[params.rule]
    first, second, third, fourth = INPUTS[rule]
    score = scored(
        rule,
        float(row[columns[first]]),
        float(row[columns[second]]),
        float(row[columns[third]]),
        float(row[columns[fourth]]),
        params.volume_weight,
        params.short_ma_weight,
        params.med_ma_weight,
    )
    higher = float(row[columns[HIGHER]]) if params.higher_weight else 0.0
    side, fused, confidence = verdict(
        score,
        higher,
        params.higher_weight,
        params.momentum_threshold,
        params.confidence_multiplier,
        params.min_confidence_threshold,
    )
    if side == 0:
        return NONE
    return Signal(side=side, score=fused, confidence=confidence, rule=rule)
