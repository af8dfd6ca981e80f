"""How well a model's probabilities meet outcomes, by part of the time and by group.

Decides the parts (train in sample, validation out of fold, test) and the groups (symbol, side,
regime). Never fits. Rule: whatever a part says of all its rows it says of every group too.
"""

from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from executor.core.columns import resolve
from executor.core.params import Regime
from executor.core.regime import trend_state, volatility_state
from features.barriers import barrier_fractions
from features.types import FloatArray
from flows.research.economics import wishes
from flows.research.evidence import Curve, Figures
from flows.research.fitting import judge
from flows.research.metrics import calibration_curve, calibration_error, classification
from flows.research.samples import Samples
from flows.research.splits import Rows
from flows.research.training import Trained

TEST = "test"


class Judged(NamedTuple):
    """Rows with their probabilities, and which of them the rule wants to enter."""

    rows: Rows
    probability: FloatArray
    wished: NDArray[np.bool_]

    def at(self, chosen: NDArray[np.bool_]) -> "Judged":
        """Return the rows that are ``chosen``."""
        return Judged(self.rows[chosen], self.probability[chosen], self.wished[chosen])


def judged_parts(trained: Trained) -> dict[str, Judged]:
    """Return the rows in sample, out of fold on the validation part, and of the test part."""
    kappa, oof, test = trained.recipe.model.kappa, trained.out_of_fold, trained.test
    inside = np.intersect1d(trained.known, trained.split.train)
    seen = judge(trained.samples, inside, trained.fitted)
    later = np.isin(oof.rows, trained.split.validation)
    out_of_fold = Judged(oof.rows, oof.probability, wishes(oof.expected, kappa))
    return {
        "train": Judged(seen.rows, seen.probability, wishes(seen.expected, kappa)),
        "validation": out_of_fold.at(later),
        TEST: Judged(test.rows, test.probability, wishes(test.expected, kappa)),
    }


def split_figures(samples: Samples, parts: Mapping[str, Judged]) -> dict[str, Figures]:
    """Return the figures of each part."""
    return {name: figures(samples, judged) for name, judged in parts.items()}


def group_figures(
    trained: Trained, parts: Mapping[str, Judged], interval_ms: int
) -> dict[str, Figures]:
    """Return the figures by symbol, side and regime, and those of the logistic part alone.

    Groups of the test part go by their name, those of another by ``PART: NAME``.
    """
    samples, found = trained.samples, dict[str, Figures]()
    for part, judged in reversed(list(parts.items())):
        for name, chosen in _groups(trained, judged.rows, interval_ms).items():
            shown = name if part == TEST else f"{part}: {name}"
            found[shown] = figures(samples, judged.at(chosen))
        if part == TEST:
            test = trained.test
            wished = wishes(test.linear_expected, trained.recipe.model.kappa)
            alone = Judged(test.rows, test.linear_probability, wished)
            found["logistic alone"] = figures(samples, alone)
    return found


def curve(samples: Samples, rows: Rows, probability: FloatArray) -> Curve:
    """Return the observed rate by probability."""
    return calibration_curve(samples.label[rows], probability, samples.weight[rows])


def figures(samples: Samples, judged: Judged) -> Figures:
    """Return counts, classification figures and calibration error of judged rows."""
    rows, p, wished = judged
    found = classification(samples.label[rows], p, samples.weight[rows], wished)
    return found | {"calibration_error": calibration_error(curve(samples, rows, p))}


def _groups(trained: Trained, rows: Rows, interval_ms: int) -> dict[str, NDArray[np.bool_]]:
    samples = trained.samples
    groups = {
        f"symbol {name}": samples.symbol[rows] == number
        for number, name in enumerate(samples.symbols)
    }
    groups["side long"] = samples.side[rows] > 0
    groups["side short"] = samples.side[rows] < 0
    regimes = np.array(_regimes(trained, rows, interval_ms))
    return groups | {f"regime {name}": regimes == name for name in sorted(set(regimes.tolist()))}


def _regimes(trained: Trained, rows: Rows, interval_ms: int) -> list[str]:
    """Return the regime of each row, in the words that the live core records."""
    samples, recipe, plain = trained.samples, trained.recipe, Regime()
    columns, bars = resolve(samples.names), recipe.barriers.horizon_bars(interval_ms)
    found = []
    for row in chain.from_iterable(samples.x.take(rows).batches()):
        volatility = float(row[columns.volatility])
        profit, _ = barrier_fractions(
            recipe.barriers.profit,
            recipe.barriers.loss,
            recipe.barriers.volatility_scaled,
            volatility,
        )
        adx, trend = (None if c is None else float(row[c]) for c in (columns.adx, columns.trend))
        way = trend_state(adx, trend, plain)
        found.append(f"{way}/{volatility_state(volatility, profit, bars, plain)}")
    return found
