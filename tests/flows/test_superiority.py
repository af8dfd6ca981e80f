"""Hansen's SPA: right size on noise, power on an edge, and the bootstrap it stands on."""

import numpy as np
import pytest

from features.errors import InputError
from flows.research.superiority import long_run_variance, stationary_counts, superior_ability


def run(series, seed=0, draws=500, block=5.0):
    return superior_ability(series, block_mean=block, draws=draws, rng=np.random.default_rng(seed))


@pytest.mark.slow
def test_size_on_noise_is_near_its_level():
    """400 noise matrices: about 5 % have p <= 0.05 (at most 8 %, three standard errors)."""
    rng = np.random.default_rng(1)
    p = np.array(
        [run(rng.normal(size=(250, 12)), seed=i, draws=300).consistent for i in range(400)]
    )
    assert 0.02 <= np.mean(p <= 0.05) <= 0.083
    assert np.mean(p <= 0.5) == pytest.approx(0.5, abs=0.12)


def test_a_real_edge_is_found_and_named():
    series = np.random.default_rng(2).normal(size=(730, 30))
    series[:, 4] += 3.5 / np.sqrt(365)
    found = run(series)
    assert found.best == 4
    assert found.consistent < 0.02


def test_hopeless_trials_do_not_hide_an_edge():
    """SPA_c drops trials that lose for certain; the upper bound (White's view) does not."""
    rng = np.random.default_rng(3)
    series = rng.normal(size=(400, 41))
    series[:, 1:] -= 1.0
    series[:, 0] += 0.11
    found = run(series, draws=2000)
    assert found.lower <= found.consistent <= found.upper
    assert found.consistent < found.upper


def test_all_losing_trials_give_p_one():
    series = np.random.default_rng(5).normal(size=(300, 5)) - 0.5
    assert run(series).consistent == 1.0


def test_idle_trials_say_nothing():
    assert run(np.zeros((100, 4))).consistent == 1.0


def test_same_seed_same_answer():
    series = np.random.default_rng(8).normal(size=(200, 6))
    assert run(series, seed=9) == run(series, seed=9)


def test_every_draw_has_all_its_periods_and_blocks_of_the_right_length():
    rng = np.random.default_rng(4)
    counts = stationary_counts(300, 10.0, 200, rng)
    assert (counts.sum(axis=1) == 300).all()
    assert counts.mean(axis=0).std() < 0.12
    singles = stationary_counts(300, 1.0, 200, rng)
    # independent draws: the number of distinct periods is 1 - 1/e of all
    assert np.mean(singles > 0) == pytest.approx(1 - np.exp(-1), abs=0.01)


def test_variance_formula_matches_the_bootstrap_itself():
    rng = np.random.default_rng(6)
    noise = rng.normal(size=2000)
    series = np.convolve(noise, [1.0, 0.7, 0.4], mode="valid")[:, None]
    means = stationary_counts(len(series), 8.0, 4000, rng) @ series / len(series)
    drawn = means.var() * len(series)
    assert long_run_variance(series, 8.0)[0] == pytest.approx(drawn, rel=0.06)


@pytest.mark.parametrize(("periods", "block"), [(5, 2.0), (100, 0.5)])
def test_bad_input_is_one_clear_line(periods, block):
    with pytest.raises(InputError):
        run(np.ones((periods, 2)), block=block)
