"""Candles that cannot be are refused before any work, by row and column."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from features.batch import feature_matrix
from features.catalog import default_catalog
from features.errors import InputError
from features.stream import FeatureStream
from features.types import Candle, Candles
from tests.support.candles import INTERVAL_MS, NO_FUNDING, START_MS, simulated

CATALOG = default_catalog()
NAN, INF = float("nan"), float("inf")
PRICES = ("open", "high", "low", "close")


def changed(column: str, row: int, value: float) -> Candles:
    candles, _ = simulated(10)
    values = getattr(candles, column).copy()
    values[row] = value
    return replace(candles, **{column: values})


def refused(candles: Candles, message: str) -> None:
    with pytest.raises(InputError, match=message):
        feature_matrix(candles, CATALOG, NO_FUNDING)


@pytest.mark.parametrize("column", PRICES)
@pytest.mark.parametrize("value", [NAN, INF, -INF, 0.0, -1.0, 1e-13, 1e16])
def test_a_price_that_cannot_be(column: str, value: float) -> None:
    refused(
        changed(column, 7, value), rf"candles row 7 .*column {column}: " + re.escape(str(value))
    )


@pytest.mark.parametrize("value", [NAN, INF, -1e-9, 1e19])
def test_a_volume_that_cannot_be(value: float) -> None:
    refused(changed("volume", 3, value), r"candles row 3 .*column volume: " + re.escape(str(value)))


def test_a_high_below_and_a_low_above_the_other_prices() -> None:
    candles, _ = simulated(10)
    refused(changed("high", 4, candles.low[4] * 0.99), r"row 4 .*column high: .* below")
    refused(changed("low", 5, candles.high[5] * 1.01), r"row 5 .*column low: .* above")


def test_the_first_bad_row_is_named() -> None:
    candles = changed("close", 6, NAN)
    close = candles.close.copy()
    close[2] = -3.0
    refused(replace(candles, close=close), r"row 2 .*column close: -3.0")


@pytest.mark.parametrize(
    ("row", "step", "message"),
    [
        (5, -2 * INTERVAL_MS, r"row 5 .*column open_ms: .* not after the row before"),
        (5, -INTERVAL_MS, r"row 5 .*column open_ms: .* not after .* doubles"),
        (5, 1, r"row 5 .*column open_ms: .* not a multiple of 900000 ms"),
        (0, -START_MS - INTERVAL_MS, r"row 0 .*column open_ms: -900000"),
    ],
)
def test_times_unsorted_double_off_the_grid_or_negative(row: int, step: int, message: str) -> None:
    candles, _ = simulated(10)
    times = candles.open_ms.copy()
    times[row] += step
    refused(replace(candles, open_ms=times), message)


@pytest.mark.parametrize(
    ("column", "dtype"),
    [("open_ms", np.float64), ("open_ms", np.int32), ("close", np.float32), ("volume", np.int64)],
)
def test_wrong_types(column: str, dtype: Any) -> None:
    candles, _ = simulated(4)
    wrong = replace(candles, **{column: getattr(candles, column).astype(dtype)})
    refused(wrong, rf"column {column}: dtype {np.dtype(dtype)}; convert it to \w+64")


def test_columns_of_different_lengths_and_an_interval_of_nothing() -> None:
    candles, _ = simulated(4)
    refused(replace(candles, low=candles.low[:3]), r"column low: shape \(3,\), open_ms has \(4,\)")
    refused(replace(candles, close=candles.close[:, None]), r"column close: shape \(4, 1\)")
    refused(replace(candles, interval_ms=0), "interval_ms is 0")
    with pytest.raises(InputError, match="interval_ms is -5"):
        FeatureStream(CATALOG, -5)


def test_no_bars_are_no_rows() -> None:
    candles, _ = simulated(3)
    empty = candles.slice(0, 0)
    assert feature_matrix(empty, CATALOG, NO_FUNDING).shape == (0, len(CATALOG.names))


GOOD = Candle(open_ms=START_MS, open=10.0, high=12.0, low=9.0, close=11.0, volume=5.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"open": NAN}, "column open: nan"),
        ({"high": INF}, "column high: inf"),
        ({"low": 0.0}, "column low: 0.0"),
        ({"close": -1.0}, "column close: -1.0"),
        ({"high": 10.5}, "column high: 10.5"),
        ({"low": 10.5}, "column low: 10.5"),
        ({"low": 12.5}, "column low: 12.5"),
        ({"volume": -1.0}, "column volume: -1.0"),
        ({"volume": NAN}, "column volume: nan"),
        ({"open_ms": START_MS + 1}, "column open_ms: not a multiple"),
        ({"open_ms": -INTERVAL_MS}, "column open_ms"),
        ({"open_ms": START_MS - INTERVAL_MS}, "is not after"),
        ({"open_ms": START_MS - 2 * INTERVAL_MS}, "is not after"),
    ],
)
def test_the_stream_refuses_the_same_and_goes_on_as_if_nothing_came(
    changes: dict[str, Any], message: str
) -> None:
    stream = FeatureStream(CATALOG, INTERVAL_MS)
    stream.update(replace(GOOD, open_ms=START_MS - INTERVAL_MS))
    before = stream.state()
    with pytest.raises(InputError, match=message):
        stream.update(replace(GOOD, **changes))
    assert stream.state() == before
    stream.update(GOOD)


@pytest.mark.parametrize("rate", [NAN, INF, -INF])
def test_a_funding_rate_that_is_no_number(rate: float) -> None:
    with pytest.raises(InputError, match=f"funding rate is {rate}"):
        FeatureStream(CATALOG, INTERVAL_MS).update(GOOD, rate)
