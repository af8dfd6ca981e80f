"""What a search may vary, and how far.

Decides the dimensions and bounds around a starting recipe, and the Sobol points that are drawn
before anything is known. Never evaluates. Rule: the whole space is one tuple of dimensions, from
which the adaptive sampler, the Sobol points and the study's key are all made.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from features.signals import ADAPTIVE_BOUNDS
from flows.research.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One parameter's range; ``integer`` includes both ends, ``log`` spaces it evenly in ratios."""

    name: str
    low: float
    high: float
    log: bool = False
    integer: bool = False

    def at(self, unit: float) -> float:
        """Return the value at ``unit`` in [0, 1)."""
        if self.integer:
            return float(int(self.low) + int(unit * (int(self.high) - int(self.low) + 1)))
        if self.log:
            return float(self.low * (self.high / self.low) ** unit)
        return float(self.low + (self.high - self.low) * unit)


def search_space(base: Recipe) -> tuple[Dimension, ...]:
    """Return the space around ``base``: signal, barriers, model, ensemble and entry rule.

    Barriers and horizon range from half to four times their start, so that volatility-scaled
    barriers need no bounds of their own. The six adaptive parameters range over their declared box.
    """
    adaptive = tuple(
        Dimension(name=f"signal.{name}", low=low, high=high)
        for name, (_, low, high) in ADAPTIVE_BOUNDS.items()
    )
    b = base.barriers
    return (
        *adaptive,
        Dimension(name="barriers.profit", low=b.profit / 2, high=b.profit * 4, log=True),
        Dimension(name="barriers.loss", low=b.loss / 2, high=b.loss * 4, log=True),
        Dimension(
            name="barriers.horizon_hours",
            low=b.horizon_hours / 2,
            high=b.horizon_hours * 4,
            log=True,
        ),
        Dimension(name="booster.depth", low=2, high=6, integer=True),
        Dimension(name="booster.learning_rate", low=0.03, high=0.15, log=True),
        Dimension(name="booster.leaf_weight_min", low=5.0, high=200.0, log=True),
        Dimension(name="booster.column_share", low=0.3, high=1.0),
        Dimension(name="booster.l2", low=0.5, high=50.0, log=True),
        Dimension(name="model.logistic_c", low=0.001, high=1.0, log=True),
        Dimension(name="model.ensemble_weight", low=0.0, high=1.0),
        Dimension(name="model.kappa", low=0.0, high=1.0),
    )


def sobol_points(space: tuple[Dimension, ...], count: int, seed: int) -> list[dict[str, float]]:
    """Return ``count`` scrambled Sobol points of the space; the first is the same for any count."""
    if count < 1:
        return []
    engine = qmc.Sobol(d=len(space), scramble=True, rng=np.random.default_rng(seed))
    power = max(1, (count - 1).bit_length())
    units = engine.random_base2(power)[:count]
    return [{d.name: d.at(float(u)) for d, u in zip(space, row, strict=True)} for row in units]
