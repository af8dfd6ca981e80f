"""Which trial of a search becomes the model.

Decides by the rule of one standard error: among the trials whose score is within one standard error
of the best score, and that did not lose where the best earned, the one nearest to the recipe that a
person wrote down. Never looks at the test part. Rule: what noise explains is no reason to leave
what was chosen with thought; the further a choice runs after noise, the less of its score is there
on the next day, and yet an edge that lies elsewhere must not be left for a nearer place without it.

Sources: Breiman, Friedman, Olshen, Stone: Classification and Regression Trees, 1984, section 3.4.3
(the rule); Memmel: Performance hypothesis testing with the Sharpe ratio, Finance Letters 1, 2003
(the error of a difference of Sharpe ratios).
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Protocol, TypeVar

import numpy as np

from features.types import FloatArray
from flows.research.objective import TrialResult
from flows.research.performance import DAYS_A_YEAR
from flows.research.space import Dimension


class Tried(Protocol):
    """An ended trial."""

    @property
    def point(self) -> Mapping[str, float]:
        """Where it was."""
        ...

    @property
    def result(self) -> TrialResult:
        """What it gave."""
        ...


T = TypeVar("T", bound=Tried)


def chosen_trial(trials: Sequence[T], space: Sequence[Dimension], score_days: int) -> T:
    """Return the trial that becomes the model.

    Parameters
    ----------
    trials
        All ended trials, at least one.
    space
        The dimensions of their points; distances are measured on them.
    score_days
        How many of the judged days come before the test part; later days are not looked at.
    """
    daily = [np.asarray(t.result.daily[:score_days], dtype=np.float64) for t in trials]
    scores = [t.result.score for t in trials]
    best = int(np.argmax(scores))
    near = best
    for place, trial in enumerate(trials):
        if scores[place] <= 0.0 < scores[best]:
            continue
        if scores[best] - scores[place] > difference_error(daily[best], daily[place]):
            continue
        closer = distance(trial.point, space) - distance(trials[near].point, space)
        if closer < 0.0 or (closer == 0.0 and scores[place] > scores[near]):
            near = place
    return trials[near]


def difference_error(first: FloatArray, second: FloatArray) -> float:
    """Return the standard error of the difference of two annual Sharpe ratios on the same days.

    Memmel (2003): (2 − 2ρ + (s₁² + s₂² − 2·s₁·s₂·ρ²)/2)/n with daily ratios s and correlation ρ.
    0 where a series never moves: a trial without a trade is no neighbour of one that trades.
    """
    spread = float(first.std()), float(second.std())
    if min(spread) <= 1e-12:
        return 0.0
    s1, s2 = float(first.mean()) / spread[0], float(second.mean()) / spread[1]
    shared = float(np.mean((first - first.mean()) * (second - second.mean())))
    rho = shared / (spread[0] * spread[1])
    variance = 2.0 - 2.0 * rho + 0.5 * (s1 * s1 + s2 * s2 - 2.0 * s1 * s2 * rho * rho)
    return sqrt(max(variance, 0.0) / first.size * DAYS_A_YEAR)


def distance(point: Mapping[str, float], space: Sequence[Dimension]) -> float:
    """Return how far a point is from the start: the mean share of the way to the bounds."""
    away = [abs(2.0 * d.unit(point[d.name]) - 1.0) ** 3 for d in space]
    return float(np.mean(away))
