"""Sample weights: what is known at the entry, and a mean of outcomes that is not bent by them."""

import numpy as np
import pytest

from features.catalog import default_catalog
from features.costs import Costs
from features.weights import average_uniqueness
from flows.research.concurrency import entry_weights, open_at_entry
from flows.research.market import build_market, make_dataset
from flows.research.nulls import driftless
from flows.research.recipe import BarrierParams, Recipe
from flows.research.samples import draw_samples

HOUR_MS = 3_600_000


def test_events_open_at_the_entry_are_counted_by_hand():
    start = np.array([0, 10, 20, 20, 50], dtype=np.int64)
    end = np.array([20, 15, 40, 30, 60], dtype=np.int64)
    symbol = np.array([0, 0, 0, 1, 1], dtype=np.int64)
    shared = np.array([[1.0, 0.5], [0.5, 1.0]])
    found = open_at_entry(start, end, symbol=symbol, correlation=shared)
    # the third: the first is still open (closed spans), the fourth begins with it and counts half
    np.testing.assert_allclose(found, [1.0, 2.0, 2.5, 2.0, 1.0])


def test_a_weight_is_a_function_of_the_past_alone():
    rng = np.random.default_rng(1)
    start = np.sort(rng.integers(0, 5000, 300)).astype(np.int64)
    end = start + rng.integers(1, 200, 300)
    symbol = rng.integers(0, 2, 300).astype(np.int64)
    shared = np.array([[1.0, 0.7], [0.7, 1.0]])
    whole = open_at_entry(start, end, symbol=symbol, correlation=shared)
    cut = int(np.searchsorted(start, 3000))
    early = open_at_entry(start[:cut], end[:cut], symbol=symbol[:cut], correlation=shared)
    np.testing.assert_array_equal(whole[:cut], early)


def test_weights_sum_to_the_number_of_independent_events():
    start = np.arange(100, dtype=np.int64) * 1000
    end = start + 5000
    symbol = np.zeros(100, dtype=np.int64)
    one = np.ones((1, 1))
    found = entry_weights(start, end, 1000, symbol=symbol, correlation=one, until_ms=10**9)
    unique = average_uniqueness(start, end, 1000, symbol=symbol, correlation=one)
    assert found.sum() == pytest.approx(unique.sum())


@pytest.mark.slow
def test_on_a_fair_market_the_weighted_mean_of_free_trades_is_nought():
    """Average uniqueness bends it: losers of a momentum rule stand alone, winners overlap."""
    catalog = default_catalog()
    free = Costs(taker_fee=0.0, maker_fee=0.0, slippage_base=0.0, slippage_volatility=0.0)
    recipe = Recipe(costs=free, barriers=BarrierParams(profit=0.1, loss=0.07))
    ours, theirs = [], []
    for seed in range(6):
        histories = driftless(
            np.random.default_rng(seed),
            symbols=3,
            bars=20_000,
            interval_ms=HOUR_MS,
            start_ms=1_640_995_200_000,
        )
        markets = [
            build_market(f"S{n}USDT", candles, funding, catalog, days_min=30.0)
            for n, (candles, funding) in enumerate(histories)
        ]
        data = make_dataset(catalog, markets, "one_hot")
        samples = draw_samples(data, recipe)
        unique = average_uniqueness(
            samples.start_ms,
            samples.end_ms,
            HOUR_MS,
            symbol=samples.symbol,
            correlation=data.correlation,
        )
        ours.append(np.average(samples.gross, weights=samples.weight))
        theirs.append(np.average(samples.gross, weights=unique))
    error = np.std(ours, ddof=1) / np.sqrt(len(ours))
    assert abs(np.mean(ours)) < 3.0 * error + 5e-4
    assert np.mean(theirs) < np.mean(ours) - 0.002
