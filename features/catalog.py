"""The declared list of features: names, order, parameters and the schema hash.

Decides which columns a model sees and in what order. Never computes one: ``batch`` and ``stream``
run the kernels named here. Rule: a feature is one entry (and a kernel in ``kernels/`` where it is
new), scale-free or a fraction, so one model can serve many symbols; the last digits of a name are
its length in bars, ``_x4`` is four base intervals a bar. Changing a kernel's source, a parameter
or the order changes the schema hash, which travels with every model.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

from features.errors import InputError
from features.kernels.version import SOURCE_VERSION
from features.node import Feature, Node
from features.suggest import unknown_name
from features.volatility import VOLATILITY_WINDOW


@dataclass(frozen=True)
class Catalog:
    """An ordered list of features."""

    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        if not self.features:
            raise InputError("catalog: no features; name at least one")
        names = [feature.name for feature in self.features]
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise InputError(f"catalog: feature {double!r} is listed twice")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def warmup_bars(self) -> int:
        """Base bars until every feature is warm, whatever the history before."""
        return max(feature.lookback for feature in self.features)

    @cached_property
    def schema_hash(self) -> str:
        """Sha256 over the kernels' source version and every feature's name and node, in order."""
        digest = hashlib.sha256(f"{SOURCE_VERSION}\n".encode())
        for feature in self.features:
            digest.update(f"{feature.name}|{feature.timeframe}|{feature.node}\n".encode())
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

    @property
    def funding_names(self) -> tuple[str, ...]:
        """Names of the features that need funding settlements."""
        return tuple(f.name for f in self.features if f.node.reads("settled"))


DEVIATIONS = "standard deviations"
FRACTION = "fraction"
SHARE = "share"

RETURN = Node("log_return", ("close",), (1,))
VOLATILITY = Node("realised", (RETURN, "index"), (VOLATILITY_WINDOW,))
ATR = Node("atr", ("high", "low", "close"), (14,))


def _ema_z(period: int) -> Node:
    return Node(
        "ema_distance", ("close", Node("ema", ("close",), (period,)), VOLATILITY), (period,)
    )


def _return_z(horizon: int) -> Node:
    change = Node("log_return", ("close",), (horizon,))
    return Node("scaled_return", (change, VOLATILITY), (horizon,))


def _macd(output: int) -> Node:
    return Node("ratio", (Node("macd", ("close",), (12, 26, 9), output), ATR))


def _adx(output: int) -> Node:
    return Node("adx", ("high", "low", "close"), (14,), output)


def _band(output: int) -> Node:
    return Node("bollinger", ("close", "index"), (20,), output)


def _profile(width: float, output: int) -> Node:
    return Node("volume_profile", ("high", "low", "close", "volume"), (96, width), output)


def _shape(output: int) -> Node:
    return Node("candle_shape", ("open", "high", "low", "close"), (), output)


def _volatility_ratio(window: int) -> Node:
    return Node("ratio", (Node("realised", (RETURN, "index"), (window,)), VOLATILITY))


def _extremes(window: int) -> tuple[Node, Node]:
    low = Node("rolling_min", ("low",), (window,))
    return low, Node("rolling_max", ("high",), (window,))


def _place(window: int) -> Node:
    return Node("range_place", ("close", *_extremes(window)))


def _donchian(window: int) -> Node:
    return Node("donchian", ("close", *_extremes(window)))


def _volume_z(window: int) -> Node:
    return Node("rolling_z", ("volume", "index"), (window,))


def _signed_volume(window: int) -> Node:
    return Node("signed_volume", ("close", "volume"), (window,))


def _price() -> list[Feature]:
    """Return what the base bars' prices say."""
    half_life = Node("fractional_log", ("close",), (0.4, 64))
    return [
        Feature(name="volatility_96", unit="fraction per bar", node=VOLATILITY),
        Feature(name="volatility_ratio_24", unit="ratio", node=_volatility_ratio(24)),
        Feature(
            name="parkinson_48",
            unit="fraction per bar",
            node=Node("parkinson", ("high", "low", "index"), (48,)),
        ),
        Feature(name="atr_14", unit=FRACTION, node=Node("ratio", (ATR, "close"))),
        Feature(name="return_1", unit="log", node=RETURN),
        Feature(name="return_z_4", unit=DEVIATIONS, node=_return_z(4)),
        Feature(name="return_z_16", unit=DEVIATIONS, node=_return_z(16)),
        Feature(name="return_z_96", unit=DEVIATIONS, node=_return_z(96)),
        Feature(name="ema_z_12", unit=DEVIATIONS, node=_ema_z(12)),
        Feature(name="ema_z_48", unit=DEVIATIONS, node=_ema_z(48)),
        Feature(name="trend_z_96", unit=DEVIATIONS, node=_ema_z(96)),
        Feature(
            name="close_z_96",
            unit=DEVIATIONS,
            node=Node("rolling_z", ("close", "index"), (96,)),
        ),
        Feature(name="place_96", unit="-1 to 1", node=_place(96)),
        Feature(name="rsi_14", unit="0 to 100", node=Node("rsi", ("close",), (14,))),
        Feature(name="adx_14", unit="0 to 100", node=_adx(0)),
        Feature(name="plus_di_14", unit="0 to 100", node=_adx(1)),
        Feature(name="minus_di_14", unit="0 to 100", node=_adx(2)),
        Feature(name="macd_line_26", unit="ATR", node=_macd(0)),
        Feature(name="macd_signal_9", unit="ATR", node=_macd(1)),
        Feature(name="macd_histogram_9", unit="ATR", node=_macd(2)),
        Feature(name="bollinger_b_20", unit=SHARE, node=_band(0)),
        Feature(name="bollinger_width_20", unit=FRACTION, node=_band(1)),
        Feature(name="donchian_48", unit="-1 to 1 inside", node=_donchian(48)),
        Feature(name="fractional_64", unit="log", node=half_life),
    ]


