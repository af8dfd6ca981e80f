"""Whether the retrained model of a proven recipe may take the champion's place.

Decides the refit tier: the same features as in trading, no row of training near the rows that
compare, calibration in bounds, and a log loss that is not worse than the champion's on events that
neither has seen. Pure. Rule: rows that compare come after the champion's training end plus the
horizon and after the candidate's own; whatever cannot be computed does not hold.
"""

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from features.types import FloatArray, IntArray
from flows.research.book import DAY_MS
from flows.research.bootstrap import stationary_counts
from flows.research.criteria import Criterion, Verdict, at_least, at_most, reported
from flows.research.performance import DAYS_A_YEAR, sharpe_annual
from flows.research.splits import Rows
from flows.research.superiority import chances_not_worse
from flows.research.verdict import BLOCK_DAYS_MIN, GateLimits

EVENTS_MIN = 100
CLIP = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refit:
    """All that the refit tier looks at.

    ``difference`` is the candidate's log loss minus the champion's, shape (n,), on paired events of
    ``day`` (since 1970) and ``weight``. ``ours`` and ``theirs`` are daily net returns of the
    compared days. ``unequal_cells`` counts features in which stream and batch differ,
    ``shared_rows`` rows that compare and that a model was trained on or near to, ``leaked_rows``
    the candidate's training rows that touch what judged it.
    """

    difference: FloatArray
    day: IntArray
    weight: FloatArray
    ours: FloatArray
    theirs: FloatArray
    unequal_cells: int
    compared_cells: int
    shared_rows: int
    leaked_rows: int
    calibration_error: float
    horizon_hours: float


def comparison_rows(
    start_ms: IntArray, *, test_ms: int, champion_end_ms: int, horizon_ms: int
) -> Rows:
    """Return the rows that may compare: later than what either model has learnt from.

    Parameters
    ----------
    start_ms
        Decision times, shape (n,).
    test_ms
        Where the candidate's test part begins; its training is purged against it.
    champion_end_ms
        End of the champion's training data, as its manifest says.
    horizon_ms
        Longest time that a label of either looks ahead.
    """
    return np.flatnonzero(start_ms >= max(test_ms, champion_end_ms + horizon_ms))


def shared_rows(
    compared_start_ms: IntArray,
    *,
    trained_end_ms: IntArray,
    champion_end_ms: int,
    horizon_ms: int,
) -> int:
    """Return how many compared rows begin before a model's training data had settled."""
    own = int(trained_end_ms.max()) if trained_end_ms.size else 0
    settled = compared_start_ms >= champion_end_ms + horizon_ms
    return int(np.sum(~settled | (compared_start_ms <= own)))


def excess_log_loss(label: NDArray[np.int8], probability: FloatArray) -> FloatArray:
    """Return each row's log loss less what the base rate of these rows would have had on average.

    Where two models' labels differ (other barriers), so does how hard they are to foretell; the
    base rate's own loss takes that out, and cancels where the labels are the same.
    """
    p = np.clip(probability, CLIP, 1.0 - CLIP)
    won = label == 1
    rate = float(np.clip(won.mean(), CLIP, 1.0 - CLIP)) if won.size else 0.5
    entropy = -(rate * np.log(rate) + (1.0 - rate) * np.log(1.0 - rate))
    loss: FloatArray = -np.where(won, np.log(p), np.log(1.0 - p)) - entropy
    return loss


def judge_refit(refit: Refit, limits: GateLimits) -> Verdict:
    """Return the verdict on a retrained model beside the champion."""
    return Verdict(
        criteria=(
            at_most(
                "feature parity",
                float(refit.unequal_cells) if refit.compared_cells else nan,
                0.0,
                f"{refit.unequal_cells} of {refit.compared_cells} features of the last bars differ "
                "between training's batch and trading's stream",
            ),
            at_most(
                "no leakage",
                float(refit.shared_rows + refit.leaked_rows) if refit.difference.size else nan,
                0.0,
                f"{refit.shared_rows} of {refit.difference.size} compared events lie where a model "
                "has learnt, or within a horizon of it; "
                f"{refit.leaked_rows} rows trained a model and touch, with the embargo, what "
                "judged it",
            ),
            at_most(
                "calibration error",
                refit.calibration_error,
                limits.calibration_error_max,
                f"on the test part probabilities miss the observed rate by "
                f"{refit.calibration_error:.3f} on average",
            ),
            _loss_criterion(refit, limits),
            _sharpe_criterion(refit, limits),
        ),
        tier="refit",
    )


def upper_bound(refit: Refit, limits: GateLimits) -> float:
    """Return the upper 95 % bound of the weighted mean difference, over blocks of days."""
    first = int(refit.day.min())
    days = int(refit.day.max()) - first + 1
    place = refit.day - first
    total = np.bincount(place, refit.difference * refit.weight, minlength=days)
    mass = np.bincount(place, refit.weight, minlength=days)
    counts = stationary_counts(
        days,
        min(max(BLOCK_DAYS_MIN, 3.0 * refit.horizon_hours / 24.0), days / 2.0),
        limits.spa_draws,
        np.random.default_rng(limits.seed),
    )
    drawn_mass = counts @ mass
    kept = drawn_mass > 0.0
    return float(np.quantile((counts @ total)[kept] / drawn_mass[kept], 0.95))


def _loss_criterion(refit: Refit, limits: GateLimits) -> Criterion:
    name, limit = "log loss against the champion", limits.log_loss_margin
    n = int(refit.difference.size)
    if n < EVENTS_MIN:
        reason = (
            f"{n} events since the champion's training ended (and a horizon after); "
            f"{EVENTS_MIN} are needed to compare: wait, or let the recipe tier judge"
        )
        return Criterion(name=name, value=nan, threshold=limit, passed=False, reason=reason)
    bound = upper_bound(refit, limits)
    mean = float(np.average(refit.difference, weights=refit.weight))
    return at_most(
        name,
        bound,
        limit,
        f"on {n} events that neither model has seen the log loss differs by {mean:+.4f} from the "
        f"champion's, at most {bound:+.4f} with 95 % confidence; allowed {limit:g}",
    )


def _sharpe_criterion(refit: Refit, limits: GateLimits) -> Criterion:
    """Return the comparison of Sharpe ratios, which counts over a year or more only."""
    name, days = "Sharpe against the champion", int(refit.ours.size)
    ours, theirs = sharpe_annual(refit.ours), sharpe_annual(refit.theirs)
    if days < DAYS_A_YEAR:
        return reported(
            name,
            ours - theirs,
            0.0,
            f"{ours:.2f} against {theirs:.2f} over {days} days; over less than a year the "
            "difference is noise and does not decide",
        )
    (chance,) = chances_not_worse(
        refit.ours,
        refit.theirs[:, None],
        block_mean=max(BLOCK_DAYS_MIN, 3.0 * refit.horizon_hours / 24.0),
        draws=limits.spa_draws,
        rng=np.random.default_rng(limits.seed),
    ).tolist()
    return at_least(
        name,
        chance,
        limits.baseline_level,
        f"{ours:.2f} against {theirs:.2f} over {days} days; at least as good in {chance:.0%} of "
        "draws",
    )


def days_of(start_ms: IntArray) -> IntArray:
    """Return the UTC day of each time, since 1970."""
    return start_ms // DAY_MS
