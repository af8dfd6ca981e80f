"""The market: what is read, what is put on a tick, what is visible when, and how bars add up."""

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.paper.clock import Clock
from executor.paper.market import (
    Recorded,
    Running,
    Window,
    added_up,
    build,
    on_tick,
    visible,
)
from executor.paper.parquet import read_candles, read_funding
from executor.paper.settings import parse
from executor.paper.sources import load, standing_at
from executor.paper.spans import SPANS, span_of
from executor.paper.venue.instruments import instrument_for, risk_tiers, tick_of
from executor.paper.volatility import VolatilityStream
from features.errors import InputError
from features.types import Candles, Funding
from tests.support.paper import START_MS, wandering, write_market
from tests.support.shared_data import shared_data

STEP = 900_000


def candles(count: int, seed: int = 1, start_ms: int = START_MS) -> Candles:
    rows = np.array(wandering(seed, count))
    return Candles(
        interval_ms=STEP,
        open_ms=start_ms + STEP * np.arange(count, dtype=np.int64),
        open=rows[:, 0],
        high=rows[:, 1],
        low=rows[:, 2],
        close=rows[:, 3],
        volume=np.arange(1.0, count + 1),
    )


def no_funding() -> Funding:
    return Funding(time_ms=np.empty(0, np.int64), rate=np.empty(0))


@given(
    count=st.integers(1, 60),
    begin=st.integers(0, 40),
    start=st.one_of(st.none(), st.integers(-10, 70)),
    end=st.one_of(st.none(), st.integers(-10, 70)),
    limit=st.integers(1, 30),
    now=st.integers(0, 60),
    factor=st.sampled_from((1, 2, 4)),
    holes=st.sets(st.integers(0, 59), max_size=5),
)
def test_pages_are_those_of_the_venue(
    count: int,
    begin: int,
    start: int | None,
    end: int | None,
    limit: int,
    now: int,
    factor: int,
    holes: set[int],
) -> None:
    """Against a page cut by hand from the list of all bars, added up one by one."""
    bars = [k for k in range(count) if k not in holes] or [0]
    whole = candles(max(bars) + 1, start_ms=START_MS + begin * STEP)
    kept = np.array(bars)
    cut = Candles(
        interval_ms=STEP,
        open_ms=whole.open_ms[kept],
        open=whole.open[kept],
        high=whole.high[kept],
        low=whole.low[kept],
        close=whole.close[kept],
        volume=whole.volume[kept],
    )
    series = on_tick(Recorded(symbol="BTCUSDT", candles=cut, funding=no_funding()))
    now_ms = START_MS + (begin + now) * STEP
    length = factor * STEP
    starts: dict[int, list[float]] = {}
    for k in range(cut.n):
        bar = series.candles.candle(k)
        if bar.open_ms > now_ms:
            continue
        running = bar.open_ms + STEP > now_ms
        high, low, close = (bar.open,) * 3 if running else (bar.high, bar.low, bar.close)
        volume = 0.0 if running else bar.volume
        bucket = bar.open_ms - bar.open_ms % length
        if bucket not in starts:
            starts[bucket] = [bar.open, high, low, close, volume]
        else:
            one = starts[bucket]
            starts[bucket] = [
                one[0],
                max(one[1], high),
                min(one[2], low),
                close,
                one[4] + volume,
            ]
    low_ms = None if start is None else START_MS + (begin + start) * STEP
    high_ms = None if end is None else START_MS + (begin + end) * STEP
    wanted = [
        (t, *v)
        for t, v in sorted(starts.items())
        if (low_ms is None or t >= low_ms) and (high_ms is None or t <= high_ms)
    ]
    wanted = wanted[:limit] if low_ms is not None and high_ms is None else wanted[-limit:]
    got = visible(series, span_of(length), Window(start=low_ms, end=high_ms, limit=limit), now_ms)
    rows = list(zip(got.open_ms, got.open, got.high, got.low, got.close, got.volume, strict=True))
    assert [row[0] for row in rows] == [row[0] for row in wanted]
    assert rows == [pytest.approx(row) for row in wanted]