def _trading() -> list[Feature]:
    """Return what volume and single candles say."""
    shapes = ("body", "upper_wick", "lower_wick", "gap")
    patterns = ("doji", "hammer", "engulfing", "star", "inside", "march")
    return [
        Feature(name="volume_z_96", unit=DEVIATIONS, node=_volume_z(96)),
        Feature(name="signed_volume_48", unit="-1 to 1", node=_signed_volume(48)),
        Feature(name="control_distance_96", unit="log", node=_profile(0.002, 0)),
        Feature(name="value_place_96", unit="-1 to 1 inside", node=_profile(0.002, 1)),
        *(Feature(name=name, unit=SHARE, node=_shape(i)) for i, name in enumerate(shapes)),
        *(
            Feature(
                name=name,
                unit="strength",
                node=Node("candle_patterns", ("open", "high", "low", "close"), (), i),
            )
            for i, name in enumerate(patterns)
        ),
    ]


def _clock() -> list[Feature]:
    """Return the session, and what funding says."""
    times = ("day_sine", "day_cosine", "week_sine", "week_cosine", "us_session", "weekend")
    carry = ("funding_rate", "funding_mean_9", "funding_due")
    return [
        *(
            Feature(name=name, unit="-1 to 1", node=Node("session", ("close_ms",), (), i))
            for i, name in enumerate(times)
        ),
        *(
            Feature(
                name=name,
                unit=SHARE if name == "funding_due" else "fraction per settlement",
                node=Node("funding", ("close_ms", "settled", "rate"), (9,), i),
            )
            for i, name in enumerate(carry)
        ),
    ]


def _higher(k: int) -> list[Feature]:
    """Return what every higher timeframe has."""
    return [
        Feature(
            name=f"volatility_ratio_24_x{k}", unit="ratio", node=_volatility_ratio(24), timeframe=k
        ),
        Feature(name=f"return_1_x{k}", unit="log", node=RETURN, timeframe=k),
        Feature(name=f"return_z_8_x{k}", unit=DEVIATIONS, node=_return_z(8), timeframe=k),
        Feature(name=f"ema_z_12_x{k}", unit=DEVIATIONS, node=_ema_z(12), timeframe=k),
        Feature(name=f"bollinger_b_20_x{k}", unit=SHARE, node=_band(0), timeframe=k),
        Feature(name=f"donchian_24_x{k}", unit="-1 to 1 inside", node=_donchian(24), timeframe=k),
        Feature(name=f"volume_z_48_x{k}", unit=DEVIATIONS, node=_volume_z(48), timeframe=k),
        Feature(
            name=f"signed_volume_24_x{k}", unit="-1 to 1", node=_signed_volume(24), timeframe=k
        ),
    ]


def _higher_trend(k: int) -> list[Feature]:
    """Return what only the first higher timeframe has: its averages would be long in base bars."""
    return [
        Feature(name=f"ema_z_48_x{k}", unit=DEVIATIONS, node=_ema_z(48), timeframe=k),
        Feature(
            name=f"atr_14_x{k}", unit=FRACTION, node=Node("ratio", (ATR, "close")), timeframe=k
        ),
        Feature(
            name=f"rsi_14_x{k}", unit="0 to 100", node=Node("rsi", ("close",), (14,)), timeframe=k
        ),
        Feature(name=f"adx_14_x{k}", unit="0 to 100", node=_adx(0), timeframe=k),
        Feature(name=f"macd_histogram_9_x{k}", unit="ATR", node=_macd(2), timeframe=k),
        Feature(name=f"bollinger_width_20_x{k}", unit=FRACTION, node=_band(1), timeframe=k),
        Feature(name=f"control_distance_96_x{k}", unit="log", node=_profile(0.005, 0), timeframe=k),
    ]


@cache
def default_catalog() -> Catalog:
    """Return the features that models are trained on by default."""
    return Catalog(
        (*_price(), *_trading(), *_clock(), *_higher(4), *_higher_trend(4), *_higher(16))
    )
