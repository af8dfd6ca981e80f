"""What the decision core asks of a model.

Decides the shape of a prediction and the facts a model brings with it. Never loads anything
(``core.bundle`` does). Rule: the core knows only this protocol, so a simulation may bring
precomputed answers and nothing in ``step`` can tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from features.costs import Costs
from features.exit_plan import ExitPlan
from features.signals import Signal, SignalParams
from features.types import FloatArray


def tuned(signal: SignalParams, values: Mapping[str, float]) -> SignalParams:
    """Return ``signal`` with its six adaptive parameters replaced where ``values`` names them."""
    return replace(
        signal,
        momentum_threshold=values.get("momentum_threshold", signal.momentum_threshold),
        confidence_multiplier=values.get("confidence_multiplier", signal.confidence_multiplier),
        volume_weight=values.get("volume_weight", signal.volume_weight),
        short_ma_weight=values.get("short_ma_weight", signal.short_ma_weight),
        med_ma_weight=values.get("med_ma_weight", signal.med_ma_weight),
        min_confidence_threshold=values.get(
            "min_confidence_threshold", signal.min_confidence_threshold
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolCoverage:
    """How much history of a symbol the model was trained on."""

    history_days: float
    coverage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Economics:
    """Out-of-fold results of a symbol and volatility bucket; means are positive fractions."""

    win_mean: float
    loss_mean: float
    second_moment: float
    n: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The model's answer: probability of a net gain, expected net return and its error.

    ``win_mean`` and ``loss_mean`` (positive) are the group's mean net win and loss,
    ``second_moment`` its E[r²]; sizing needs them. All but the probability are NaN where training
    never saw the group.
    """

    probability: float
    expected_net: float
    standard_error: float
    win_mean: float
    loss_mean: float
    second_moment: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A calibration bucket [lo, hi): out-of-fold count and wins."""

    lo: float
    hi: float
    wins: float
    n: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bets:
    """What bets on a symbol are measured by: its calibration buckets, and the 90 % bet."""

    buckets: tuple[Bucket, ...]
    kelly_q90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierSpec:
    """The barriers the labels were made with; multiples of volatility where scaled."""

    profit: float
    loss: float
    horizon_bars: int
    volatility_scaled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """Facts of a model that decisions use, from its manifest.

    ``library`` is the version of what trained it, "" where the manifest does not say. ``bets`` are
    those of symbols that have a model of their own.
    """

    bundle_sha256: str
    feature_schema: str
    feature_names: tuple[str, ...]
    symbols: Mapping[str, SymbolCoverage]
    signal: SignalParams
    barriers: BarrierSpec
    interval_ms: int
    trained_until_ms: int
    exit_plan: ExitPlan = field(default_factory=ExitPlan)
    costs: Costs = field(default_factory=Costs)
    kappa: float = 1.0
    buckets: tuple[Bucket, ...] = ()
    kelly_fraction: float = 0.25
    kelly_q90: float = 0.0
    adaptive_bounds: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    library: str = ""
    bets: Mapping[str, Bets] = field(default_factory=dict)

    def bets_of(self, symbol: str) -> Bets:
        """Return what bets on ``symbol`` are measured by: its own, else what all share."""
        own = self.bets.get(symbol)
        return own or Bets(buckets=self.buckets, kelly_q90=self.kelly_q90)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """One question to a model: the features of a bar and the primary signal on it."""

    symbol: str
    close_ms: int
    features: FloatArray
    signal: Signal


class Model(Protocol):
    """Anything that answers requests and knows its facts."""

    @property
    def info(self) -> ModelInfo:
        """Return the facts of the manifest."""
        ...

    def predict_many(self, requests: Sequence[Request]) -> list[Prediction]:
        """Answer several requests at once, each exactly as it would be answered alone."""
        ...
