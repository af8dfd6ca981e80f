"""The one training of a chosen recipe: cut, walk, calibrate, refit, judge once.

Decides how the time is cut (60/20/20 by calendar), that the calibrator and the number of rounds
come from out-of-fold answers, and that the shipped model is refitted on everything before the test
part. Looks at the test part once, when the model is finished. Rule: what is judged is what is
shipped; no row of the test part, and none whose span reaches it, has any influence on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from features.errors import InputError
from flows.research.answers import Answers
from flows.research.book import daily_returns, one_at_a_time
from flows.research.economics import wishes
from flows.research.fitting import (
    ALL,
    Fitted,
    FittedPart,
    answer,
    calibrators,
    groups,
    judge,
    measure_rows,
    require_rows,
)
from flows.research.logistic import fit_linear
from flows.research.market import Dataset
from flows.research.models import Machine, fit_booster
from flows.research.objective import Trial, Walk, embargo_ms, walk
from flows.research.performance import memory_days
from flows.research.recipe import HOUR_MS, Recipe
from flows.research.samples import Samples, draw_samples, prices
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

    ``left_out`` says why a symbol has no model where each has one of its own. ``out_of_fold`` is
    what the finished calibrators and economics make of raw probabilities that the walk's parts gave
    to rows they had not seen; ``test`` are its own answers to the test part.
    """

    recipe: Recipe
    cuts: Cuts
    embargo_ms: int
    samples: Samples
    split: Split
    known: Rows
    fitted: Fitted
    left_out: Mapping[str, str]
    walk: Walk
    out_of_fold: Answers
    test: Answers

    @property
    def rounds(self) -> int:
        """Boosting rounds of the largest part."""
        parts = self.fitted.parts.values()
        return max(int(part.booster.num_boosted_rounds()) for part in parts)


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
    if not (samples.start_ms >= borders.test_ms).any():
        raise InputError("the test part has no labelled signal; use a longer history")
    early = np.flatnonzero(samples.end_ms < borders.test_ms - embargo_ms(recipe, trial))
    require_rows(samples, early, "rows before the test part")
    walked = walk(samples, recipe, trial, machine)
    wider = widened(walked, recipe, dataset, trial)
    if wider is not trial:
        trial = wider
        walked = walk(samples, recipe, trial, machine)
    distance = embargo_ms(recipe, trial)
    split = time_ordered(
        samples.start_ms,
        samples.end_ms,
        validation_ms=borders.validation_ms,
        test_ms=borders.test_ms,
        embargo_ms=distance,
    )
    known = np.flatnonzero(samples.end_ms < borders.test_ms - distance)
    fitted, left_out = _refit(walked, known, recipe, seed=trial.seed, machine=machine)
    return Trained(
        recipe=recipe,
        cuts=borders,
        embargo_ms=distance,
        samples=samples,
        split=split,
        known=known,
        fitted=fitted,
        left_out={**left_out, **samples.left_out},
        walk=walked,
        out_of_fold=answer(samples, walked.unseen, fitted),
        test=judge(samples, split.test, fitted),
    )


def widened(walked: Walk, recipe: Recipe, dataset: Dataset, trial: Trial) -> Trial:
    """Return the terms with an embargo that outlasts the memory of the walk's own profits.

    Where a day's profit says something of days after, so does what was learnt on it: the embargo
    is never less than the days after which the record's autocorrelation is noise. The terms come
    back as they are where the horizon is longer.
    """
    samples = walked.samples
    wished = np.zeros(samples.n, dtype=np.bool_)
    for answers in walked.answers:
        wished[answers.rows] = wishes(answers.expected, recipe.model.kappa)
    held = samples.trips.take(one_at_a_time(samples.trips, wished))
    days = trial.score_days
    daily = daily_returns(held, prices(dataset), first_day=trial.first_day, days=days)
    hours = 24.0 * memory_days(daily)
    if hours * HOUR_MS <= embargo_ms(recipe, trial):
        return trial
    return replace(trial, embargo_hours=hours)


def _refit(
    walked: Walk, known: Rows, recipe: Recipe, *, seed: int, machine: Machine
) -> tuple[Fitted, dict[str, str]]:
    """Fit every part on everything before the test; say why a symbol has none."""
    samples = walked.samples
    parts: dict[int, FittedPart] = {}
    left_out: dict[str, str] = {}
    reason = InputError("there is no labelled signal before the test part; use a longer history")
    for key, rows in groups(samples, known):
        try:
            parts[key] = _refit_part(walked, key, rows, recipe, seed, machine)
        except InputError as error:
            reason = error
            if key != ALL:
                left_out[samples.symbols[key]] = str(error)
    if not parts:
        raise reason
    if samples.apart:
        for number, symbol in enumerate(samples.symbols):
            if number not in parts:
                left_out.setdefault(symbol, "no labelled signals before the test part")
    return Fitted(parts=parts), left_out


def _refit_part(
    walked: Walk, key: int, rows: Rows, recipe: Recipe, seed: int, machine: Machine
) -> FittedPart:
    """Fit trees and logistic part on all ``rows``; calibrate on the out-of-fold ensemble."""
    samples, weight = walked.samples, recipe.model.ensemble_weight
    require_rows(samples, rows, "rows before the test part")
    unseen = walked.unseen if key == ALL else walked.unseen.within(samples.of(key))
    rounds = walked.rounds(key)
    if not rounds:
        raise InputError("no fold of the walk-forward had enough of its rows; use a longer history")
    x, label, unique = samples.x.take(rows), samples.label[rows], samples.weight[rows]
    ensemble, alone = calibrators(samples, unseen, weight)
    return FittedPart(
        booster=fit_booster(
            x,
            label,
            unique,
            recipe.booster,
            seed=seed,
            machine=machine,
            rounds=max(1, int(np.median(rounds))),
        ),
        linear=fit_linear(x, label, unique, recipe.model.logistic_c),
        ensemble_weight=weight,
        calibrator=ensemble,
        linear_calibrator=alone,
        economics=measure_rows(samples, rows),
    )
