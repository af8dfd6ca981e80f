"""Which trial becomes the model: of those as good as the best, the nearest to the recipe."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.research.choice import chosen_trial, difference_error, distance
from flows.research.objective import WORST, TrialResult
from flows.research.performance import sharpe_annual
from flows.research.recipe import Recipe
from flows.research.space import search_space, sobol_points, start_point

SPACE = search_space(Recipe())
START = start_point(SPACE)
DAYS = 400
RNG = np.random.default_rng(3)
BASE = RNG.standard_normal(DAYS)


def result(score: float, daily=BASE) -> TrialResult:
    return TrialResult(
        score=score, fold_sharpes=(), trades=200, events=900, metrics={}, daily=tuple(daily)
    )


@dataclass(frozen=True)
class Ended:
    point: dict[str, float]
    result: TrialResult


def chosen(results, points) -> int:
    """Return the place of the chosen trial."""
    trials = [Ended(p, r) for p, r in zip(points, results, strict=True)]
    return trials.index(chosen_trial(trials, SPACE, DAYS))


def moved(share: float) -> dict[str, float]:
    """Return a point whose every dimension went this share of its units towards the upper end."""
    return {d.name: d.at(0.5 + share / 2.0) for d in SPACE}


def mixed(rho: float, seed: int):
    """Return a series whose correlation with BASE is about ``rho``."""
    other = np.random.default_rng(seed).standard_normal(DAYS)
    return rho * BASE + np.sqrt(1.0 - rho * rho) * other


def test_a_trial_that_noise_cannot_tell_from_the_best_gives_way_to_the_written_recipe() -> None:
    far = result(2.0, mixed(0.5, 1))
    near = result(1.6)
    assert chosen([near, far], [START, moved(0.9)]) == 0
    assert chosen([far, near], [moved(0.9), START]) == 1


def test_a_trial_that_is_better_beyond_noise_is_taken_however_far_it_is() -> None:
    error = difference_error(BASE, mixed(0.5, 1))
    best = result(1.6 + 1.1 * error, mixed(0.5, 1))
    assert chosen([result(1.6), best], [START, moved(0.9)]) == 1


def test_a_trial_that_lost_is_not_taken_where_the_best_earned() -> None:
    assert chosen([result(-0.1), result(0.3, mixed(0.5, 1))], [START, moved(0.9)]) == 1
    assert chosen([result(-0.5), result(-0.1, mixed(0.5, 1))], [START, moved(0.9)]) == 0


def test_what_the_trials_earned_in_the_test_part_decides_nothing() -> None:
    later = np.concatenate([BASE, np.full(100, -0.5)])
    other = np.concatenate([mixed(0.9, 2), np.full(100, 0.5)])
    a = [result(1.0, later), result(1.1, other)]
    b = [result(1.0, BASE), result(1.1, mixed(0.9, 2))]
    points = [START, moved(0.4)]
    assert chosen(a, points) == chosen(b, points)


def test_a_trial_without_a_trade_is_nobodys_neighbour() -> None:
    idle = TrialResult(
        score=WORST, fold_sharpes=(), trades=0, events=0, metrics={}, daily=(0.0,) * DAYS
    )
    assert chosen([idle, result(-9.9)], [START, moved(0.9)]) == 1
    assert chosen([idle, idle], [START, moved(0.9)]) == 0


@given(seed=st.integers(0, 10_000), scores=st.lists(st.floats(-5.0, 5.0), min_size=2, max_size=9))
def test_nobody_is_both_nearer_and_better(seed: int, scores: list[float]) -> None:
    """No trial within the error of the best is nearer than the chosen one."""
    points = [START, *sobol_points(SPACE, len(scores) - 1, seed)]
    results = [result(s, mixed(0.6, seed + n)) for n, s in enumerate(scores)]
    place = chosen(results, points)
    best = int(np.argmax(scores))
    assert scores[place] <= scores[best]
    assert distance(points[place], SPACE) <= distance(points[best], SPACE)


def test_the_error_is_that_of_repeated_draws() -> None:
    """Against brute force: the spread of differences of Sharpe ratios over many samples."""
    rng = np.random.default_rng(5)
    differences, errors = [], []
    for _ in range(400):
        first = rng.standard_normal(DAYS) + 0.1
        second = 0.6 * first + 0.8 * rng.standard_normal(DAYS)
        differences.append(sharpe_annual(first) - sharpe_annual(second))
        errors.append(difference_error(first, second))
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.1)


def test_distance_is_zero_at_the_start_and_one_at_the_bounds() -> None:
    assert distance(START, SPACE) == pytest.approx(0.0, abs=1e-12)
    free = [d for d in SPACE if d.low < d.start < d.high]
    ends = {d.name: d.high for d in free}
    assert distance(ends, free) == pytest.approx(1.0)
