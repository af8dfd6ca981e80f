"""Which features are chosen again and again, on whichever half of the history trees are grown.

Decides nothing: it is reported, and no feature is dropped for it. Rule: halves are drawn in
complementary pairs of whole blocks of time, so that overlapping labels do not sit in both.

Sources: Meinshausen & Bühlmann (2010), doi:10.1111/j.1467-9868.2010.00740.x; Shah & Samworth
(2013), doi:10.1111/j.1467-9868.2011.01034.x, for pairs and the bound.
"""

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np

from features.errors import InputError
from flows.research.fitting import require_rows
from flows.research.models import Machine, fit_booster
from flows.research.recipe import Recipe
from flows.research.samples import Samples
from flows.research.splits import Rows, time_groups

BLOCKS = 40
THRESHOLD = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """How often each feature was among the ``most`` by gain, in ``halves`` of the history.

    ``stable`` are those at or above ``threshold``; at most ``false_most`` of them are expected to
    be there by chance alone.
    """

    frequency: dict[str, float]
    halves: int
    most: int
    threshold: float
    false_most: float

    @property
    def stable(self) -> list[str]:
        """Names chosen often enough."""
        return [name for name, share in self.frequency.items() if share >= self.threshold]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "stable": self.stable}


def stable_features(
    samples: Samples,
    rows: Rows,
    recipe: Recipe,
    *,
    rounds: int,
    pairs: int,
    seed: int,
    machine: Machine,
) -> Stability:
    """Return how often each feature is chosen, over ``pairs`` of complementary halves of ``rows``.

    The ``most`` = √(0.8·p) largest of p features by gain count as chosen; then at most
    most²/((2·threshold - 1)·p) features without influence are expected at or above the threshold.

    Raises
    ------
    InputError
        Where half of the rows are too few to learn from.
    """
    blocks = time_groups(samples.start_ms[rows], BLOCKS)
    rng = np.random.default_rng(seed)
    names = samples.names
    most = max(1, round(sqrt(0.8 * len(names))))
    counts = np.zeros(len(names))
    done = 0
    for _ in range(pairs):
        order = rng.permutation(BLOCKS)
        for half in (order[: BLOCKS // 2], order[BLOCKS // 2 :]):
            mine = np.sort(rows[np.concatenate([blocks[b] for b in half])])
            try:
                require_rows(samples, mine, "half of the rows")
            except InputError:
                continue
            counts += _chosen(samples, mine, recipe, rounds, seed + done, machine, most)
            done += 1
    if done == 0:
        raise InputError("half of the rows are too few to learn from; use a longer history")
    ranked = np.argsort(-counts, kind="stable")
    return Stability(
        frequency={names[i]: float(counts[i] / done) for i in ranked if counts[i] > 0.0},
        halves=done,
        most=most,
        threshold=THRESHOLD,
        false_most=most * most / ((2.0 * THRESHOLD - 1.0) * len(names)),
    )


def _chosen(
    samples: Samples,
    rows: Rows,
    recipe: Recipe,
    rounds: int,
    seed: int,
    machine: Machine,
    most: int,
) -> np.ndarray:
    """Return 1 for each of the features of most gain in trees grown on ``rows``."""
    booster = fit_booster(
        samples.x.take(rows),
        samples.label[rows],
        samples.weight[rows],
        recipe.booster,
        seed=seed,
        machine=machine,
        rounds=rounds,
    )
    gain = np.zeros(len(samples.names))
    for key, value in booster.get_score(importance_type="total_gain").items():
        gain[int(key.removeprefix("f"))] = float(np.sum(value))
    top = np.argsort(-gain, kind="stable")[:most]
    flags = np.zeros(gain.size)
    flags[top[gain[top] > 0.0]] = 1.0
    return flags
