"""Leaks planted on purpose, each through the pipeline's own functions, each caught by a named test.

Two guards are at work: figures that the gate looks at (parity with the live stream, rows that
touch what judges them), and an influence check: whatever happens in the test part, the model that
is shipped must come out the same, to the last byte.
"""

from dataclasses import replace

import numpy as np
import pytest

from executor.core.bundle import bundle_sha256, pack, unpack
from features.catalog import default_catalog
from features.types import Candles
from flows.calibration.one_market import BARRIERS, START_MS
from flows.research import comparison, fitting, logistic, objective, training
from flows.research.bundling import Origin, draft_manifest, parts
from flows.research.comparison import compare
from flows.research.evaluation import evaluate_model
from flows.research.fitting import ALL
from flows.research.market import build_market, make_dataset
from flows.research.models import Machine
from flows.research.nulls import driftless
from flows.research.objective import Trial
from flows.research.parity import leaked_rows, unequal_features
from flows.research.recipe import HOUR_MS, Recipe
from flows.research.refit import judge_refit
from flows.research.splits import Fold
from flows.research.training import cuts, train
from flows.research.verdict import Attempts, GateLimits, judge_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
BARS = 12_000
RECIPE = Recipe(barriers=BARRIERS)
MACHINE = Machine(threads=1)


def histories(seed):
    return driftless(
        np.random.default_rng(seed),
        symbols=2,
        bars=BARS,
        interval_ms=HOUR_MS,
        start_ms=START_MS,
    )


def dataset_of(made):
    catalog = default_catalog()
    markets = [
        build_market(f"S{n}USDT", candles, funding, catalog, days_min=1.0)
        for n, (candles, funding) in enumerate(made)
    ]
    return make_dataset(catalog, markets, "one_hot")


def terms_of(data):
    borders = cuts(data)
    return Trial(
        first_ms=borders.first_ms,
        test_ms=borders.test_ms,
        last_ms=borders.last_ms,
        folds=2,
        train_share=0.5,
    )


def other_future(made, other, test_ms):
    """Return the same histories up to the test part, and other prices from there on."""
    out = []
    for (a, funding), (b, _) in zip(made, other, strict=True):
        cut = int(np.searchsorted(a.open_ms, test_ms))
        level = a.close[cut - 1] / b.close[cut - 1]
        columns = {
            name: np.concatenate([getattr(a, name)[:cut], getattr(b, name)[cut:] * level])
            for name in ("open", "high", "low", "close", "volume")
        }
        out.append((Candles(interval_ms=a.interval_ms, open_ms=a.open_ms, **columns), funding))
    return out


@pytest.fixture(scope="module")
def data():
    return dataset_of(histories(1))


@pytest.fixture(scope="module")
def changed(data):
    return dataset_of(other_future(histories(1), histories(2), cuts(data).test_ms))


@pytest.fixture(scope="module")
def trained(data):
    return train(data, RECIPE, terms_of(data), MACHINE)


def shipped(data):
    """Return all that is shipped of a model trained on ``data``, as bytes and numbers."""
    made = train(data, RECIPE, terms_of(data), MACHINE).fitted.parts[ALL]
    return (
        bytes(made.booster.save_raw("ubj")),
        made.linear.mean.tobytes() + made.linear.scale.tobytes(),
        made.linear.coefficients.tobytes(),
        (made.calibrator.a, made.calibrator.b),
        made.economics.win_mean.tobytes() + made.economics.loss_mean.tobytes(),
    )


def attempts_of(evidence):
    days = evidence.hold.size
    rng = np.random.default_rng(0)
    return Attempts(
        series=rng.normal(0.002, 0.01, (days, 6)),
        exposure=np.zeros(6),
        market=np.zeros(days),
        sobol=np.ones(6, dtype=np.bool_),
        chosen=0,
    )


def refused_for(evidence):
    verdict = judge_model(evidence, attempts_of(evidence), GateLimits(spa_draws=200))
    return {c.name for c in verdict.criteria if c.binding and not c.passed}


def test_nothing_of_the_test_part_is_in_the_model(data, changed):
    assert shipped(data) == shipped(changed)


def test_an_honest_model_is_not_accused(data, trained):
    evidence = evaluate_model(trained, data, terms_of(data).judged_ms)
    assert evidence.compared_cells > 0
    assert {"feature parity", "no leakage"}.isdisjoint(refused_for(evidence))


def test_a_future_return_as_a_feature_is_caught(data, trained):
    """The live stream cannot know it, so the newest rows of the dataset differ from it."""
    leaky = []
    for market in data.markets:
        matrix = market.matrix.copy()
        change = np.diff(np.log(market.candles.close), append=np.nan)
        matrix[:, data.catalog.names.index("return_1")] = change
        leaky.append(replace(market, matrix=matrix))
    planted = replace(data, markets=tuple(leaky))
    assert unequal_features(data)[0] == 0
    assert unequal_features(planted)[0] > 0
    evidence = evaluate_model(trained, planted, terms_of(data).judged_ms)
    assert "feature parity" in refused_for(evidence)


