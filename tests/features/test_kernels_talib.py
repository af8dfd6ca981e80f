"""Kernels against TA-Lib's C library on real bars (reference columns made with TA-Lib 0.8.1)."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.kernels import momentum, moving, volatility, volume, windows
from tests.support.candles import real_candles, rows
from tests.support.shared_data import shared_data

RELATIVE = 1e-9


@cache
def data() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return (columns of the bars, reference columns)."""
    folder = shared_data()
    table = pq.read_table(folder / "reference" / "talib-BTCUSDT-1h-2023.parquet")
    reference = {name: table[name].to_numpy() for name in table.column_names}
    bars = real_candles(folder / "binance-perp" / "BTCUSDT-1h.parquet", 3_600_000)
    first = int(np.searchsorted(bars.open_ms, reference["timestamp"][0]))
    bars = rows(bars, np.arange(first, first + reference["timestamp"].size))
    assert (bars.open_ms == reference["timestamp"]).all()
    columns = {name: getattr(bars, name) for name in ("high", "low", "close", "volume")}
    return {**columns, "index": bars.open_ms // 3_600_000}, reference


def run(update: Callable[..., Any], started: Any, *names: str, ringed: bool = False) -> np.ndarray:
    """Run a kernel, interpreted, over columns of the bars; one row a bar."""
    columns, _ = data()
    state, ring = started if ringed else (started, None)
    out = []
    for inputs in zip(*(columns[name].tolist() for name in names), strict=True):
        state, value = update(state, ring, *inputs) if ringed else update(state, *inputs)
        out.append(value)
    return np.array(out)


def assert_equals(found: np.ndarray, name: str, scale: np.ndarray | float = 0.0) -> None:
    """``found`` is TA-Lib's column within 1e-9 of its value, or of ``scale`` where that is more."""
    expected = data()[1][name]
    warm = np.isfinite(expected)
    assert np.isnan(expected[:9]).all() or warm.all()
    assert np.isfinite(found[warm]).all()
    limit = RELATIVE * np.maximum(np.abs(expected), scale)
    assert (np.abs(found - expected)[warm] <= limit[warm]).all(), name


@pytest.mark.parametrize("period", [12, 26])
def test_ema(period: int) -> None:
    found = run(moving.ema, moving.ema_start(period), "close")
    assert_equals(found, f"EMA_{period}")
    assert np.isnan(found[: period - 1]).all()


def test_sma_and_deviation() -> None:
    mean = run(windows.rolling_mean, windows.mean_start(20), "close", "index", ringed=True)
    assert_equals(mean, "SMA_20")
    started = windows.moments_start(20)
    deviation = run(windows.rolling_deviation, started, "close", "index", ringed=True)
    assert_equals(deviation, "STDDEV_20")


def test_rsi() -> None:
    assert_equals(run(momentum.rsi, momentum.rsi_start(14), "close"), "RSI_14")


def test_macd() -> None:
    found = run(momentum.macd, momentum.macd_start(12, 26, 9), "close")
    # The lines cross zero: 1e-9 of the averages they are differences of.
    scale = data()[1]["EMA_26"]
    for column, name in enumerate(("MACD", "MACDsignal", "MACDhist")):
        assert_equals(found[:, column], f"{name}_12_26_9", scale=scale)


def test_atr() -> None:
    found = run(volatility.atr, volatility.atr_start(14), "high", "low", "close")
    assert_equals(found, "ATR_14")
    close = data()[0]["close"]
    share = [volatility.ratio(0, *pair)[1] for pair in zip(found, close, strict=True)]
    assert_equals(100.0 * np.array(share), "NATR_14")


def test_true_range() -> None:
    columns, reference = data()
    bars = zip(columns["close"][:-1], columns["high"][1:], columns["low"][1:], strict=True)
    found = [momentum.true_range(*bar) for bar in bars]
    np.testing.assert_allclose(found, reference["TRANGE"][1:], rtol=RELATIVE)


def test_directional_movement() -> None:
    found = run(momentum.adx, momentum.adx_start(14), "high", "low", "close")
    for column, name in enumerate(("ADX_14", "PLUS_DI_14", "MINUS_DI_14")):
        assert_equals(found[:, column], name)


def test_bollinger_bands() -> None:
    started = volatility.bollinger_start(20)
    found = run(volatility.bollinger, started, "close", "index", ringed=True)
    columns, reference = data()
    upper, middle, lower = (reference[f"BB{x}_20_2"] for x in "uml")
    warm = np.isfinite(upper)
    share = (columns["close"] - lower)[warm] / (upper - lower)[warm]
    # %b is a difference of prices over a difference of prices: 1e-9 of its natural unit.
    np.testing.assert_allclose(found[warm, 0], share, rtol=0.0, atol=RELATIVE * 10)
    np.testing.assert_allclose(found[warm, 1], ((upper - lower) / middle)[warm], rtol=RELATIVE * 10)


def test_on_balance_volume() -> None:
    assert_equals(run(volume.obv, volume.obv_start(), "close", "volume"), "OBV")


def test_williams_r_is_the_place_in_the_range() -> None:
    high = run(windows.rolling_max, windows.extreme_start(14), "high", ringed=True)
    low = run(windows.rolling_min, windows.extreme_start(14), "low", ringed=True)
    close = data()[0]["close"]
    place = [windows.range_place(0, *x)[1] for x in zip(close, low, high, strict=True)]
    assert_equals(50.0 * (np.array(place) - 1.0), "WILLR_14", scale=1.0)


def test_log_return_is_the_rate_of_change() -> None:
    found = run(momentum.log_return, momentum.log_return_start(10), "close", ringed=True)
    assert_equals(100.0 * np.expm1(found), "ROC_10", scale=1.0)
