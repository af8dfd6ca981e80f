"""Batch and stream are one source at two speeds: equal to the last bit, and blind to the future."""

import json

import numpy as np
import pytest

from features.batch import feature_matrix
from features.catalog import default_catalog
from features.errors import InputError
from features.signals import SignalParams, primary_signal
from features.signals_batch import signals_batch
from features.stream import FeatureStream
from features.synthetic import simulate_market
from features.types import Candles

INTERVAL_MS = 900_000
ALL = default_catalog()
CATALOG = ALL.subset([name for name in ALL.names if name not in ALL.funding_names])
NO_FUNDING = None


def market(bars: int, seed: int = 3) -> Candles:
    rng = np.random.default_rng(seed)
    start = 1_700_000_100_000 // INTERVAL_MS * INTERVAL_MS
    return simulate_market(rng, symbols=1, bars=bars, interval_ms=INTERVAL_MS, start_ms=start)[
        0
    ].candles


def without(candles: Candles, lost: list[int]) -> Candles:
    keep = np.setdiff1d(np.arange(candles.n), lost)
    return Candles(
        interval_ms=candles.interval_ms,
        open_ms=candles.open_ms[keep],
        open=candles.open[keep],
        high=candles.high[keep],
        low=candles.low[keep],
        close=candles.close[keep],
        volume=candles.volume[keep],
    )


def streamed(candles: Candles, save_at: int | None = None) -> np.ndarray:
    stream = FeatureStream(CATALOG, candles.interval_ms)
    rows = []
    for i in range(candles.n):
        if i == save_at:
            saved = json.loads(json.dumps(stream.state()))
            stream = FeatureStream.restore(CATALOG, candles.interval_ms, saved)
        rows.append(stream.update(candles.candle(i)))
    return np.array(rows)


@pytest.mark.slow
def test_stream_equals_batch_to_the_last_bit_across_gaps_and_a_restart() -> None:
    candles = without(market(3_000), [*range(700, 741), 1_003, *range(1_500, 1_516), 2_222])
    batch = feature_matrix(candles, CATALOG, NO_FUNDING)
    np.testing.assert_array_equal(batch, streamed(candles, save_at=1_777))
    assert np.isfinite(batch[-1]).all()


@pytest.mark.slow
def test_cutting_the_future_changes_no_earlier_value() -> None:
    candles = market(2_500)
    whole = feature_matrix(candles, CATALOG, NO_FUNDING)
    for end in (801, 1_600, 2_303):
        np.testing.assert_array_equal(
            whole[:end], feature_matrix(candles.slice(0, end), CATALOG, NO_FUNDING)
        )


@pytest.mark.slow
def test_a_cold_start_agrees_after_the_stated_warm_up() -> None:
    """From another history, every value is the same to the last bit once the catalog is warm."""
    candles = market(14_000)
    whole = feature_matrix(candles, CATALOG, NO_FUNDING)
    late = feature_matrix(candles.slice(1_001, 14_000), CATALOG, NO_FUNDING)
    ready = CATALOG.warmup_bars
    assert ready <= 8_640
    np.testing.assert_array_equal(late[ready:], whole[1_001 + ready :])


@pytest.mark.slow
def test_one_signal_equals_many_and_some_bars_fire() -> None:
    candles = market(4_000)
    matrix = feature_matrix(candles, CATALOG, NO_FUNDING)
    columns = {name: i for i, name in enumerate(CATALOG.names)}
    for params in (SignalParams(), SignalParams(rule="trend", higher_weight=0.5)):
        many = signals_batch(matrix, CATALOG, params)
        for i in range(candles.n):
            one = primary_signal(matrix[i], columns, params)
            assert (one.side, one.score, one.confidence) == (
                many.side[i],
                many.score[i],
                many.confidence[i],
            )
        assert 0 < np.count_nonzero(many.side) < 0.2 * candles.n


def test_a_bar_that_is_not_newer_is_refused() -> None:
    stream = FeatureStream(CATALOG, INTERVAL_MS)
    candle = market(2).candle(0)
    stream.update(candle)
    with pytest.raises(InputError, match="not after"):
        stream.update(candle)


def test_the_catalog_refuses_an_unknown_feature_and_offers_the_nearest() -> None:
    with pytest.raises(InputError, match="'rsi_14'"):
        CATALOG.subset(["rsi_41"])


def test_a_seed_is_a_market() -> None:
    np.testing.assert_array_equal(market(500, 9).close, market(500, 9).close)
    assert (market(500, 9).high >= market(500, 9).low).all()