def test_label_overlap_is_caught(data, trained, monkeypatch):
    """A walk that forgets to purge: labels reach into the time that judges."""
    honest = objective.walk_forward

    def unpurged(start_ms, end_ms, **terms):
        return [
            Fold(train=np.flatnonzero(start_ms < start_ms[fold.test].min()), test=fold.test)
            for fold in honest(start_ms, end_ms, **terms)
        ]

    monkeypatch.setattr(objective, "walk_forward", unpurged)
    planted = train(data, RECIPE, terms_of(data), MACHINE)
    evidence = evaluate_model(planted, data, terms_of(data).judged_ms)
    assert evidence.leaked_rows > 0
    assert "no leakage" in refused_for(evidence)
    whole = [(np.arange(planted.samples.n), planted.test.rows)]
    assert leaked_rows(planted.samples, whole, 0) >= planted.test.rows.size


def test_a_scaler_fitted_on_everything_is_caught(data, changed, monkeypatch):
    honest = logistic.fit_linear
    everything = {}

    def leaky(x, label, weight, c):
        found = honest(x, label, weight, c)
        whole = everything["samples"].x.whole()
        return replace(found, mean=whole.mean(axis=0), scale=whole.std(axis=0) + 1e-9)

    def drawn(dataset, recipe):
        everything["samples"] = fitting_samples(dataset, recipe)
        return everything["samples"]

    fitting_samples = training.draw_samples
    monkeypatch.setattr(training, "draw_samples", drawn)
    for module in (training, fitting):
        monkeypatch.setattr(module, "fit_linear", leaky)
    assert shipped(data) != shipped(changed)


def test_a_calibrator_fitted_on_test_is_caught(data, changed, monkeypatch):
    honest = training.calibrators

    def leaky(samples, unseen, weight):
        late = np.flatnonzero(samples.start_ms >= cuts(data).test_ms)
        p = np.full(late.size, 0.5)
        p[::2] = 0.6
        return honest(samples, models_unseen(late, p), weight)

    def models_unseen(rows, p):
        return fitting.Unseen(rows=rows, boosted=p, linear=p)

    monkeypatch.setattr(training, "calibrators", leaky)
    assert shipped(data) != shipped(changed)


def test_a_threshold_fitted_on_test_is_caught(data, changed, monkeypatch):
    """Break-even comes of the mean win and loss: here they are taken from all rows."""
    honest = training.measure_rows
    monkeypatch.setattr(
        training, "measure_rows", lambda samples, rows: honest(samples, np.arange(samples.n))
    )
    assert shipped(data) != shipped(changed)


def bundle_of(data, trained, until_ms=None):
    evidence = evaluate_model(trained, data, terms_of(data).judged_ms)
    origin = Origin(lake_version="1", content_sha256="0" * 64, git_revision="x", seed=7)
    manifest = draft_manifest(data, trained, evidence, origin)
    if until_ms is not None:
        manifest["training"]["end_ms"] = until_ms
    files = pack({**manifest, "gate": {"verdict": "passed", "criteria": []}}, parts(trained))
    return unpack(files, bundle_sha256(files))


def compared(data, trained, champion_end_ms):
    candidate = bundle_of(data, trained)
    champion = bundle_of(data, trained, champion_end_ms)
    return compare(
        candidate,
        champion,
        data,
        test_ms=trained.cuts.test_ms,
        embargo_ms=trained.embargo_ms,
        calibration_error=0.05,
        leaked_rows=0,
    )


def test_the_champions_training_data_in_its_comparison_is_caught(data, trained, monkeypatch):
    late_ms = trained.cuts.test_ms + 20 * 24 * HOUR_MS
    honest = compared(data, trained, late_ms)
    assert honest.shared_rows == 0
    assert honest.difference.size > 0
    assert honest.day.min() * 86_400_000 >= late_ms  # a horizon of a day after
    np.testing.assert_allclose(honest.difference, 0.0, atol=1e-12)  # it is the same model

    def careless(start_ms, *, test_ms, champion_end_ms, horizon_ms):
        return np.flatnonzero(start_ms >= test_ms)

    monkeypatch.setattr(comparison, "comparison_rows", careless)
    planted = compared(data, trained, late_ms)
    assert planted.shared_rows > 0
    verdict = judge_refit(planted, GateLimits())
    assert "no leakage" in {c.name for c in verdict.criteria if c.binding and not c.passed}