def test_the_running_bar_shows_what_has_happened() -> None:
    series = on_tick(Recorded(symbol="BTCUSDT", candles=candles(10), funding=no_funding()))
    now = START_MS + 5 * STEP
    running = Running(open_ms=now, high=120.0, low=80.0, close=99.0, volume=3.0)
    last = visible(series, span_of(STEP), Window(limit=1), now + 60_000, running)
    assert (last.high[0], last.low[0], last.close[0], last.volume[0]) == (120.0, 80.0, 99.0, 3.0)
    hour = visible(series, span_of(4 * STEP), Window(limit=1), now + 60_000, running)
    assert hour.high[0] == 120.0
    assert hour.volume[0] == series.candles.volume[4] + 3.0


def test_bars_add_up_by_the_clock_not_by_count() -> None:
    bars = candles(7, start_ms=START_MS + 3 * STEP)
    hours = added_up(bars, span_of(4 * STEP))
    assert list(hours.open_ms) == [START_MS, START_MS + 4 * STEP, START_MS + 8 * STEP]
    assert list(hours.volume) == [1.0, 2.0 + 3 + 4 + 5, 6.0 + 7]


DAY_MS = 86_400_000


def daily(count: int, first_day: int) -> Candles:
    rows = np.array(wandering(5, count))
    return Candles(
        interval_ms=DAY_MS,
        open_ms=DAY_MS * (first_day + np.arange(count, dtype=np.int64)),
        open=rows[:, 0],
        high=rows[:, 1],
        low=rows[:, 2],
        close=rows[:, 3],
        volume=np.arange(1.0, count + 1),
    )


def begins(code: str, time_ms: int) -> int:
    """The calendar's answer, by the standard library."""
    day = datetime.fromtimestamp(time_ms / 1000, UTC).date()
    first = day.replace(day=1) if code == "M" else day - timedelta(days=day.weekday())
    return int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()) * 1000


@given(
    code=st.sampled_from(("W", "M")),
    count=st.integers(1, 200),
    first_day=st.integers(31, 20_000),
    limit=st.integers(1, 9),
    start=st.one_of(st.none(), st.integers(-40, 240)),
    end=st.one_of(st.none(), st.integers(-40, 240)),
    seen=st.integers(1, 200),
)
def test_weeks_and_months_are_those_of_the_calendar(
    code: str,
    count: int,
    first_day: int,
    limit: int,
    start: int | None,
    end: int | None,
    seen: int,
) -> None:
    """Against bars put into their week or month one by one."""
    raw = daily(count, first_day)
    series = on_tick(Recorded(symbol="BTCUSDT", candles=raw, funding=no_funding()))
    now_ms = DAY_MS * (first_day + min(seen, count))
    whole: dict[int, list[float]] = {}
    for k in range(min(seen, count)):
        bar = series.candles.candle(k)
        one = whole.setdefault(
            begins(code, bar.open_ms), [bar.open, bar.high, bar.low, bar.close, 0.0]
        )
        one[1:4] = max(one[1], bar.high), min(one[2], bar.low), bar.close
        one[4] += bar.volume
    if seen < count:
        bar = series.candles.candle(seen)
        one = whole.setdefault(begins(code, bar.open_ms), [bar.open] * 4 + [0.0])
        one[1:4] = max(one[1], bar.open), min(one[2], bar.open), bar.open
    low = None if start is None else DAY_MS * (first_day + start) + 1
    high = None if end is None else max(0, DAY_MS * (first_day + end) - 1)
    rows = [
        (t, *values)
        for t, values in sorted(whole.items())
        if (low is None or t >= low) and (high is None or t <= high)
    ]
    rows = rows[:limit] if low is not None and high is None else rows[-limit:]
    window = Window(start=None if low is None else max(0, low), end=high, limit=limit)
    got = visible(series, SPANS[code], window, now_ms)
    shown = zip(got.open_ms, got.open, got.high, got.low, got.close, got.volume, strict=True)
    assert list(shown) == [pytest.approx(row) for row in rows]


