"""One fit of the whole meta-model on given rows, and what it answers.

Decides how training rows are divided inside a fit: the last stretch of their own time stops the
booster, calibrates the ensemble and is never trained on. Where symbols learn apart, each has a part
of its own and one with too little to learn from has none. Never sees the rows it will be judged by.
Rule: everything that is estimated (scaler, trees, calibrator, economics) comes from the rows given.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xgboost as xgb

from features.errors import InputError
from features.types import FloatArray
from flows.research.answers import Answers, Unseen, together
from flows.research.economics import Economics, Expectation, break_even, expect, measure
from flows.research.logistic import Linear, fit_linear
from flows.research.models import (
    Calibrator,
    Machine,
    boosted,
    fit_booster,
    fit_calibrator,
    joined,
    require_two_classes,
)
from flows.research.recipe import Recipe
from flows.research.samples import Samples
from flows.research.splits import Rows, clear_of
from flows.research.table import Table

ALL = -1  # the key of a part that all symbols share
ROWS_MIN = 100
TAIL_ROWS_MIN = 20
TAIL_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedPart:
    """Trees, logistic part, calibrators (of the ensemble, of the baseline) and economics."""

    booster: xgb.Booster
    linear: Linear
    ensemble_weight: float
    calibrator: Calibrator
    linear_calibrator: Calibrator
    economics: Economics

    def raw(self, x: Table, rows: Rows) -> Unseen:
        """Return both parts' raw probabilities of ``rows`` of ``x``."""
        chosen = x.take(rows)
        return Unseen(
            rows=rows,
            boosted=boosted(self.booster, chosen),
            linear=self.linear.probability(chosen),
        )

    def expect(self, samples: Samples, rows: Rows, probability: FloatArray) -> Expectation:
        """Return what the rule expects of ``rows`` at these probabilities."""
        return expect(self.economics, probability, samples.symbol[rows], samples.volatility[rows])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """A fitted meta-model: a part for each symbol's number, or one for all under ``ALL``."""

    parts: Mapping[int, FittedPart]


def groups(samples: Samples, rows: Rows) -> list[tuple[int, Rows]]:
    """Return the rows that learn together, by the key of their part."""
    if not samples.apart:
        return [(ALL, rows)]
    number = samples.symbol[rows]
    return [(int(key), rows[number == key]) for key in np.unique(number)]


def head_and_tail(
    samples: Samples, rows: Rows, embargo_ms: int, tail_share: float = TAIL_SHARE
) -> tuple[Rows, Rows]:
    """Split training rows at their own time: the tail judges, the head is purged against it."""
    if rows.size == 0:
        return rows, rows
    start = samples.start_ms[rows]
    cut = start.min() + (start.max() - start.min()) * (1.0 - tail_share)
    tail = rows[start >= cut]
    clear = clear_of(samples.start_ms, samples.end_ms, [tail], embargo_ms)
    head = rows[(start < cut) & clear[rows]]
    return head, tail


def require_rows(samples: Samples, rows: Rows, where: str, rows_min: int = ROWS_MIN) -> None:
    """Refuse too few rows or rows of one class, in one line that says what to change."""
    if rows.size < rows_min:
        raise InputError(
            f"{where}: {rows.size} labelled signals, at least {rows_min} are needed; "
            "use a longer history, more symbols or a lower signal threshold"
        )
    require_two_classes(samples.label[rows], where)


def fit(
    samples: Samples,
    rows: Rows,
    recipe: Recipe,
    *,
    earlier: Unseen | None,
    embargo_ms: int,
    seed: int,
    machine: Machine,
) -> Fitted:
    """Return the meta-model fitted on ``rows``: parts on the head, calibrators on the tail.

    Parameters
    ----------
    earlier
        Answers of earlier folds; those to ``rows`` join the tail in calibrating, so that later
        folds are calibrated on more and more.

    Raises
    ------
    InputError
        Too few rows, or one class only; where symbols learn apart, of every one of them.
    """
    parts: dict[int, FittedPart] = {}
    reason = InputError("training rows: there is no labelled signal; use a longer history")
    for key, mine in groups(samples, rows):
        try:
            parts[key] = _fit_part(samples, mine, recipe, earlier, embargo_ms, seed, machine)
        except InputError as error:
            reason = error
    if not parts:
        raise reason
    return Fitted(parts=parts)


