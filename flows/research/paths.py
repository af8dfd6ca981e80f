"""How much a result depends on what it was learnt from: combinatorial purged cross-validation.

Decides nothing: the chosen recipe is fitted on every choice of groups of time, purged on both
sides, and the judged groups are put together to whole histories. Never looks at the test part.
Rule: a path is no record that could have been traded, for its models knew what came after; only
how far the paths lie apart says something.

Source: López de Prado: Advances in Financial Machine Learning, ch. 12; φ[6, 2] = 5 paths.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from features.errors import InputError
from features.types import FloatArray
from flows.research.economics import wishes
from flows.research.fitting import fit, judge
from flows.research.market import Dataset
from flows.research.models import Machine
from flows.research.objective import Trial, embargo_ms
from flows.research.performance import sharpe_annual
from flows.research.recipe import Recipe
from flows.research.samples import Samples
from flows.research.splits import combinatorial_purged, path_members
from flows.research.track import Period, make_track

GROUPS, JUDGING = 6, 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paths:
    """Daily net returns of every path, shape (days, paths), from ``first_day`` (since 1970).

    ``fits`` models were fitted, ``idle`` more had too little to learn from and trade nothing.
    """

    first_day: int
    daily: FloatArray
    trades: tuple[int, ...]
    fits: int
    idle: int

    @property
    def sharpes(self) -> tuple[float, ...]:
        """Annual Sharpe ratio of each path."""
        return tuple(sharpe_annual(column) for column in self.daily.T)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "first_day": self.first_day,
            "daily": self.daily.T.tolist(),
            "trades": list(self.trades),
            "sharpes": list(self.sharpes),
            "fits": self.fits,
            "idle": self.idle,
        }


def combinatorial_paths(
    dataset: Dataset, samples: Samples, recipe: Recipe, trial: Trial, machine: Machine
) -> Paths:
    """Return the paths of ``recipe`` over the time before the test part.

    Raises
    ------
    InputError
        Where no choice of groups leaves enough to learn from.
    """
    known = np.flatnonzero(samples.end_ms < trial.test_ms)
    distance = embargo_ms(recipe, trial)
    splits = combinatorial_purged(
        samples.start_ms[known],
        samples.end_ms[known],
        groups=GROUPS,
        judging=JUDGING,
        embargo_ms=distance,
    )
    wished = [np.zeros(samples.n, dtype=np.bool_) for _ in splits]
    groups: dict[int, np.ndarray] = {}
    idle = 0
    for flags, split in zip(wished, splits, strict=True):
        groups |= dict(zip(split.groups, split.tests, strict=True))
        try:
            fitted = fit(
                samples,
                known[split.train],
                recipe,
                earlier=None,
                embargo_ms=distance,
                seed=trial.seed,
                machine=machine,
            )
        except InputError:
            idle += 1
            continue
        answers = judge(samples, known[np.concatenate(split.tests)], fitted)
        flags[answers.rows] = wishes(answers.expected, recipe.model.kappa)
    if idle == len(splits):
        raise InputError("no choice of groups leaves enough to learn from; use a longer history")
    period = Period.between(trial.first_ms, trial.test_ms)
    tracks = []
    for members in path_members(GROUPS, JUDGING):
        chosen = np.zeros(samples.n, dtype=np.bool_)
        for group, split_number in enumerate(members):
            rows = known[groups[group]]
            chosen[rows] = wished[split_number][rows]
        tracks.append(make_track(dataset, samples, chosen, period))
    return Paths(
        first_day=period.first_day,
        daily=np.column_stack([track.daily for track in tracks]),
        trades=tuple(int(track.rows.size) for track in tracks),
        fits=len(splits) - idle,
        idle=idle,
    )