@pytest.mark.parametrize("code", sorted(SPANS))
@given(time_ms=st.integers(0, 253_402_300_800_000))
def test_every_time_lies_in_one_candle_of_each_length(code: str, time_ms: int) -> None:
    span = SPANS[code]
    begin, following = span.start(time_ms), span.following(time_ms)
    assert begin <= time_ms < following
    assert span.start(following) == following
    assert span.start(following - 1) == begin
    assert span.ceiling(begin) == begin
    assert span.ceiling(begin + 1) == following
    assert 28 * span.most_ms <= 31 * (following - begin) <= 31 * span.most_ms


@pytest.mark.parametrize(
    ("prices", "tick"),
    [([1.0, 2.0], "1"), ([60000.1, 3.0], "0.1"), ([0.00001234], "1E-8"), ([1 / 3], "1E-10")],
)
def test_the_tick_is_read_off_the_prices(prices: list[float], tick: str) -> None:
    assert str(tick_of(np.array(prices))) == tick


def test_prices_are_the_doubles_nearest_to_their_tick() -> None:
    bars = candles(50)
    series = on_tick(Recorded(symbol="BTCUSDT", candles=bars, funding=no_funding()))
    tick = series.instrument.tick
    for price in series.candles.close.tolist():
        assert float(series.instrument.price(price)) == price
        assert series.instrument.price(price) % tick == 0


def test_tiers_are_continuous_and_grow() -> None:
    tiers = risk_tiers(instrument_for("X", np.array([1.0])).tiers[0].notional_max, 50)
    for before, after in pairwise(tiers):
        edge = before.notional_max
        below = edge * before.maintenance - before.deduction
        assert below == edge * after.maintenance - after.deduction
        assert after.leverage_max < before.leverage_max
        assert after.maintenance < 1 / after.leverage_max


def test_settlements_are_put_on_the_minute() -> None:
    funding = Funding(
        time_ms=np.array([START_MS + 17, START_MS + 28_800_047]), rate=np.array([0.1, 0.2])
    )
    series = on_tick(Recorded(symbol="BTCUSDT", candles=candles(5), funding=funding))
    assert list(series.funding.time_ms) == [START_MS, START_MS + 28_800_000]
    assert series.funding.interval_at(START_MS) == 480


def test_volatility_is_the_one_that_everybody_uses() -> None:
    """Root mean square of the last 96 log returns, whatever bar the stream was begun at."""
    bars = candles(700)
    stream = VolatilityStream()
    values = {index: stream.before(bars, index) for index in range(501, 701)}
    returns = np.diff(np.log(bars.close))
    for index in (501, 556, 700):
        expected = np.sqrt(np.mean(returns[index - 97 : index - 1] ** 2))
        assert values[index] == pytest.approx(expected, rel=1e-12)
    later = VolatilityStream()
    assert [later.before(bars, index) for index in (601, 601, 640, 700)] == [
        values[index] for index in (601, 601, 640, 700)
    ]
    assert math.isnan(VolatilityStream().before(bars, 96))
    assert not math.isnan(VolatilityStream().before(bars, 97))


def test_a_market_stands_where_it_is_told() -> None:
    series = {"A": on_tick(Recorded(symbol="A", candles=candles(100), funding=no_funding()))}
    market = build(series, "15m", STEP, START_MS + 50 * STEP, 20)
    assert (int(market.opens[0]), market.opens.size) == (START_MS + 50 * STEP, 20)
    every = build(series, "15m", STEP, START_MS + 50 * STEP, None)
    assert every.end_ms == START_MS + 99 * STEP  # the last bar only opens
    assert build(series, "15m", STEP, None, None).now_ms == START_MS + 79 * STEP


@pytest.mark.parametrize(
    ("now", "bars", "says"),
    [
        (START_MS + 1, None, "not the opening"),
        (START_MS, None, "outside"),
        (START_MS + 99 * STEP, None, "outside"),
        (START_MS + 50 * STEP, 50, "only 49 bars"),
    ],
)
def test_a_market_refuses_what_it_has_not(now: int, bars: int | None, says: str) -> None:
    series = {"A": on_tick(Recorded(symbol="A", candles=candles(100), funding=no_funding()))}
    with pytest.raises(InputError, match=says):
        build(series, "15m", STEP, now, bars)