def _fit_part(
    samples: Samples,
    rows: Rows,
    recipe: Recipe,
    earlier: Unseen | None,
    embargo_ms: int,
    seed: int,
    machine: Machine,
) -> FittedPart:
    head, tail = head_and_tail(samples, rows, embargo_ms)
    require_rows(samples, head, "training rows")
    require_rows(samples, tail, "rows that stop the training early", TAIL_ROWS_MIN)
    x, label, weight = samples.x.take(head), samples.label, samples.weight
    later = samples.x.take(tail)
    booster = fit_booster(
        x,
        label[head],
        weight[head],
        recipe.booster,
        seed=seed,
        machine=machine,
        judge=(later, label[tail], weight[tail]),
    )
    linear = fit_linear(x, label[head], weight[head], recipe.model.logistic_c)
    unseen = Unseen(rows=tail, boosted=boosted(booster, later), linear=linear.probability(later))
    if earlier is not None:
        unseen = earlier.within(rows).but(unseen)
    ensemble, alone = calibrators(samples, unseen, recipe.model.ensemble_weight)
    return FittedPart(
        booster=booster,
        linear=linear,
        ensemble_weight=recipe.model.ensemble_weight,
        calibrator=ensemble,
        linear_calibrator=alone,
        economics=measure_rows(samples, rows),
    )


def calibrators(
    samples: Samples, unseen: Unseen, ensemble_weight: float
) -> tuple[Calibrator, Calibrator]:
    """Return the calibrators of the ensemble and of the logistic part alone."""
    label, weight = samples.label[unseen.rows], samples.weight[unseen.rows]
    raw = joined(unseen.boosted, unseen.linear, ensemble_weight)
    return fit_calibrator(raw, label, weight), fit_calibrator(unseen.linear, label, weight)


def judge(samples: Samples, rows: Rows, fitted: Fitted) -> Answers:
    """Return the answers of a fitted model to rows; those of a symbol without a part have none."""
    return together(
        _answer(samples, fitted.parts[key].raw(samples.x, mine), fitted.parts[key])
        for key, mine in groups(samples, rows)
        if key in fitted.parts
    )


def answer(samples: Samples, raw: Unseen, fitted: Fitted) -> Answers:
    """Return what ``fitted``'s calibrators and economics make of raw probabilities."""
    return together(
        _answer(samples, raw.within(mine), fitted.parts[key])
        for key, mine in groups(samples, raw.rows)
        if key in fitted.parts
    )


def _answer(samples: Samples, raw: Unseen, part: FittedPart) -> Answers:
    # The logistic baseline has a calibrator of its own, so that it is compared at its best.
    p = part.calibrator.apply(joined(raw.boosted, raw.linear, part.ensemble_weight))
    q = part.linear_calibrator.apply(raw.linear)
    return Answers(
        raw=raw,
        probability=p,
        linear_probability=q,
        expected=part.expect(samples, raw.rows, p),
        linear_expected=part.expect(samples, raw.rows, q),
    )


def measure_rows(samples: Samples, rows: Rows) -> Economics:
    """Return the economics of labelled rows."""
    return measure(
        samples.net[rows],
        samples.weight[rows],
        samples.symbol[rows],
        samples.volatility[rows],
        symbols=len(samples.symbols),
    )


def break_even_mean(fitted: Fitted) -> float:
    """Return the mean probability at which a bet is worth nothing, over groups and parts."""
    even = [
        break_even(part.economics)[slice(None) if key == ALL else key]
        for key, part in fitted.parts.items()
    ]
    return float(np.mean([one.mean() for one in even]))
