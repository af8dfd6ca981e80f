"""What a search may vary, and how far.

Decides the dimensions and bounds around a starting recipe, and the Sobol points that are drawn
before anything is known. Never evaluates. Rule: the whole space is one tuple of dimensions, from
which the adaptive sampler, the Sobol points and the study's key are all made.
"""

from dataclasses import dataclass
from math import cbrt, exp, log

import numpy as np
from scipy.stats import qmc

from features.signals import ADAPTIVE_BOUNDS, RULES
from flows.research.recipe import Recipe

WHOLE = ("booster.depth", "signal.rule")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One parameter's range around where the search starts.

    ``integer`` includes both ends, ``log`` spaces it evenly in ratios.
    """

    name: str
    low: float
    high: float
    start: float
    log: bool = False
    integer: bool = False

    def at(self, unit: float) -> float:
        """Return the value at ``unit`` in [0, 1): the start at one half, the ends at the ends.

        Values near the start are more likely: half of all units give one within an eighth of the
        way to either end. With a score of dimensions, points spread evenly over the whole box are
        all far from anything a person would have chosen, and most of them never trade.
        """
        way = (2.0 * unit - 1.0) ** 3
        end = self.high if way > 0.0 else self.low
        if self.log:
            return self.start * exp(log(end / self.start) * abs(way))
        value = self.start + (end - self.start) * abs(way)
        return float(round(value)) if self.integer else float(value)

    def unit(self, value: float) -> float:
        """Return the unit at which :meth:`at` gives ``value``; the start's is one half."""
        end = self.high if value > self.start else self.low
        if self.start in {value, end}:
            return 0.5
        way = (
            log(value / self.start) / log(end / self.start)
            if self.log
            else (value - self.start) / (end - self.start)
        )
        size = cbrt(min(way, 1.0)) / 2.0
        return 0.5 + size if value > self.start else 0.5 - size


def search_space(base: Recipe, *, rules: bool = False) -> tuple[Dimension, ...]:
    """Return the space around ``base``: signal, barriers, model, ensemble and entry rule.

    Barriers and horizon range from half to four times their start, so that volatility-scaled
    barriers need no bounds of their own. The six adaptive parameters range over their declared box.
    ``rules`` lets the primary signal's rule vary too, by its number.
    """
    signal = [(f"signal.{name}", *bounds[1:], False) for name, bounds in ADAPTIVE_BOUNDS.items()]
    signal.append(("signal.higher_weight", 0.0, 1.0, False))
    if rules:
        signal.append(
            ("signal.rule", float(min(RULES.values())), float(max(RULES.values())), False)
        )
    barriers = [
        (f"barriers.{name}", value / 2.0, value * 4.0, True)
        for name in ("profit", "loss", "horizon_hours")
        for value in (_value(base, f"barriers.{name}"),)
    ]
    model = [
        ("booster.depth", 2.0, 6.0, False),
        ("booster.learning_rate", 0.03, 0.15, True),
        ("booster.leaf_weight_min", 5.0, 200.0, True),
        ("booster.column_share", 0.3, 1.0, False),
        ("booster.l2", 0.5, 50.0, True),
        ("model.logistic_c", 0.001, 1.0, True),
        ("model.ensemble_weight", 0.0, 1.0, False),
        ("model.kappa", 0.0, 1.0, False),
    ]
    return tuple(
        Dimension(
            name=name,
            low=low,
            high=high,
            start=min(max(_value(base, name), low), high),
            log=log,
            integer=name in WHOLE,
        )
        for name, low, high, log in (*signal, *barriers, *model)
    )


def start_point(space: tuple[Dimension, ...]) -> dict[str, float]:
    """Return the point from which the search starts: the recipe that a person wrote down."""
    return {d.name: d.start for d in space}


def sobol_points(space: tuple[Dimension, ...], count: int, seed: int) -> list[dict[str, float]]:
    """Return ``count`` scrambled Sobol points of the space; the first is the same for any count."""
    if count < 1:
        return []
    engine = qmc.Sobol(d=len(space), scramble=True, rng=np.random.default_rng(seed))
    power = max(1, (count - 1).bit_length())
    units = engine.random_base2(power)[:count]
    return [{d.name: d.at(float(u)) for d, u in zip(space, row, strict=True)} for row in units]


def _value(base: Recipe, name: str) -> float:
    section, _, key = name.partition(".")
    value = getattr(getattr(base, section), key)
    return float(RULES[value] if name == "signal.rule" else value)
