"""CSCV: noise is found out, skill is spared, and block sums equal the slow way."""

from itertools import combinations

import numpy as np
import pytest

from features.errors import InputError
from flows.research.overfitting import probability_of_overfitting


def slow(series, blocks):
    """CSCV as the paper words it: concatenate the blocks, rank, count."""
    length = len(series) // blocks
    cut = [series[i * length : (i + 1) * length] for i in range(blocks)]
    logits = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([cut[i] for i in chosen])
        outside = np.concatenate([cut[i] for i in range(blocks) if i not in chosen])
        best = np.argmax(inside.mean(0) / inside.std(0, ddof=1))
        score = outside.mean(0) / outside.std(0, ddof=1)
        rank = (score <= score[best]).sum() / (series.shape[1] + 1)
        logits.append(np.log(rank / (1 - rank)))
    return np.array(logits)


def test_equals_the_definition():
    series = np.random.default_rng(3).normal(size=(123, 7))
    found = probability_of_overfitting(series, blocks=6)
    np.testing.assert_allclose(found.logits, slow(series, 6), rtol=1e-9)
    assert found.probability == np.mean(slow(series, 6) <= 0)


def test_noise_is_a_coin_toss():
    """600 draws: mean 0.49, standard error 0.007 (a single draw is wide)."""
    rng = np.random.default_rng(11)
    found = [
        probability_of_overfitting(rng.normal(size=(400, 50)), 8).probability for _ in range(600)
    ]
    assert np.mean(found) == pytest.approx(0.5, abs=0.035)


def test_one_skilled_trial_is_not_overfit():
    series = np.random.default_rng(5).normal(size=(800, 50))
    series[:, 7] += 0.3
    found = probability_of_overfitting(series, 8)
    assert found.probability == 0.0
    assert found.loss_probability == 0.0


def test_idle_trials_do_not_break_the_ranks():
    series = np.random.default_rng(6).normal(size=(400, 6))
    series[:, 2:] = 0.0
    found = probability_of_overfitting(series, 8)
    assert np.isfinite(found.logits).all()


@pytest.mark.parametrize(
    ("shape", "blocks", "message"),
    [((100, 1), 8, "2 trials"), ((100, 5), 7, "even"), ((20, 5), 16, "longer history")],
)
def test_bad_input_is_one_clear_line(shape, blocks, message):
    with pytest.raises(InputError, match=message):
        probability_of_overfitting(np.zeros(shape), blocks)
