"""The trees of the meta-model, and how they are joined with the logistic baseline.

Decides how a booster is fitted, how both parts' answers become one probability, and the
two-parameter calibrator on top. Never sees time, symbols or money, and never
chooses its own rows: whoever calls says what trains. Rule: one thread count, one seed and ``hist``
trees, so the same rows give the same bytes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb

from features.errors import InputError
from features.types import FloatArray
from flows.research.logistic import Labels, logit, sigmoid
from flows.research.pages import pages
from flows.research.recipe import BoosterParams
from flows.research.table import Table
from flows.research.threads import threads_capped

# Of the calibrator (slope, offset): most of what a meta-model says of few rows is noise, so the
# slope starts low; the parts know the base rate from more rows than those that calibrate, hence the
# narrow offset.
PRIOR_MEAN = np.array([0.3, 0.0])
PRIOR_SPREAD = np.array([0.3, 0.15])


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What may be used to compute. Sums of floats depend on it, so it is part of a study's key."""

    threads: int = 1
    device: str = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrator:
    """p = σ(a·logit(p_raw) + b)."""

    a: float = 1.0
    b: float = 0.0

    def apply(self, raw: FloatArray) -> FloatArray:
        """Return calibrated probabilities, shape as given."""
        return sigmoid(self.a * logit(raw) + self.b)


def require_two_classes(label: Labels, where: str) -> None:
    """Refuse rows of one class only.

    Raises
    ------
    InputError
        One line that names the place and what to change.
    """
    won = int(label.sum())
    if won in {0, label.size}:
        outcome = "a loss" if won == 0 else "a win"
        raise InputError(
            f"{where}: all {label.size} labels are {outcome}; "
            "move the barriers or lengthen the history"
        )


def fit_booster(
    x: Table,
    label: Labels,
    weight: FloatArray,
    params: BoosterParams,
    *,
    seed: int,
    machine: Machine,
    judge: tuple[Table, Labels, FloatArray] | None = None,
    rounds: int | None = None,
) -> xgb.Booster:
    """Return a booster stopped early on ``judge``, or of exactly ``rounds`` rounds.

    Parameters
    ----------
    x, label, weight
        Training rows, shapes (n, k), (n,), (n,); weights are scaled to mean 1 here.
    judge
        The same for rows that stop the training after ``early_stopping_rounds`` without gain.

    Raises
    ------
    InputError
        Where a device is asked for that this XGBoost cannot use.
    """
    if machine.device != "cpu" and not xgb.build_info().get("USE_CUDA"):
        raise InputError(
            f'[model] device is "{machine.device}", but this XGBoost was built without CUDA; '
            'install the package xgboost in place of xgboost-cpu, or set "cpu"'
        )
    settings = {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "max_depth": params.depth,
        "learning_rate": params.learning_rate,
        "min_child_weight": params.leaf_weight_min,
        "subsample": params.row_share,
        "colsample_bytree": params.column_share,
        "reg_lambda": params.l2,
        "gamma": params.split_gain_min,
        "max_bin": params.bins,
        "seed": seed,
        "nthread": machine.threads,
        "device": machine.device,
        "verbosity": 0,
    }
    with threads_capped(machine.threads):
        booster = _boost(x, label, weight, params, settings, judge, rounds)
    # Whatever grew them: trees answer on the CPU, as they will in the executor.
    booster.set_param({"device": "cpu"})
    return booster


def _boost(
    x: Table,
    label: Labels,
    weight: FloatArray,
    params: BoosterParams,
    settings: dict[str, Any],
    judge: tuple[Table, Labels, FloatArray] | None,
    rounds: int | None,
) -> xgb.Booster:
    threads = settings["nthread"]
    train = pages(x, label, weight / weight.mean(), bins=params.bins, threads=threads)
    if judge is None:
        return xgb.train(settings, train, num_boost_round=rounds or params.rounds_max)
    stop = pages(
        judge[0],
        judge[1],
        judge[2] / judge[2].mean(),
        bins=params.bins,
        threads=threads,
        ref=train,
    )
    booster = xgb.train(
        settings,
        train,
        num_boost_round=params.rounds_max,
        evals=[(stop, "judge")],
        early_stopping_rounds=params.early_stopping_rounds,
        verbose_eval=False,
    )
    return booster[: booster.best_iteration + 1]


def boosted(booster: xgb.Booster, x: Table) -> FloatArray:
    """Return the booster's probabilities of rows, shape (n,)."""
    found = [booster.inplace_predict(rows) for rows in x.batches()]
    return np.asarray(np.concatenate(found) if found else np.empty(0), dtype=np.float64)


def joined(boosted_p: FloatArray, linear_p: FloatArray, weight: float) -> FloatArray:
    """Return the ensemble's raw probability; ``weight`` is the booster's share."""
    return weight * boosted_p + (1.0 - weight) * linear_p


def fit_calibrator(raw: FloatArray, label: Labels, weight: FloatArray) -> Calibrator:
    """Return the most probable calibrator given rows that the parts had not seen.

    Weighted logistic likelihood, counted in effective rows (the weights' sum). The prior pulls
    towards the mean answer, not towards one half: p = σ(c + a·(z − c) + d) with c the rows' mean
    raw logit, a ~ N(0.3, 0.3²), d ~ N(0, 0.15²). A few hundred overlapping labels say little of the
    slope; until they do, answers differ little from the base rate, so that an edge which is in the
    signal itself is not thinned out by noise. The slope is never below 0: where raw probabilities
    rank the wrong way round, the answer is the base rate for every row.
    """
    require_two_classes(label, "calibration")
    z = logit(raw)
    centre = float(np.average(z, weights=weight)) if weight.sum() > 0.0 else float(z.mean())
    mean = PRIOR_MEAN + np.array([0.0, centre])
    design = np.column_stack([z - centre, np.ones_like(z)])
    found = _newton(design, label, weight, mean, PRIOR_SPREAD)
    if found[0] > 0.0:
        return Calibrator(a=float(found[0]), b=float(found[1] - found[0] * centre))
    level = _newton(design[:, 1:], label, weight, mean[1:], 10.0 * PRIOR_SPREAD[1:])
    return Calibrator(a=0.0, b=float(level[0]))


def _newton(
    design: FloatArray, label: Labels, weight: FloatArray, mean: FloatArray, spread: FloatArray
) -> FloatArray:
    """Minimise weighted log loss plus the normal prior's, from the prior's mean."""
    theta = mean.copy()
    precision = 1.0 / spread**2
    for _ in range(50):
        p = sigmoid(design @ theta)
        gradient = design.T @ (weight * (p - label)) + precision * (theta - mean)
        curve = design.T @ (design * (weight * p * (1.0 - p))[:, None]) + np.diag(precision)
        step = np.linalg.solve(curve, gradient)
        size = float(np.abs(step).max())
        theta = theta - step * min(1.0, 5.0 / max(size, 1e-300))
        if size < 1e-10:
            break
    return np.asarray(theta, dtype=np.float64)