def test_markets_that_do_not_overlap_are_refused() -> None:
    late = candles(50, start_ms=START_MS + 500 * STEP)
    series = {
        "A": on_tick(Recorded(symbol="A", candles=candles(50), funding=no_funding())),
        "B": on_tick(Recorded(symbol="B", candles=late, funding=no_funding())),
    }
    with pytest.raises(InputError, match="overlap"):
        build(series, "15m", STEP, None, None)


def test_a_simulated_market_is_a_function_of_its_seed() -> None:
    def closes(*more: str) -> list[float]:
        arguments = ["--history", "50", "--bars", "10", "--speed", "lockstep", *more]
        settings = parse(arguments)
        market, _ = load(settings, standing_at(settings, Clock()))
        assert market.opens.size == 10
        return [float(c) for one in market.series.values() for c in one.candles.close]

    assert closes() == closes() != closes("--seed", "2")


BAD_FILES = {
    "holds no bar": {"timestamp": []},
    "twice": {"timestamp": [0, 0]},
    "not multiples": {"timestamp": [1]},
    "above zero": {"timestamp": [0], "close": [0.0]},
    "finite": {"timestamp": [0], "close": [float("nan")]},
    "inside its open": {"timestamp": [0], "high": [0.5]},
    "no column 'volume'": {"timestamp": [0], "volume": None},
    "not a number": {"timestamp": [0], "open": ["1"]},
    "empty cells": {"timestamp": [0], "open": [None]},
}


@pytest.mark.parametrize("says", sorted(BAD_FILES))
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, says: str) -> None:
    given_ = BAD_FILES[says]
    count = len(given_["timestamp"] or [])
    columns: dict[str, object] = {
        name: [1.0] * count for name in ("open", "high", "low", "close", "volume")
    }
    columns |= given_
    frame = pl.DataFrame({name: values for name, values in columns.items() if values is not None})
    if says == "empty cells":
        frame = frame.with_columns(pl.col("open").cast(pl.Float64))
    if says == "holds no bar":
        frame = frame.cast(pl.Float64)
    frame.write_parquet(tmp_path / "BTCUSDT-15m.parquet")
    with pytest.raises(InputError, match=says) as refused:
        read_candles(tmp_path, "BTCUSDT", "15m", STEP)
    assert "\n" not in str(refused.value)
    assert "BTCUSDT-15m.parquet" in str(refused.value)


def test_a_folder_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_candles(tmp_path / "no", "BTCUSDT", "15m", STEP)
    with pytest.raises(InputError, match="no parquet file"):
        read_candles(tmp_path, "BTCUSDT", "15m", STEP)
    write_market(tmp_path, {"BTCUSDT": wandering(1, 5)})
    with pytest.raises(InputError, match="did you mean 'BTCUSDT'"):
        read_candles(tmp_path, "BTCUSD", "15m", STEP)
    with pytest.raises(InputError, match="no 1h candles here; it has 15m"):
        read_candles(tmp_path, "BTCUSDT", "1h", 3_600_000)
    (tmp_path / "ETHUSDT-15m.parquet").write_text("this is no parquet\nfile")
    with pytest.raises(InputError, match="cannot be read") as refused:
        read_candles(tmp_path, "ETHUSDT", "15m", STEP)
    assert "\n" not in str(refused.value)
    assert read_funding(tmp_path, "BTCUSDT").time_ms.size == 0


def test_real_candles_are_served_as_they_are() -> None:
    folder = shared_data() / "binance-perp"
    raw = read_candles(folder, "BTCUSDT", "15m", STEP)
    funding = read_funding(folder, "BTCUSDT")
    series = on_tick(Recorded(symbol="BTCUSDT", candles=raw, funding=funding))
    assert str(series.instrument.tick) == "0.1"
    for name in ("open", "high", "low", "close"):
        assert np.array_equal(getattr(series.candles, name), getattr(raw, name))
    assert np.all(series.funding.time_ms % 3_600_000 == 0)
