"""Parts, calibrator, economics: what they learn, and that one seed gives one model."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from features.errors import InputError
from flows.research import models
from flows.research.economics import break_even, expect, measure, volatility_bucket, wishes
from flows.research.fitting import fit, head_and_tail, judge
from flows.research.logistic import fit_linear, logit, sigmoid
from flows.research.models import (
    Calibrator,
    Machine,
    boosted,
    fit_booster,
    fit_calibrator,
)
from flows.research.recipe import BoosterParams, Recipe
from flows.research.table import Table
from tests.support.research import made_samples

MACHINE = Machine(threads=1)


def test_the_logistic_part_equals_sklearn_on_its_own_scaler():
    s = made_samples(n=800)
    weight = np.random.default_rng(1).uniform(0.1, 1.0, s.n)
    found = fit_linear(s.x, s.label, weight, c=0.5)
    x = s.x.whole()
    scaler = StandardScaler().fit(x, sample_weight=weight)
    theirs = LogisticRegression(C=0.5, solver="newton-cholesky", tol=1e-12).fit(
        scaler.transform(x), s.label, sample_weight=weight / weight.mean()
    )
    np.testing.assert_allclose(
        found.probability(s.x), theirs.predict_proba(scaler.transform(x))[:, 1], rtol=1e-7
    )


def test_a_column_that_never_moves_does_no_harm():
    s = made_samples(n=500)
    x = Table(np.column_stack([s.x.whole(), np.full(s.n, 3.0), np.zeros(s.n)]))
    found = fit_linear(x, s.label, s.weight, c=0.1)
    assert np.isfinite(found.probability(x)).all()
    assert (found.scale > 0).all()


def test_same_seed_same_bytes_and_early_stopping_stops():
    s = made_samples()
    head, tail = head_and_tail(s, np.arange(s.n), embargo_ms=0)
    judged = (s.x.take(tail), s.label[tail], s.weight[tail])
    boosters = [
        fit_booster(
            s.x.take(head),
            s.label[head],
            s.weight[head],
            BoosterParams(),
            seed=3,
            machine=MACHINE,
            judge=judged,
        )
        for _ in range(2)
    ]
    assert boosters[0].save_raw("ubj") == boosters[1].save_raw("ubj")
    assert boosters[0].num_boosted_rounds() < BoosterParams().rounds_max
    other = fit_booster(
        s.x.take(head),
        s.label[head],
        s.weight[head],
        BoosterParams(),
        seed=4,
        machine=MACHINE,
        rounds=20,
    )
    assert other.num_boosted_rounds() == 20
    p = boosted(other, s.x)
    assert ((p > 0) & (p < 1)).all()


def test_the_calibrator_undoes_a_known_distortion():
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.1, 0.9, 40_000)
    label = (rng.random(truth.size) < truth).astype(np.int8)
    raw = sigmoid(2.0 * logit(truth) - 0.7)
    found = fit_calibrator(raw, label, np.ones(truth.size))
    assert found.a == pytest.approx(0.5, abs=0.02)
    assert found.b == pytest.approx(0.35, abs=0.03)
    np.testing.assert_allclose(found.apply(raw), truth, atol=0.02)


def test_few_effective_rows_say_little_of_the_slope_and_answers_stay_near_their_mean():
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.1, 0.9, 2000)
    label = (rng.random(truth.size) < truth).astype(np.int8)
    raw = sigmoid(2.0 * logit(truth) - 0.7)
    few = fit_calibrator(raw, label, np.full(truth.size, 1e-4))
    assert few.a == pytest.approx(0.3, abs=0.05)
    mean = sigmoid(np.atleast_1d(logit(raw).mean()))
    np.testing.assert_allclose(few.apply(mean), mean, atol=0.01)
    assert np.std(logit(few.apply(raw))) < 0.4 * np.std(logit(raw))


def test_probabilities_that_rank_backwards_become_the_base_rate():
    rng = np.random.default_rng(3)
    truth = rng.uniform(0.1, 0.6, 20_000)
    label = (rng.random(truth.size) < truth).astype(np.int8)
    found = fit_calibrator(1.0 - truth, label, np.ones(truth.size))
    assert found.a == 0.0
    np.testing.assert_allclose(found.apply(truth), label.mean(), atol=0.01)


def test_identity_calibrator_changes_nothing():
    p = np.array([0.01, 0.4, 0.99])
    np.testing.assert_allclose(Calibrator().apply(p), p, rtol=1e-12)


def test_economics_are_the_groups_own_means_where_there_are_many_rows():
    rng = np.random.default_rng(4)
    n = 60_000
    symbol = rng.integers(0, 2, n)
    volatility = rng.uniform(0, 1, n)
    net = np.where(rng.random(n) < 0.4, 0.02 + 0.01 * symbol, -0.01)
    found = measure(net, np.ones(n), symbol, volatility, symbols=2)
    np.testing.assert_allclose(found.edges, [1 / 3, 2 / 3], atol=0.01)
    np.testing.assert_allclose(found.win_mean[1], 0.03, rtol=0.01)
    np.testing.assert_allclose(found.loss_mean, 0.01, atol=1e-4)
    np.testing.assert_allclose(break_even(found)[0], 1 / 3, atol=0.01)
    assert found.n.sum() == n + 6 * 200  # and those it leans on


def test_a_thin_group_leans_on_the_others_and_an_unseen_one_is_never_wished_for():
    net = np.concatenate([np.full(5000, 0.02), np.full(5000, -0.01), [0.05]])
    symbol = np.concatenate([np.zeros(10_000), [1]]).astype(np.int64)
    volatility = np.tile([0.1, 0.5, 0.9], 3334)[:10_001]
    found = measure(net, np.ones(net.size), symbol, volatility, symbols=3)
    thin, thick = volatility_bucket(volatility[-1:], found.edges)[0], 0
    # a win is worth twice a loss everywhere else, so it is here, at this group's own scale
    scale = (0.05 + 20 * 0.015) / 21
    assert found.win_mean[1, thin] == pytest.approx((200 * scale * 4 / 3 + 0.05) / 201, rel=0.01)
    assert break_even(found)[1, thin] == pytest.approx(break_even(found)[0, thick], abs=0.01)
    expected = expect(found, np.array([0.99]), np.array([2]), np.array([0.5]))
    assert expected.net[0] > 0
    assert not wishes(expected, 0.1)[0]


def test_a_value_on_an_edge_belongs_to_the_upper_bucket():
    np.testing.assert_array_equal(
        volatility_bucket(np.array([0.9, 1.0, 2.0]), np.array([1.0, 2.0])), [0, 1, 2]
    )


def test_wishes_grow_rarer_with_kappa():
    s = made_samples()
    economics = measure(s.net, s.weight, s.symbol, s.volatility, symbols=2)
    p = np.random.default_rng(0).uniform(0.2, 0.6, s.n)
    expected = expect(economics, p, s.symbol, s.volatility)
    shares = [wishes(expected, kappa).mean() for kappa in (0.0, 1.0, 5.0)]
    assert shares[0] > shares[1] > shares[2]


def test_a_fit_finds_the_planted_rule_and_judges_unseen_rows():
    s = made_samples(n=4000)
    train, test = np.arange(3000), np.arange(3200, 4000)
    fitted = fit(s, train, Recipe(), earlier=None, embargo_ms=0, seed=1, machine=MACHINE)
    found = judge(s, test, fitted)
    first = s.x.take(test).whole()[:, 0]
    best = sigmoid(1.5 * first - 0.4)
    assert np.abs(found.probability - best).mean() < 0.06
    assert found.probability[first > 1].mean() > found.probability[first < -1].mean()


def test_the_tail_is_later_than_the_head_and_shares_no_time_with_it():
    s = made_samples()
    head, tail = head_and_tail(s, np.arange(s.n), embargo_ms=7_200_000)
    assert s.end_ms[head].max() + 7_200_000 < s.start_ms[tail].min()
    assert 0.15 < tail.size / s.n < 0.25


@pytest.mark.parametrize(("change", "message"), [("few", "at least 100"), ("one", "a loss")])
def test_rows_that_teach_nothing_are_refused_in_one_line(change, message):
    s = made_samples()
    rows = np.arange(100) if change == "few" else np.flatnonzero(s.label == 0)
    with pytest.raises(InputError, match=message) as caught:
        fit(s, rows, Recipe(), earlier=None, embargo_ms=0, seed=1, machine=MACHINE)
    assert "\n" not in str(caught.value)


def test_a_device_reaches_the_trees_and_one_that_is_not_there_is_a_clear_line(monkeypatch):
    s = made_samples(n=400)

    def grow(device):
        machine = Machine(threads=1, device=device)
        return fit_booster(
            s.x, s.label, s.weight, BoosterParams(), seed=1, machine=machine, rounds=2
        )

    with pytest.raises(InputError, match="built without CUDA"):
        grow("cuda:1")
    asked = {}

    def trained(settings, train, **terms):
        asked.update(settings)
        return real(settings | {"device": "cpu"}, train, **terms)

    real = models.xgb.train
    monkeypatch.setattr(models.xgb, "build_info", lambda: {"USE_CUDA": True})
    monkeypatch.setattr(models.xgb, "train", trained)
    booster = grow("cuda:1")
    assert asked["device"] == "cuda:1"
    config = json.loads(booster.save_config())
    assert config["learner"]["generic_param"]["device"] == "cpu"
