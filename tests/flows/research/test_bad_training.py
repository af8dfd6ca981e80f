"""What cannot be trained on is one clear line; what can be used is used."""

from dataclasses import replace

import numpy as np
import pytest

from features.catalog import default_catalog
from features.costs import Costs, FlatFunding
from features.errors import InputError
from features.signals import SignalParams
from features.synthetic import simulate_market
from features.types import Funding
from flows.research import training
from flows.research.fitting import require_rows
from flows.research.market import Dataset, build_market, make_dataset, price_tick
from flows.research.models import Machine, require_two_classes
from flows.research.objective import Trial
from flows.research.recipe import HOUR_MS, BarrierParams, Recipe
from flows.research.samples import draw_samples
from flows.research.training import cuts, train
from tests.support.research import made_samples

CATALOG = default_catalog().subset(
    ["volatility_96", "ema_z_12", "ema_z_48", "volume_z_96", "return_1", "adx_14", "trend_z_96"]
)
BARS = 6_000
LOW = Recipe(signal=SignalParams(momentum_threshold=0.004, min_confidence_threshold=0.3))


@pytest.fixture(scope="module")
def histories():
    return simulate_market(
        np.random.default_rng(4),
        symbols=2,
        bars=BARS,
        interval_ms=900_000,
        start_ms=1_704_067_200_000,
    )


def dataset_of(histories) -> Dataset:
    markets = [
        build_market(
            f"{name}USDT",
            one.candles,
            FlatFunding(rate=1e-4),
            CATALOG,
            days_min=1.0,
        )
        for name, one in zip("AB", histories, strict=True)
    ]
    return make_dataset(CATALOG, markets, "one_hot")


def test_a_symbol_without_a_signal_is_left_out_with_the_reason(histories) -> None:
    data = dataset_of(histories)
    mute = replace(data.markets[1], matrix=np.where(True, 0.0, data.markets[1].matrix))
    found = draw_samples(replace(data, markets=(data.markets[0], mute)), LOW)
    assert "no tradable signal" in found.left_out["BUSDT"]
    assert found.n > 0
    assert set(found.symbol.tolist()) == {0}


def test_no_signal_at_all_says_what_to_lower(histories) -> None:
    deaf = Recipe(signal=SignalParams(momentum_threshold=0.9))
    with pytest.raises(InputError, match=r"lower signal\.momentum_threshold"):
        draw_samples(dataset_of(histories), deaf)


def test_a_feature_without_a_value_is_named(histories) -> None:
    name = default_catalog().funding_names[0]
    whole = default_catalog().subset([*CATALOG.names, name])
    later = histories[0].candles.close_ms[-1:] + 86_400_000  # the first settlement comes after all
    funding = Funding(time_ms=later, rate=np.array([1e-4]))
    with pytest.raises(InputError, match=f"feature {name} has no value on any bar"):
        build_market("AUSDT", histories[0].candles, funding, whole, days_min=1.0)


def test_too_few_labels_say_how_many_are_needed() -> None:
    samples = made_samples(n=60)
    with pytest.raises(InputError, match="60 labelled signals, at least 100 are needed"):
        require_rows(samples, np.arange(60), "training rows")


@pytest.mark.parametrize(("value", "word"), [(0, "a loss"), (1, "a win")])
def test_one_class_alone_is_refused(value, word) -> None:
    with pytest.raises(InputError, match=f"all 200 labels are {word}"):
        require_two_classes(np.full(200, value, dtype=np.int8), "training rows")


def test_a_limit_take_profit_is_labelled_with_the_tick_that_prices_show(histories) -> None:
    limit = replace(LOW, costs=Costs(take_profit_is_market=False))
    resting, market = (draw_samples(dataset_of(histories), recipe) for recipe in (limit, LOW))
    assert resting.n == market.n
    took = (resting.reason == 1) & (market.reason == 1)
    assert took.any()
    assert (resting.net[took] > market.net[took]).all()  # the maker's fee, and no slippage


@pytest.mark.parametrize(("prices", "tick"), [([30284.7, 100.0], 0.1), ([0.12345, 0.2], 1e-5)])
def test_the_tick_is_read_off_the_prices(prices, tick) -> None:
    assert price_tick(np.array(prices)) == tick


def test_an_embargo_outlasts_the_memory_of_the_profits(histories, monkeypatch):
    """Where days remember, training is done again with as much distance; else it stays as it is."""
    data = dataset_of(histories)
    borders = cuts(data)
    trial = Trial(first_ms=borders.first_ms, test_ms=borders.test_ms, last_ms=borders.last_ms)
    recipe = replace(LOW, barriers=BarrierParams(horizon_hours=4.0))
    kept = train(data, recipe, trial, Machine())
    monkeypatch.setattr(training, "memory_days", lambda daily: 3)
    wider = train(data, recipe, trial, Machine())
    assert kept.embargo_ms in {4 * HOUR_MS, 24 * HOUR_MS}
    assert wider.embargo_ms == 72 * HOUR_MS
    assert wider.known.size < kept.known.size
    for fold in wider.walk.folds:
        begun = wider.samples.start_ms[fold.test].min()
        assert (wider.samples.end_ms[fold.train] < begun - 72 * HOUR_MS).all()
