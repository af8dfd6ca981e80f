"""What is reported beside a model: combinatorial paths and stable features, and what they catch."""

from math import inf

import numpy as np
import pytest

from features.catalog import default_catalog
from features.costs import Costs
from features.errors import InputError
from features.synthetic import simulate_market
from flows.calibration.one_market import BARRIERS, START_MS
from flows.research.beside import beside
from flows.research.market import build_market, make_dataset
from flows.research.models import Machine
from flows.research.objective import Trial
from flows.research.paths import combinatorial_paths
from flows.research.recipe import BoosterParams, ModelParams, Recipe
from flows.research.samples import draw_samples
from flows.research.stability import stable_features
from flows.research.training import cuts, train
from tests.support.research import made_samples

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
RECIPE = Recipe(barriers=BARRIERS, costs=Costs(slippage_base=0.004), model=ModelParams(kappa=0.0))
MACHINE = Machine(threads=1)


@pytest.fixture(scope="module")
def data():
    made = simulate_market(
        np.random.default_rng(4),
        symbols=2,
        bars=9_000,
        interval_ms=3_600_000,
        start_ms=START_MS,
        momentum=0.03,
    )
    catalog = default_catalog().subset(
        ("volatility_96", "ema_z_12", "ema_z_48", "volume_z_96", "return_1", "adx_14", "trend_z_96")
    )
    markets = [
        build_market(f"S{n}USDT", one.candles, one.funding, catalog, days_min=-inf)
        for n, one in enumerate(made)
    ]
    return make_dataset(catalog, markets, "one_hot")


@pytest.fixture(scope="module")
def trial(data):
    borders = cuts(data)
    return Trial(first_ms=borders.first_ms, test_ms=borders.test_ms, last_ms=borders.last_ms)


def test_six_groups_by_two_make_five_whole_paths_of_fifteen_fits(data, trial):
    samples = draw_samples(data, RECIPE)
    found = combinatorial_paths(data, samples, RECIPE, trial, MACHINE)
    days = (trial.test_ms - 1) // 86_400_000 - trial.first_ms // 86_400_000 + 1
    assert found.daily.shape == (days, 5)
    assert found.fits + found.idle == 15
    assert found.fits == 15
    assert len(set(found.sharpes)) == 5
    assert min(found.trades) > 20
    third = days // 3
    for path in found.daily.T:  # every path trades in every part of the history
        assert all(np.abs(path[k * third : (k + 1) * third]).sum() > 0.0 for k in range(3))


def test_the_test_part_has_no_influence_on_a_path(data, trial):
    samples = draw_samples(data, RECIPE)
    late = samples.start_ms >= trial.test_ms
    assert late.any()
    changed = {name: getattr(samples, name) for name in samples.__slots__}
    changed["label"] = np.where(late, 1 - samples.label, samples.label).astype(np.int8)
    changed["net"] = np.where(late, -samples.net, samples.net)
    one, two = (
        combinatorial_paths(data, s, RECIPE, trial, MACHINE)
        for s in (samples, type(samples)(**changed))
    )
    assert min(one.trades) > 20
    assert np.array_equal(one.daily, two.daily)


def test_the_column_that_decides_is_stable_and_noise_is_not():
    samples = made_samples(n=4000)
    recipe = Recipe(booster=BoosterParams(depth=2, column_share=1.0))
    found = stable_features(
        samples, np.arange(samples.n), recipe, rounds=15, pairs=10, seed=1, machine=MACHINE
    )
    assert found.halves == 20
    assert found.frequency["x0"] == 1.0
    assert "x0" in found.stable
    assert found.most == 2
    assert len(found.stable) - 1 <= found.false_most
    assert found.as_dict()["stable"] == found.stable


def test_halves_of_too_few_rows_are_refused_and_what_fails_is_absent(data, trial):
    samples = made_samples(n=120)
    with pytest.raises(InputError, match="too few"):
        stable_features(samples, np.arange(120), RECIPE, rounds=5, pairs=2, seed=1, machine=MACHINE)
    trained = train(data, RECIPE, trial, MACHINE)
    told = []
    found = beside(data, trained, trial, MACHINE, paths=True, pairs=2, tell=told.append)
    assert set(found) == {"paths", "stability"}
    assert beside(data, trained, trial, MACHINE, paths=False, pairs=0, tell=told.append) == {}
