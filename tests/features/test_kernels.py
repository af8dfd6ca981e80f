"""Kernels against plain numpy over whole arrays, and against cases worked by hand."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from features.kernels import calendar as clock
from features.kernels import (
    carry,
    geometry,
    memory,
    momentum,
    moving,
    profile,
    volatility,
    volume,
    windows,
)
from features.volatility import VOLATILITY_START, bar_volatility

HOUR_MS = 3_600_000
SEEDS = st.integers(0, 2**32 - 1)


def run(update: Callable[..., Any], started: Any, *columns: np.ndarray, ringed: bool) -> np.ndarray:
    state, ring = started if ringed else (started, None)
    out = []
    for inputs in zip(*(column.tolist() for column in columns), strict=True):
        state, value = update(state, ring, *inputs) if ringed else update(state, *inputs)
        out.append(value)
    return np.array(out)


def walk(seed: int, n: int, level: float = 100.0) -> np.ndarray:
    return level * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 0.01, n)))


def padded(values: np.ndarray, n: int) -> np.ndarray:
    """Put NaN before the first full window."""
    return np.concatenate((np.full(n - values.size, np.nan), values))


@given(
    seed=SEEDS,
    window=st.integers(2, 40),
    start=st.integers(0, 10_000),
    level=st.sampled_from([1e-9, 1.0, 1e12]),
)
@settings(max_examples=40, deadline=None)
def test_rolling_moments_are_those_of_the_window(
    seed: int, window: int, start: int, level: float
) -> None:
    x = walk(seed, 120, level)
    index = start + np.arange(120)
    seen = sliding_window_view(x, window)
    mean, deviation = seen.mean(axis=1), seen.std(axis=1)
    found = run(windows.rolling_mean, windows.mean_start(window), x, index, ringed=True)
    np.testing.assert_allclose(found, padded(mean, 120), rtol=1e-12)
    begin = windows.moments_start
    found = run(windows.rolling_deviation, begin(window), x, index, ringed=True)
    # Two values that are nearly one leave few digits: the error is one of the walk's size.
    np.testing.assert_allclose(found, padded(deviation, 120), rtol=1e-7, atol=1e-9 * x.std())
    found = run(windows.rolling_z, begin(window), x, index, ringed=True)
    np.testing.assert_allclose(found, padded((x[window - 1 :] - mean) / deviation, 120), rtol=1e-6)


def test_a_window_after_a_wild_value_is_clean_again_and_a_constant_has_no_deviation() -> None:
    x = np.concatenate((np.full(30, 5.0), [1e9], np.full(60, 5.0)))
    index = np.arange(x.size)
    z = run(windows.rolling_z, windows.moments_start(20), x, index, ringed=True)
    assert (z[19:30] == 0.0).all()
    assert z[30] == pytest.approx(19 / math.sqrt(19))  # the largest z that 20 values can have
    assert (z[60:] == 0.0).all()


@given(seed=SEEDS, window=st.integers(1, 30), ties=st.booleans())
@settings(max_examples=40, deadline=None)
def test_rolling_extremes_are_those_of_the_window(seed: int, window: int, ties: bool) -> None:
    x = walk(seed, 100)
    x = np.round(x) if ties else x
    seen = sliding_window_view(x, window)
    start = windows.extreme_start
    top = run(windows.rolling_max, start(window), x, ringed=True)
    bottom = run(windows.rolling_min, start(window), x, ringed=True)
    np.testing.assert_array_equal(top, padded(seen.max(axis=1), 100))
    np.testing.assert_array_equal(bottom, padded(seen.min(axis=1), 100))


def test_the_donchian_channel_is_that_of_the_bars_before() -> None:
    # (close, lowest and highest of the window that ends with this bar)
    bars = [(10.0, 8.0, 12.0), (12.0, 9.0, 13.0), (9.0, 7.0, 13.0), (16.0, 7.0, 17.0)]
    found = run(windows.donchian, windows.donchian_start(), *np.array(bars).T, ringed=False)
    # 12 of 8..12 is the top, 9 of 9..13 the bottom, 16 lies half a channel above 7..13.
    np.testing.assert_array_equal(found, [np.nan, 1.0, -1.0, 2.0])
    assert windows.donchian((5.0, 5.0), 6.0, 5.0, 6.0)[1] == 0.0
    assert windows.donchian((5.0, 5.1), 9.0, 5.0, 9.0)[1] == 5.0


def test_returns_over_horizons() -> None:
    close = walk(1, 50)
    found = run(momentum.log_return, momentum.log_return_start(7), close, ringed=True)
    np.testing.assert_allclose(found[7:], np.log(close[7:] / close[:-7]), rtol=1e-14)
    assert np.isnan(found[:7]).all()
    assert momentum.scaled_return(momentum.scaled_return_start(4), 0.02, 0.005)[1] == 2.0
    assert momentum.scaled_return(2.0, 0.0, 0.0)[1] == 0.0


def test_the_distance_from_an_ema_has_unit_deviation_on_a_random_walk() -> None:
    sigma, n = 0.004, 200_000
    close = 100.0 * np.exp(np.cumsum(np.random.default_rng(5).normal(0.0, sigma, n)))
    for period in (12, 48):
        average = run(moving.ema, moving.ema_start(period), close, ringed=False)
        scale = moving.ema_distance_start(period)
        z = [
            moving.ema_distance(scale, c, a, sigma)[1]
            for c, a in zip(close[1_000:], average[1_000:], strict=True)
        ]
        assert np.std(z) == pytest.approx(1.0, abs=0.03)


def test_flat_prices_are_neutral() -> None:
    flat = np.full(60, 7.0)
    assert run(momentum.rsi, momentum.rsi_start(14), flat, ringed=False)[-1] == 50.0
    assert (
        run(momentum.adx, momentum.adx_start(14), flat, flat, flat, ringed=False)[-1] == 0
    ).all()
    index = np.arange(60)
    bands = run(volatility.bollinger, volatility.bollinger_start(20), flat, index, ringed=True)
    np.testing.assert_array_equal(bands[-1], [0.5, 0.0])
    ranges = run(
        volatility.parkinson, volatility.parkinson_start(9), flat, flat, index, ringed=True
    )
    assert ranges[-1] == 0.0
    assert moving.ema_distance(1.0, 7.0, 7.0, 0.0)[1] == 0.0
    assert volatility.ratio(0, 1.0, 0.0)[1] == 0.0


def test_realised_volatility_is_the_root_mean_square_and_the_projects_own() -> None:
    close = walk(3, 400)
    change = np.diff(np.log(close))
    expected = np.sqrt(sliding_window_view(change * change, 96).mean(axis=1))
    state, ring = VOLATILITY_START, [0.0] * 96
    found = []
    for i, price in enumerate(close.tolist()):
        state, value = bar_volatility(state, ring, 1_000 + i, price)
        found.append(value)
    np.testing.assert_allclose(found, padded(expected, 400), rtol=1e-12)
    index = 1_001 + np.arange(399)
    returns = run(momentum.log_return, momentum.log_return_start(1), close, ringed=True)[1:]
    again = run(volatility.realised, volatility.realised_start(96), returns, index, ringed=True)
    np.testing.assert_array_equal(again, found[1:])


def test_parkinson_sees_the_volatility_of_a_random_walks_ranges() -> None:
    rng = np.random.default_rng(8)
    path = np.cumsum(rng.normal(0.0, 0.01 / math.sqrt(500), (3_000, 500)), axis=1)
    high, low = np.exp(path.max(axis=1)), np.exp(np.minimum(path.min(axis=1), 0.0))
    high = np.maximum(high, 1.0)
    index = np.arange(3_000)
    started = volatility.parkinson_start(2_000)
    found = run(volatility.parkinson, started, high, low, index, ringed=True)
    assert found[-1] == pytest.approx(0.01, rel=0.06)  # a discrete path's range is a little short


def test_signed_volume_is_the_balance_of_the_window() -> None:
    rng = np.random.default_rng(2)
    close = np.round(walk(2, 200), 1)  # with unmoved closes
    traded = np.round(rng.exponential(50.0, 200), 3)
    found = run(volume.signed_volume, volume.signed_volume_start(24), close, traded, ringed=True)
    lots = np.floor(traded[1:] * 2**20)
    lean = np.sign(np.diff(close)) * lots
    seen = sliding_window_view(lean, 24)
    expected = seen.sum(axis=1) / np.abs(seen).sum(axis=1)
    np.testing.assert_array_equal(found, padded(expected, 200))
    silent = np.zeros(40)
    flat = run(
        volume.signed_volume, volume.signed_volume_start(5), walk(1, 40), silent, ringed=True
    )
    assert flat[-1] == 0.0
    assert volume.lots(1e18) == 2**55


def test_shapes_of_candles() -> None:
    shape = geometry.candle_shape(100.0, 101.0, 106.0, 100.0, 104.0)
    assert shape[0] == 104.0
    np.testing.assert_allclose(shape[1], (0.5, 2 / 6, 1 / 6, math.log(1.01)))
    assert geometry.candle_shape(5.0, 5.0, 5.0, 5.0, 5.0)[1] == (0.0, 0.0, 0.0, 0.0)
    assert math.isnan(geometry.candle_shape(0.0, 5.0, 5.0, 5.0, 5.0)[1][3])


def pattern(*candles: tuple[float, float, float, float]) -> dict[str, float]:
    """Return the pattern strengths after candles (open, high, low, close)."""
    names = ("doji", "hammer", "engulfing", "star", "inside", "march")
    state = geometry.candle_patterns_start()
    values: tuple[float, ...] = ()
    for candle in candles:
        state, values = geometry.candle_patterns(state, *candle)
    return dict(zip(names, values, strict=True))


def test_patterns_have_strength_and_direction() -> None:
    up, down = (10.0, 11.0, 10.0, 11.0), (11.0, 11.0, 10.0, 10.0)
    assert pattern(up, up, (10.0, 11.0, 9.0, 10.0))["doji"] == 1.0
    assert pattern(up, up, (10.8, 11.0, 9.0, 11.0))["hammer"] == pytest.approx(0.8)
    assert pattern(up, up, (9.2, 11.0, 9.0, 9.0))["hammer"] == pytest.approx(-0.8)
    assert pattern(up, down, (10.0, 12.0, 10.0, 12.0))["engulfing"] == pytest.approx(0.5)
    assert pattern(down, up, (11.0, 11.0, 9.0, 9.0))["engulfing"] == pytest.approx(-0.5)
    fall, pause, rise = (11.0, 11.0, 10.0, 10.0), (10.0, 10.1, 9.9, 9.9), (10.0, 10.6, 10.0, 10.6)
    assert pattern(fall, pause, rise)["star"] == pytest.approx(0.6)
    climb, rest, drop = (10.0, 11.0, 10.0, 11.0), (11.0, 11.1, 10.9, 11.1), (11.0, 11.0, 10.2, 10.2)
    assert pattern(climb, rest, drop)["star"] == pytest.approx(-0.8)
    assert pattern(up, (10.0, 14.0, 10.0, 12.0), (11.0, 12.0, 11.0, 11.5))["inside"] == 0.75
    soldiers = [(10.0 + i, 11.0 + i, 10.0 + i, 11.0 + i) for i in range(3)]
    assert pattern(*soldiers)["march"] == 1.0
    assert pattern(*[(o + 1.0, h, low, o) for o, h, low, _ in reversed(soldiers)])["march"] == -1.0
    assert math.isnan(pattern(up, up)["doji"])
    assert set(pattern(up, up, (9.0, 9.0, 9.0, 9.0)).values()) == {0.0}


def test_the_clock_turns_once_a_day_and_once_a_week() -> None:
    monday_noon = 1_704_110_400_000  # 2024-01-01 12:00 UTC
    day_sine, day_cosine, week_sine, week_cosine, us, weekend = clock.session(0, monday_noon)[1]
    assert (day_sine, day_cosine) == (pytest.approx(0.0, abs=1e-12), -1.0)
    assert math.atan2(week_sine, week_cosine) == pytest.approx(2 * math.pi / 14)
    assert (us, weekend) == (0.0, 0.0)
    assert clock.session(0, monday_noon + int(4.75 * HOUR_MS))[1][4] == 0.5  # 16:45 of 13:30-20:00
    saturday = monday_noon + 5 * 24 * HOUR_MS
    assert clock.session(0, saturday + 4 * HOUR_MS)[1][4:] == (0.0, 1.0)
    assert clock.session(0, saturday - 12 * HOUR_MS)[1][5] == 1.0  # Saturday 00:00
    assert clock.session(0, saturday - 12 * HOUR_MS - 1)[1][5] == 0.0


def test_funding_is_known_from_its_settlement_and_due_by_the_last_interval() -> None:
    state, ring = carry.funding_start(2)
    seen = []
    for hour in range(30):
        settled = hour in (3, 11, 19)
        state, values = carry.funding(
            state, ring, hour * HOUR_MS, float(settled), hour * 1e-5 if settled else 0.0
        )
        seen.append(values)
    rate, mean, due = np.array(seen).T
    assert np.isnan(rate[:3]).all()
    assert (rate[3:11] == 3 * 1e-5).all()
    assert rate[11] == 11 * 1e-5
    assert np.isnan(mean[:11]).all()
    assert mean[11] == pytest.approx(7e-5)
    assert mean[19] == pytest.approx(15e-5)
    assert np.isnan(due[:11]).all()
    np.testing.assert_allclose(due[11:20], [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 1])
    assert due[29] == 0.0  # overdue


def test_fractional_weights_and_differences() -> None:
    assert memory.fractional_weights(0.5, 5) == [1.0, -0.5, -0.125, -0.0625, -0.0390625]
    assert memory.fractional_weights(1.0, 3) == [1.0, -1.0, 0.0]
    x = walk(4, 60)
    for width in (8, 11):
        weights = np.array(memory.fractional_weights(0.4, width))
        expected = sliding_window_view(x, width)[:, ::-1] @ weights
        started = memory.fractional_difference_start(0.4, width)
        found = run(memory.fractional_difference, started, x, ringed=True)
        np.testing.assert_allclose(found, padded(expected, 60), rtol=1e-12)
        logs = sliding_window_view(np.log(x), width)
        expected = (logs - logs[:, :1])[:, ::-1] @ weights
        started_log = memory.fractional_log_start(0.4, width)
        found = run(memory.fractional_log, started_log, x, ringed=True)
        np.testing.assert_allclose(found, padded(expected, 60), atol=1e-13)
        again = run(
            memory.fractional_log, memory.fractional_log_start(0.4, width), 1e6 * x, ringed=True
        )
        np.testing.assert_allclose(again, found, atol=1e-12)


@given(seed=SEEDS, silent=st.booleans())
@settings(max_examples=20, deadline=None)
def test_the_volume_profile_is_that_of_the_windows_histogram(seed: int, silent: bool) -> None:
    rng = np.random.default_rng(seed)
    window, width, n = 30, 0.004, 120
    close = walk(seed, n, 10.0 ** rng.uniform(-6, 6))
    high, low = close * 1.001, close * 0.998
    traded = np.zeros(n) if silent else np.floor(rng.exponential(3.0, n))
    started = profile.volume_profile_start(window, width)
    found = run(profile.volume_profile, started, high, low, close, traded, ringed=True)
    assert np.isnan(found[: window - 1]).all()
    bins = np.floor(np.log((high + low + close) / 3.0) / width).astype(int)
    for i in range(window - 1, n):
        inside = slice(i - window + 1, i + 1)
        held = {int(b): 0.0 for b in bins[inside]}
        for b, v in zip(bins[inside], traded[inside], strict=True):
            held[int(b)] += v
        total = sum(held.values())
        if total == 0.0:
            np.testing.assert_array_equal(found[i], [0.0, 0.0])
            continue
        control = min(held, key=lambda b: (-held[b], b % 512))
        lower = upper = control
        area = held[control]
        while area < 0.7 * total - 1e-9:
            up, down = held.get(upper + 1, 0.0), held.get(lower - 1, 0.0)
            rise, fall = up >= down, down >= up
            upper, area = upper + rise, area + (up if rise else 0.0)
            lower, area = lower - fall, area + (down if fall else 0.0)
        level = math.log(close[i])
        assert found[i, 0] == pytest.approx(level - (control + 0.5) * width, abs=1e-12)
        edges = lower * width, (upper + 1) * width
        place = (2.0 * level - sum(edges)) / (edges[1] - edges[0])
        assert found[i, 1] == pytest.approx(np.clip(place, -5.0, 5.0), abs=1e-6)
