"""A cold start gives the same bits as a long history after the bars that the catalog declares."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from features.batch import feature_matrix
from features.catalog import default_catalog
from features.funding import settled_between
from features.kernels.registry import KERNELS
from features.node import Feature
from features.stream import FeatureStream
from features.types import Candles, Funding
from tests.support.candles import INTERVAL_MS, real_candles, real_funding, simulated, without
from tests.support.shared_data import shared_data

CATALOG = default_catalog()
AFTER = 64


def settled_at(candles: Candles, funding: Funding, starts: np.ndarray) -> np.ndarray:
    """Return for each feature after how many bars the last difference from a cold start lay."""
    whole = feature_matrix(candles, CATALOG, funding)
    worst = np.zeros(len(CATALOG.names), np.int64)
    for start in starts.tolist():
        stop = min(start + CATALOG.warmup_bars + AFTER, candles.n)
        cold = feature_matrix(candles.slice(start, stop), CATALOG, funding)
        known = whole[start:stop]
        same = (cold.view(np.int64) == known.view(np.int64)) | (np.isnan(cold) & np.isnan(known))
        last = np.where(same.all(axis=0), 0, same.shape[0] - np.argmin(same[::-1], axis=0))
        worst = np.maximum(worst, last)
    return worst


def assert_in_time(worst: np.ndarray) -> None:
    late = {
        feature.name: (int(bars), feature.lookback)
        for feature, bars in zip(CATALOG.features, worst, strict=True)
        if bars > feature.lookback
    }
    assert late == {}


@pytest.mark.parametrize("seed", [1, 2])
def test_every_feature_is_warm_in_time_on_a_simulated_market(seed: int) -> None:
    candles, funding = simulated(CATALOG.warmup_bars + 2_000, seed=seed)
    # From any place in the blocks in which windows are summed anew, and across a gap.
    starts = np.random.default_rng(seed).integers(1, 1_900, 8)
    assert_in_time(settled_at(without(candles, [*range(2_500, 2_517)]), funding, starts))


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["BTCUSDT", "SOLUSDT"])
def test_every_feature_is_warm_in_time_on_real_candles(symbol: str) -> None:
    folder = shared_data() / "binance-perp"
    candles = real_candles(folder / f"{symbol}-15m.parquet", INTERVAL_MS)
    funding = real_funding(folder / f"{symbol}-funding.parquet")
    last = candles.n - CATALOG.warmup_bars - AFTER
    starts = np.random.default_rng(11).integers(1, last, 30)
    worst = settled_at(candles, funding, starts)
    assert_in_time(worst)
    # The bounds are not idle: windows take nearly all of theirs.
    shares = worst / np.array([feature.lookback for feature in CATALOG.features])
    assert shares.max() > 0.9


def test_the_first_number_comes_within_the_declared_bars() -> None:
    candles, funding = simulated(CATALOG.warmup_bars + 10)
    matrix = feature_matrix(candles, CATALOG, funding)
    for column, feature in enumerate(CATALOG.features):
        assert np.isfinite(matrix[feature.lookback :, column]).all(), feature.name


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("ema", (5,)),
        ("ema", (96,)),
        ("macd", (12, 26, 9)),
        ("rsi", (14,)),
        ("atr", (14,)),
        ("adx", (14,)),
        ("adx", (3,)),
    ],
)
def test_a_recurrence_forgets_a_past_at_ten_times_the_price(
    name: str, parameters: tuple[int, ...]
) -> None:
    kernel = KERNELS[name]
    settled = kernel.settled(*parameters)
    rng = np.random.default_rng(4)
    moves = np.exp(np.cumsum(rng.normal(0.0, 0.004, settled + 40)))
    past = 10.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, 300)))
    cold = run(kernel.update, kernel.start(*parameters), moves, kernel.inputs)
    both = np.concatenate((past, moves))
    warm = run(kernel.update, kernel.start(*parameters), both, kernel.inputs)
    assert cold[settled:] == warm[past.size + settled :]


def run(update: Callable[..., Any], state: Any, close: np.ndarray, inputs: int) -> list[Any]:
    """Run a kernel over closes, or over highs, lows and closes about them."""
    out = []
    for price in close.tolist():
        bar = (price,) if inputs == 1 else (price * 1.002, price * 0.997, price)
        state, value = update(state, *bar)
        out.append(value)
    return out


def test_lookbacks_count_bars_of_the_timeframe_in_base_bars() -> None:
    by_name: dict[str, Feature] = {feature.name: feature for feature in CATALOG.features}
    base, higher = by_name["rsi_14"], by_name["rsi_14_x4"]
    assert higher.lookback == (base.lookback + 1) * 4
    assert base.lookback == math.ceil(48 * 13.5) + 14


def warmed_rows(
    candles: Candles, funding: Funding, start: int, head: int, more: int = 0
) -> np.ndarray:
    """Return the rows from ``head`` on of a stream that took what is before it as the past.

    ``more`` bars too many are said to come before a row is read.
    """
    stream = FeatureStream(CATALOG, INTERVAL_MS)
    rows = []
    for i in range(start, candles.n):
        close_ms = int(candles.close_ms[i])
        before_ms = int(candles.close_ms[i - 1]) if i > start else close_ms - INTERVAL_MS
        rate = settled_between(funding, before_ms, close_ms)
        if i < head:
            stream.warm(candles.candle(i), rate, head - i + more)
        else:
            rows.append(stream.update(candles.candle(i), rate))
    return np.array(rows)


@pytest.mark.parametrize("seed", [3, 4])
def test_a_warm_up_that_leaves_out_what_is_forgotten_gives_the_same_bits(seed: int) -> None:
    candles, funding = simulated(CATALOG.warmup_bars + 1_200, seed=seed)
    candles = without(candles, [*range(CATALOG.warmup_bars - 40, CATALOG.warmup_bars - 23)])
    whole = feature_matrix(candles, CATALOG, funding)
    for start in np.random.default_rng(seed).integers(1, 1_000, 3).tolist():
        head = start + CATALOG.warmup_bars
        rows = warmed_rows(candles, funding, start, head)
        np.testing.assert_array_equal(rows, whole[head:])


def test_a_warm_up_leaves_out_what_nothing_that_is_read_remembers() -> None:
    """Told that a row is read much later than it is, it has left out what the row needs."""
    head = CATALOG.warmup_bars + 1
    candles, funding = simulated(head + 50, seed=5)
    whole = feature_matrix(candles, CATALOG, funding)[head:]
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(warmed_rows(candles, funding, 0, head), whole)
    rows = warmed_rows(candles, funding, 0, head, more=CATALOG.warmup_bars)
    assert not np.array_equal(rows, whole)
