"""Hansen's SPA: right size on noise, power on an edge, and the bootstrap it stands on."""

import numpy as np
import pytest

from features.errors import InputError
from flows.research.bootstrap import (
    drawn_means,
    long_run_variance,
    stationary_blocks,
    stationary_counts,
)
from flows.research.superiority import superior_ability


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


def test_drawn_means_and_variances_are_those_of_the_series_written_out():
    """Against the definition, draw by draw and block by block."""
    rng = np.random.default_rng(12)
    series = rng.standard_t(4, size=(90, 20))
    blocks = stationary_blocks(90, 6.0, 40, rng)
    mean, variance = drawn_means(series, blocks)
    for d in range(40):
        mine = range(blocks.first[d], blocks.first[d + 1])
        pieces = [series[(blocks.start[b] + np.arange(blocks.length[b])) % 90] for b in mine]
        whole = np.concatenate(pieces)
        assert len(whole) == 90
        np.testing.assert_allclose(mean[d], whole.mean(axis=0), atol=1e-12)
        away = [piece.sum(axis=0) - len(piece) * whole.mean(axis=0) for piece in pieces]
        np.testing.assert_allclose(variance[d], np.square(away).sum(axis=0) / 90, atol=1e-9)


def test_blocks_have_their_mean_length():
    blocks = stationary_blocks(5000, 8.0, 20, np.random.default_rng(2))
    assert blocks.length.mean() == pytest.approx(8.0, rel=0.02)
    assert blocks.length.sum() == 20 * 5000


def test_a_trial_of_a_few_trades_and_one_great_loss_hides_no_edge():
    """Draws without the loss seem to vary little: their deviation has a floor."""
    rng = np.random.default_rng(2)
    series = rng.normal(size=(730, 30))
    series[:, 4] += 4.0 / np.sqrt(365)
    junk = np.zeros((730, 1))
    junk[[50, 150, 250, 350, 450]] = 0.01
    junk[600] = -0.5
    with_junk = run(np.column_stack([series, junk]), draws=4000).consistent
    assert with_junk < 0.01
    assert with_junk < 2.0 * run(series, draws=4000).consistent + 0.002


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
