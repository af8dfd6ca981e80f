"""Bad input of the labels: one typed line that names the row and the column, before any work."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from features.costs import FUNDING_INTERVAL_MS, Costs, FlatFunding
from features.errors import InputError
from features.exit_plan import ExitPlan
from features.labels import Barriers, triple_barrier
from features.types import Funding
from tests.support.markets import market

BARS = market(np.random.default_rng(0), 200)


def call(**changes: Any) -> None:
    """Label with one thing wrong."""
    given: dict[str, Any] = {
        "candles": BARS,
        "events": np.array([5, 20, 90]),
        "side": np.array([1, -1, 1], np.int8),
        "barriers": Barriers(),
        "costs": Costs(),
        "funding": FlatFunding(rate=0.0001),
        "volatility": np.full(BARS.n, 0.01),
    }
    triple_barrier(**(given | changes))


def changed(name: str, row: int, value: float):
    column = getattr(BARS, name).copy()
    column[row] = value
    return dataclasses.replace(BARS, **{name: column})


def test_the_unchanged_call_is_taken():
    call()


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (np.array([5, 90, 20]), r"events row 2: bar 20 comes after bar 90"),
        (np.array([5, 20, 200]), r"events row 2: bar 200 is not among the 200 bars"),
        (np.array([-1, 20, 90]), r"events row 0: bar -1"),
        (np.array([5.0, 20.0, 90.0]), r"events: dtype is float64"),
        (np.array([5, 20, 90], np.int32), r"events: dtype is int32"),
        ([5, 20, 90], r"events: give a numpy array, not list"),
        (np.array([[5, 20, 90]]), r"events: shape"),
    ],
)
def test_events(events, message):
    with pytest.raises(InputError, match=message):
        call(events=events)


@pytest.mark.parametrize(
    ("side", "message"),
    [
        (np.array([1, 0, 1], np.int8), r"side row 1: 0 is neither"),
        (np.array([1, -128, 1], np.int8), r"side row 1: -128 is neither"),
        (np.array([1, 1], np.int8), r"side: shape is \(2,\); it must be \(3,\)"),
        (np.array([1, 1, 1]), r"side: dtype is int64"),
    ],
)
def test_sides(side, message):
    with pytest.raises(InputError, match=message):
        call(side=side)


@pytest.mark.parametrize(
    ("barriers", "message"),
    [
        (Barriers(profit=0.0), r"profit row 0 is 0.0"),
        (Barriers(loss=-0.01), r"loss row 0 is -0.01"),
        (Barriers(loss=1.0), r"loss row 0 is 1.0; a long cannot lose"),
        (Barriers(profit=np.array([0.01, np.nan, 0.01])), r"profit row 1 is nan"),
        (Barriers(profit=np.array([0.01, 0.01])), r"barriers.profit: shape is \(2,\)"),
        (Barriers(profit=np.array([1, 1, 1])), r"barriers.profit: dtype is int64"),
        (Barriers(profit="2 %"), r"barriers.profit: '2 %' is not a number"),  # type: ignore[arg-type]
        (Barriers(horizon_bars=0), r"horizon_bars row 0 is 0"),
        (Barriers(horizon_bars=1.5), r"not a whole number of bars"),  # type: ignore[arg-type]
        (Barriers(horizon_bars=np.array([4, -2, 4])), r"horizon_bars row 1 is -2"),
    ],
)
def test_barriers(barriers, message):
    with pytest.raises(InputError, match=message):
        call(barriers=barriers)


def test_scaled_barrier_of_a_market_that_stands_still():
    volatility = np.full(BARS.n, 0.01)
    volatility[20] = 0.0
    with pytest.raises(InputError, match=r"profit row 1 is 0.0"):
        call(barriers=Barriers(volatility_scaled=True), volatility=volatility)


@pytest.mark.parametrize("name", ["open", "high", "low", "close"])
@pytest.mark.parametrize("value", [np.nan, -1.0, 0.0, np.inf])
def test_prices(name, value):
    with pytest.raises(InputError, match=rf"{name} row 7"):
        call(candles=changed(name, 7, value))


def test_high_below_low():
    with pytest.raises(InputError, match=r"row 7"):
        call(candles=changed("high", 7, float(BARS.low[7]) / 2.0))


@pytest.mark.parametrize("value", [np.nan, -0.1, np.inf])
def test_volatility(value):
    volatility = np.full(BARS.n, 0.01)
    volatility[:5] = np.nan  # warm-up before the first event is fine
    call(volatility=volatility)
    volatility[60] = value
    with pytest.raises(InputError, match=r"volatility row 60"):
        call(volatility=volatility)


def test_volatility_in_warm_up():
    volatility = np.full(BARS.n, 0.01)
    volatility[:6] = np.nan
    with pytest.raises(InputError, match=r"volatility row 5: nan; drop events before the warm-up"):
        call(volatility=volatility)


def history(hours: list[int], rate: float = 0.0001) -> Funding:
    start = int(BARS.open_ms[0]) // FUNDING_INTERVAL_MS * FUNDING_INTERVAL_MS
    times = start + np.array(hours, np.int64) * 3_600_000
    return Funding(time_ms=times, rate=np.full(times.size, rate))


def test_funding_is_never_made_up():
    call(funding=history([0, 8, 16, 24, 32, 40, 48, 56]))
    with pytest.raises(InputError, match=r"FlatFunding\(rate=...\)"):
        call(funding=None)
    with pytest.raises(InputError, match=r"no settlement from"):
        call(funding=history([]))
    with pytest.raises(InputError, match=r"no settlement from"):  # one missing in the middle
        call(funding=history([0, 8, 16, 32, 40, 48, 56]))
    with pytest.raises(InputError, match=r"no settlement from"):  # ends too soon
        call(funding=history([0, 8, 16, 24]))


def test_funding_rows():
    with pytest.raises(InputError, match=r"funding.time_ms row 2"):
        call(funding=history([0, 8, 8, 16]))
    with pytest.raises(InputError, match=r"funding.rate row 0"):
        call(funding=history([0, 8, 16, 24, 32, 40, 48], np.nan))


def test_limit_orders_need_the_tick():
    with pytest.raises(InputError, match=r"tick: 0.0"):
        call(costs=Costs(take_profit_is_market=False))
    with pytest.raises(InputError, match=r"tick: 0.0"):
        call(plan=ExitPlan(partial_fraction=0.4))
    with pytest.raises(InputError, match=r"tick: -1"):
        call(tick=-1.0)
