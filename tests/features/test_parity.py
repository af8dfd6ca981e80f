"""Batch and stream are one source at two speeds: equal to the last bit, and blind to the future."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.batch import feature_matrix
from features.catalog import Catalog, default_catalog
from features.errors import InputError
from features.node import Feature, Node
from features.stream import FeatureStream
from features.types import Funding
from tests.support.candles import (
    INTERVAL_MS,
    NO_FUNDING,
    hostile,
    real_candles,
    real_funding,
    simulated,
    streamed,
    without,
)
from tests.support.shared_data import shared_data

CATALOG = default_catalog()
MINUTE_MS = 60_000
GAPS = [*range(700, 741), 1_003, *range(1_500, 1_516), 2_222]


def assert_same_bits(left: np.ndarray, right: np.ndarray) -> None:
    """Every value has the same bits, every NaN counting as one."""
    same = (left.view(np.int64) == right.view(np.int64)) | (np.isnan(left) & np.isnan(right))
    if not same.all():
        row, column = np.argwhere(~same)[0]
        name = CATALOG.names[column]
        pytest.fail(f"{name} differs at bar {row}: {left[row, column]!r}, {right[row, column]!r}")


@given(
    seed=st.integers(0, 2**32 - 1),
    bars=st.one_of(st.just(1), st.integers(2, 500)),
    interval_ms=st.sampled_from([MINUTE_MS, INTERVAL_MS, 4 * 3_600_000]),
)
@settings(max_examples=30, deadline=None)
def test_hostile_input_gives_the_same_bits_in_batch_and_stream(
    seed: int, bars: int, interval_ms: int
) -> None:
    """Flat, silent, wild and missing bars, tiny and huge prices, one bar: all finite, all equal."""
    rng = np.random.default_rng(seed)
    candles = hostile(rng, bars, interval_ms)
    times = np.unique(rng.integers(candles.open_ms[0], candles.close_ms[-1] + 1, 1 + bars // 8))
    funding = Funding(time_ms=times, rate=rng.normal(0.0, 1e-4, times.size))
    batch = feature_matrix(candles, CATALOG, funding)
    assert_same_bits(batch, streamed(CATALOG, candles, funding))
    assert not np.isinf(batch).any()
    first = np.where(np.isnan(batch).all(axis=0), bars, np.isfinite(batch).argmax(axis=0))
    for column, row in enumerate(first):
        assert np.isfinite(batch[row:, column]).all(), f"{CATALOG.names[column]}: NaN once warm"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_long_hostile_histories_give_the_same_bits(seed: int) -> None:
    candles = hostile(np.random.default_rng(seed), 6_000)
    batch = feature_matrix(candles, CATALOG, NO_FUNDING)
    assert_same_bits(batch, streamed(CATALOG, candles, NO_FUNDING))
    unfunded = [name not in CATALOG.funding_names for name in CATALOG.names]
    assert np.isfinite(batch[-1, unfunded]).all()


def test_a_gap_and_a_restart_change_nothing() -> None:
    candles, funding = simulated(3_000)
    candles = without(candles, GAPS)
    batch = feature_matrix(candles, CATALOG, funding)
    head = candles.slice(0, 1_777)
    stream = FeatureStream(CATALOG, INTERVAL_MS)
    assert_same_bits(batch[:1_777], streamed(CATALOG, head, funding, stream=stream))
    saved = json.loads(json.dumps(stream.state(), allow_nan=False))
    again = FeatureStream.restore(CATALOG, INTERVAL_MS, saved)
    tail = candles.slice(1_777, candles.n)
    assert_same_bits(batch[1_777:], streamed(CATALOG, tail, funding, stream=again))
    assert np.isfinite(batch[-1]).all()


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 119))
@settings(max_examples=20, deadline=None)
def test_a_stream_can_be_saved_and_restored_after_any_bar(seed: int, cut: int) -> None:
    candles = hostile(np.random.default_rng(seed), 120)
    whole = streamed(CATALOG, candles, NO_FUNDING)
    stream = FeatureStream(CATALOG, INTERVAL_MS)
    streamed(CATALOG, candles.slice(0, cut), NO_FUNDING, stream=stream)
    before = json.dumps(stream.state(), allow_nan=False)
    again = FeatureStream.restore(CATALOG, INTERVAL_MS, json.loads(before))
    assert json.dumps(again.state(), allow_nan=False) == before
    tail = streamed(CATALOG, candles.slice(cut, 120), NO_FUNDING, stream=again)
    assert_same_bits(whole[cut:], tail)


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 799))
@settings(max_examples=20, deadline=None)
def test_cutting_the_future_changes_no_earlier_value(seed: int, cut: int) -> None:
    candles, funding = simulated(800, seed=seed)
    whole = feature_matrix(candles, CATALOG, funding)
    known = funding.time_ms <= candles.close_ms[cut - 1]
    past = Funding(time_ms=funding.time_ms[known], rate=funding.rate[known])
    assert_same_bits(whole[:cut], feature_matrix(candles.slice(0, cut), CATALOG, past))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("each", "total"), [(17_000, 50_000), pytest.param(200_500, 200_000, marks=pytest.mark.soak)]
)
def test_real_bars_give_the_same_bits(each: int, total: int) -> None:
    folder = shared_data()
    perp, spot = folder / "binance-perp", folder / "binance-spot"
    bars = 0
    for path, interval_ms, funding in (
        (perp / "BTCUSDT-15m.parquet", INTERVAL_MS, real_funding(perp / "BTCUSDT-funding.parquet")),
        (spot / "BTCUSDT-1h.parquet", 3_600_000, NO_FUNDING),  # has 27 real gaps
        (perp / "SOLUSDT-1m.parquet", MINUTE_MS, real_funding(perp / "SOLUSDT-funding.parquet")),
    ):
        candles = real_candles(path, interval_ms)
        candles = candles.slice(0, min(candles.n, each))
        bars += candles.n
        batch = feature_matrix(candles, CATALOG, funding)
        assert_same_bits(batch, streamed(CATALOG, candles, funding))
        for cut in (9_001, candles.n // 2, candles.n - 1):
            again = feature_matrix(candles.slice(0, cut), CATALOG, funding)
            assert_same_bits(batch[:cut], again)
    assert bars >= total


def test_a_refused_bar_leaves_the_stream_as_it_was() -> None:
    candles, _ = simulated(3)
    stream = FeatureStream(CATALOG, INTERVAL_MS)
    stream.update(candles.candle(0), 0.0001)
    before = stream.state()
    with pytest.raises(InputError, match="is not after"):
        stream.update(candles.candle(0))
    with pytest.raises(InputError, match="funding rate is nan"):
        stream.update(candles.candle(1), float("nan"))
    assert stream.state() == before


def test_a_state_of_other_features_or_a_damaged_one_is_refused() -> None:
    candles, funding = simulated(40)
    stream = FeatureStream(CATALOG, INTERVAL_MS)
    streamed(CATALOG, candles, funding, stream=stream)
    state = stream.state()
    with pytest.raises(InputError, match="other features"):
        FeatureStream.restore(CATALOG.subset(["rsi_14"]), INTERVAL_MS, state)
    with pytest.raises(InputError, match="other features"):
        FeatureStream.restore(CATALOG, 2 * INTERVAL_MS, state)
    with pytest.raises(InputError, match="damaged"):
        FeatureStream.restore(CATALOG, INTERVAL_MS, {**state, "frames": state["frames"][:1]})
    with pytest.raises(InputError, match="damaged"):
        FeatureStream.restore(CATALOG, INTERVAL_MS, {**state, "row": ["x"] * len(state["row"])})


def test_a_subset_gives_the_same_columns_in_the_order_asked() -> None:
    candles, funding = simulated(1_200)
    names = ["ema_z_48_x4", "rsi_14", "funding_rate", "volatility_96"]
    part = CATALOG.subset(names)
    whole = feature_matrix(candles, CATALOG, funding)
    found = feature_matrix(candles, part, funding)
    np.testing.assert_array_equal(found, whole[:, [CATALOG.names.index(name) for name in names]])
    np.testing.assert_array_equal(found, streamed(part, candles, funding))


def test_kernels_with_several_values_read_other_kernels_in_their_warm_up() -> None:
    def ema(column: str) -> Node:
        return Node("ema", (column,), (10,))

    smoothed = tuple(ema(column) for column in ("high", "low", "close"))
    nodes = [
        Node("macd", (ema("close"),), (5, 9, 3), 2),
        Node("adx", smoothed, (7,), 1),
        Node("bollinger", (ema("close"), "index"), (12,), 1),
        Node("candle_shape", (ema("open"), *smoothed), (), 3),
    ]
    catalog = Catalog(
        tuple(
            Feature(name=f"{node.kernel}_x{k}", unit="price", node=node, timeframe=k)
            for node in nodes
            for k in (1, 4)
        )
    )
    candles, _ = simulated(400)
    batch = feature_matrix(candles, catalog, None)
    assert np.isnan(batch[:9]).all()
    assert np.isfinite(batch[-1]).all()
    np.testing.assert_array_equal(batch, streamed(catalog, candles, NO_FUNDING))


def test_features_that_need_funding_are_named_when_there_is_none() -> None:
    candles, _ = simulated(5)
    with pytest.raises(InputError, match="funding_rate, funding_mean_9, funding_due"):
        feature_matrix(candles, CATALOG, None)
    assert feature_matrix(candles, CATALOG.subset(["rsi_14"]), None).shape == (5, 1)
