"""The one training of a chosen recipe: cut, walk, calibrate, refit, judge once.

Decides how the time is cut (60/20/20 by calendar), that the calibrator and the number of rounds
come from out-of-fold answers, and that the shipped model is refitted on everything before the test
part. Looks at the test part once, when the model is finished. Rule: what is judged is what is
shipped; no row of the test part, and none whose span reaches it, has any influence on it.
"""

from dataclasses import dataclass

import numpy as np

from features.errors import InputError
from flows.research.fitting import (
    Answers,
    Fitted,
    answer,
    calibrators,
    judge,
    measure_rows,
    require_rows,
)
from flows.research.market import Dataset
from flows.research.models import Machine, fit_booster, fit_linear
from flows.research.objective import Trial, Walk, embargo_ms, walk
from flows.research.recipe import Recipe
from flows.research.samples import Samples, draw_samples
from flows.research.splits import Rows, Split, cut_times, time_ordered

SHARES = (0.6, 0.2, 0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """Calendar borders of the parts, the same for every recipe on a dataset."""

    first_ms: int
    validation_ms: int
    test_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A finished model, the rows it was made from, and what it answers.

    ``out_of_fold`` is what its calibrators and economics make of raw probabilities that the walk's
    parts gave to rows they had not seen; ``test`` are its own answers to the test part.
    """

    recipe: Recipe
    cuts: Cuts
    embargo_ms: int
    samples: Samples
    split: Split
    known: Rows
    fitted: Fitted
    rounds: int
    walk: Walk
    out_of_fold: Answers
    test: Answers


def cuts(dataset: Dataset) -> Cuts:
    """Return the borders of 60/20/20 over the time in which any symbol has features."""
    first = min(int(m.candles.open_ms[m.first]) for m in dataset.markets)
    last = max(int(m.candles.close_ms[-1]) for m in dataset.markets)
    validation, test = cut_times(first, last, SHARES)
    return Cuts(first_ms=first, validation_ms=validation, test_ms=test, last_ms=last)


def train(dataset: Dataset, recipe: Recipe, trial: Trial, machine: Machine) -> Trained:
    """Return the finished model of ``recipe``.

    Raises
    ------
    InputError
        Too few labelled signals, one class only, or an empty test part; one clear line.
    """
    borders = cuts(dataset)
    samples = draw_samples(dataset, recipe)
    distance = embargo_ms(recipe, trial)
    split = time_ordered(
        samples.start_ms,
        samples.end_ms,
        validation_ms=borders.validation_ms,
        test_ms=borders.test_ms,
        embargo_ms=distance,
    )
    if split.test.size == 0:
        raise InputError("the test part has no labelled signal; use a longer history")
    known = np.flatnonzero(samples.end_ms < borders.test_ms - distance)
    require_rows(samples, known, "rows before the test part")
    walked = walk(samples, recipe, trial, machine)
    rounds = max(1, int(np.median(walked.rounds)))
    fitted = _refit(walked, known, recipe, rounds=rounds, seed=trial.seed, machine=machine)
    return Trained(
        recipe=recipe,
        cuts=borders,
        embargo_ms=distance,
        samples=samples,
        split=split,
        known=known,
        fitted=fitted,
        rounds=rounds,
        walk=walked,
        out_of_fold=answer(samples, walked.unseen, fitted),
        test=judge(samples, split.test, fitted),
    )


def _refit(
    walked: Walk, known: Rows, recipe: Recipe, *, rounds: int, seed: int, machine: Machine
) -> Fitted:
    """Fit both parts on everything before the test; calibrate on the out-of-fold ensemble."""
    samples, weight = walked.samples, recipe.model.ensemble_weight
    x, label, unique = samples.x[known], samples.label[known], samples.weight[known]
    ensemble, alone = calibrators(samples, walked.unseen, weight)
    return Fitted(
        booster=fit_booster(
            x, label, unique, recipe.booster, seed=seed, machine=machine, rounds=rounds
        ),
        linear=fit_linear(x, label, unique, recipe.model.logistic_c),
        ensemble_weight=weight,
        calibrator=ensemble,
        linear_calibrator=alone,
        economics=measure_rows(samples, known),
    )
