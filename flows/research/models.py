"""The two parts of the meta-model and how they are joined.

Decides how a booster and a logistic baseline are fitted, how their answers become one
probability, and the two-parameter calibrator on top. Never sees time, symbols or money, and never
chooses its own rows: whoever calls says what trains. Rule: one thread count, one seed and ``hist``
trees, so the same rows give the same bytes.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # no stubs

from features.errors import InputError
from features.types import FloatArray
from flows.research.recipe import BoosterParams

LOGIT_CLIP = 1e-6
# Of the calibrator (slope, offset): most of what a meta-model says of few rows is noise, so the
# slope starts low; the parts know the base rate from more rows than those that calibrate, hence the
# narrow offset.
PRIOR_MEAN = np.array([0.3, 0.0])
PRIOR_SPREAD = np.array([0.3, 0.15])
Labels = NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What may be used to compute; part of no key: results do not depend on it beyond threads."""

    threads: int = 1
    device: str = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """Logistic regression on scaled features: p = σ(intercept + Σ cᵢ·(xᵢ − meanᵢ)/scaleᵢ)."""

    mean: FloatArray
    scale: FloatArray
    coefficients: FloatArray
    intercept: float

    def probability(self, x: FloatArray) -> FloatArray:
        """Return probabilities of rows, shape (n,)."""
        z = (x - self.mean) / self.scale @ self.coefficients + self.intercept
        return sigmoid(z)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrator:
    """p = σ(a·logit(p_raw) + b)."""

    a: float = 1.0
    b: float = 0.0

    def apply(self, raw: FloatArray) -> FloatArray:
        """Return calibrated probabilities, shape as given."""
        return sigmoid(self.a * logit(raw) + self.b)


def sigmoid(z: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(−z)), held where exp would overflow."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -500.0, 500.0))), dtype=np.float64)


def logit(p: FloatArray) -> FloatArray:
    """Return log(p / (1 − p)) with p held in [1e-6, 1 − 1e-6]."""
    held = np.clip(p, LOGIT_CLIP, 1.0 - LOGIT_CLIP)
    return np.asarray(np.log(held / (1.0 - held)), dtype=np.float64)


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
    x: FloatArray,
    label: Labels,
    weight: FloatArray,
    params: BoosterParams,
    *,
    seed: int,
    machine: Machine,
    judge: tuple[FloatArray, Labels, FloatArray] | None = None,
    rounds: int | None = None,
) -> xgb.Booster:
    """Return a booster stopped early on ``judge``, or of exactly ``rounds`` rounds.

    Parameters
    ----------
    x, label, weight
        Training rows, shapes (n, k), (n,), (n,); weights are scaled to mean 1 here.
    judge
        The same for rows that stop the training after ``early_stopping_rounds`` without gain.
    """
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
        return _boost(x, label, weight, params, settings, judge, rounds)


def _boost(
    x: FloatArray,
    label: Labels,
    weight: FloatArray,
    params: BoosterParams,
    settings: dict[str, Any],
    judge: tuple[FloatArray, Labels, FloatArray] | None,
    rounds: int | None,
) -> xgb.Booster:
    threads = settings["nthread"]
    train = xgb.QuantileDMatrix(
        x, label, weight=weight / weight.mean(), max_bin=params.bins, nthread=threads
    )
    if judge is None:
        return xgb.train(settings, train, num_boost_round=rounds or params.rounds_max)
    stop = xgb.QuantileDMatrix(
        judge[0],
        judge[1],
        weight=judge[2] / judge[2].mean(),
        max_bin=params.bins,
        ref=train,
        nthread=threads,
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


def threads_capped(threads: int) -> AbstractContextManager[object]:
    """Return a context in which OpenMP and BLAS use at most ``threads`` threads.

    XGBoost's own setting does not reach the copying of labels and weights, which otherwise spins on
    every core: on a busy machine that costs more than the training.
    """
    limits: AbstractContextManager[object] = _pools().limit(limits=threads)
    return limits


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()


def boosted(booster: xgb.Booster, x: FloatArray) -> FloatArray:
    """Return the booster's probabilities of rows, shape (n,)."""
    return np.asarray(booster.inplace_predict(x), dtype=np.float64)


def fit_linear(x: FloatArray, label: Labels, weight: FloatArray, c: float) -> Linear:
    """Return the logistic baseline; scaling is fitted on these rows alone."""
    mean = np.average(x, axis=0, weights=weight)
    spread = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    # A column that never moves (a rule, a symbol without rows) says nothing: it is left unscaled.
    scale = np.where(spread > 1e-9 * np.maximum(1.0, np.abs(mean)), spread, 1.0)
    with threads_capped(1):
        model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-6, max_iter=100)
        model.fit((x - mean) / scale, label, sample_weight=weight / weight.mean())
    return Linear(
        mean=mean,
        scale=scale,
        coefficients=np.asarray(model.coef_[0], dtype=np.float64),
        intercept=float(model.intercept_[0]),
    )


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
