"""The refit tier: not worse than the champion on events that neither has seen, said in words."""

from dataclasses import replace

import numpy as np
import pytest

from flows.research.refit import (
    EVENTS_MIN,
    Refit,
    comparison_rows,
    excess_log_loss,
    judge_refit,
    shared_rows,
    upper_bound,
)
from flows.research.verdict import GateLimits

LIMITS = GateLimits(spa_draws=1000)
HOUR_MS = 3_600_000


def made(shift=0.0, n=3000, days=120, seed=0, year=False):
    rng = np.random.default_rng(seed)
    span = 400 if year else days
    return Refit(
        difference=rng.normal(shift, 0.05, n),
        day=np.sort(rng.integers(0, span, n)).astype(np.int64),
        weight=np.full(n, 0.5),
        ours=rng.normal(0.001, 0.01, span),
        theirs=rng.normal(0.001, 0.01, span),
        unequal_cells=0,
        compared_cells=64,
        shared_rows=0,
        leaked_rows=0,
        calibration_error=0.04,
        horizon_hours=24.0,
    )


def failed(refit):
    return {c.name for c in judge_refit(refit, LIMITS).criteria if c.binding and not c.passed}


def test_as_good_as_the_champion_passes_and_the_tier_is_named():
    verdict = judge_refit(made(), LIMITS)
    assert verdict.word == "passed", failed(made())
    assert verdict.as_dict()["tier"] == "refit"
    assert all(c.reason for c in verdict.criteria)


@pytest.mark.parametrize(
    ("refit", "name"),
    [
        (made(shift=0.02), "log loss against the champion"),
        (replace(made(), unequal_cells=1), "feature parity"),
        (replace(made(), compared_cells=0), "feature parity"),
        (replace(made(), shared_rows=3), "no leakage"),
        (replace(made(), leaked_rows=1), "no leakage"),
        (replace(made(), calibration_error=0.2), "calibration error"),
        (replace(made(), calibration_error=float("nan")), "calibration error"),
    ],
)
def test_each_criterion_refuses_by_its_own_name(refit, name):
    assert failed(refit) == {name}


def test_too_few_events_decide_nothing_and_say_how_many_are_needed():
    verdict = judge_refit(made(n=EVENTS_MIN - 1), LIMITS)
    line = next(c for c in verdict.criteria if c.name.startswith("log loss"))
    assert not line.passed
    assert f"{EVENTS_MIN} are needed" in line.reason


def test_the_bound_covers_the_truth_about_as_often_as_it_says():
    """100 comparisons of equally good models: the bound is below the truth in about 5."""
    below = sum(upper_bound(made(seed=s, n=1200), LIMITS) < 0.0 for s in range(100))
    assert below <= 13  # 5 expected; more than 13 has a chance below 1 in 1,000


def test_a_small_loss_within_the_margin_is_allowed_when_it_is_certain_to_be_small():
    assert failed(made(shift=0.001, n=20_000)) == set()
    assert failed(made(shift=0.004, n=400)) == {"log loss against the champion"}


def test_sharpe_ratios_are_compared_over_a_year_or_more_only():
    worse = replace(made(), theirs=made().theirs + 0.01)
    line = next(c for c in judge_refit(worse, LIMITS).criteria if c.name.startswith("Sharpe"))
    assert not line.binding
    assert "less than a year" in line.reason
    longer = made(year=True)
    beaten = replace(longer, theirs=longer.theirs + 0.01)
    assert failed(longer) == set()
    assert failed(beaten) == {"Sharpe against the champion"}


def test_rows_compare_after_both_models_have_learnt_and_a_horizon_later():
    start = np.arange(0, 100, dtype=np.int64) * HOUR_MS
    rows = comparison_rows(
        start, test_ms=20 * HOUR_MS, champion_end_ms=50 * HOUR_MS, horizon_ms=24 * HOUR_MS
    )
    assert rows.min() == 74
    rows = comparison_rows(
        start, test_ms=90 * HOUR_MS, champion_end_ms=50 * HOUR_MS, horizon_ms=24 * HOUR_MS
    )
    assert rows.min() == 90
    terms = {"champion_end_ms": 50 * HOUR_MS, "horizon_ms": 24 * HOUR_MS}
    none = np.array([60 * HOUR_MS])
    assert shared_rows(start[74:], trained_end_ms=none, **terms) == 0
    assert shared_rows(start[70:], trained_end_ms=none, **terms) == 4
    assert shared_rows(start[74:], trained_end_ms=np.array([80 * HOUR_MS]), **terms) == 7


def test_other_labels_are_not_held_against_a_model():
    """Two base-rate models of labels of different rates are equally good."""
    rng = np.random.default_rng(1)
    rare, common = ((rng.random(5000) < p).astype(np.int8) for p in (0.1, 0.5))
    for label in (rare, common):
        p = np.full(label.size, label.mean())
        assert excess_log_loss(label, p).mean() == pytest.approx(0.0, abs=1e-9)
    good = np.where(common == 1, 0.7, 0.3)
    assert excess_log_loss(common, good).mean() < -0.3
