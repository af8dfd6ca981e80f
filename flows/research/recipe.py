"""Everything a model is made from besides the data.

Decides the names and defaults of signal, barriers, booster, logistic part, ensemble and entry
rule, and how a point of the search space becomes a recipe. Never reads settings or data. Rule: a
recipe is frozen and its dictionary is canonical, so its hash can key anything computed from it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from features.costs import Costs
from features.errors import InputError
from features.exit_plan import ExitPlan
from features.signals import RULES, SignalParams
from features.suggest import unknown_name

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierParams:
    """The three barriers; fractions, or multiples of volatility where scaled."""

    profit: float = 0.02
    loss: float = 0.01
    horizon_hours: float = 24.0
    volatility_scaled: bool = False

    def horizon_bars(self, interval_ms: int) -> int:
        """Return the time barrier in bars, at least 1."""
        return max(1, round(self.horizon_hours * HOUR_MS / interval_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class BoosterParams:
    """XGBoost's hyperparameters by the names of what they do."""

    depth: int = 4
    learning_rate: float = 0.06
    leaf_weight_min: float = 20.0
    row_share: float = 0.8
    column_share: float = 0.6
    l2: float = 5.0
    split_gain_min: float = 0.0
    bins: int = 64
    rounds_max: int = 400
    early_stopping_rounds: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParams:
    """How the two parts are joined and when their answer is acted on.

    ``ensemble_weight`` is the booster's share; ``kappa`` multiplies the standard error that an
    expected net return must exceed.
    """

    ensemble_weight: float = 0.7
    logistic_c: float = 0.1
    kappa: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to make a model."""

    signal: SignalParams = field(default_factory=SignalParams)
    barriers: BarrierParams = BarrierParams()
    booster: BoosterParams = BoosterParams()
    model: ModelParams = ModelParams()
    costs: Costs = field(default_factory=Costs)
    exit_plan: ExitPlan = field(default_factory=ExitPlan)

    def with_point(self, point: Mapping[str, float]) -> "Recipe":
        """Return the recipe with values such as ``{"barriers.profit": 0.03}`` in place.

        A signal's rule goes by its number.

        Raises
        ------
        InputError
            Where a name is not of a recipe.
        """
        changed = self
        for name, value in point.items():
            section, _, key = name.partition(".")
            if section not in {f.name for f in fields(self)}:
                raise InputError(unknown_name("part of a recipe", section, asdict(self)))
            part = getattr(changed, section)
            known = {f.name: getattr(part, f.name) for f in fields(part)}
            if key not in known:
                raise InputError(unknown_name(f"{section} parameter", key, known))
            typed = _typed(value, known[key])
            changed = replace(changed, **{section: replace(part, **{key: typed})})
        return changed

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)


def _typed(value: float, before: object) -> object:
    """Return ``value`` as the type of what it replaces."""
    if isinstance(before, str):
        return {number: name for name, number in RULES.items()}[round(value)]
    return int(value) if isinstance(before, int) else float(value)
