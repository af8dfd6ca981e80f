"""Labels: the fast kernel against the slow prose, bit for bit, and the cases worked out by hand."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.barriers import PROFIT, STOP, TIME, TRUNCATED
from features.costs import FUNDING_INTERVAL_MS, Costs, FlatFunding
from features.label_kernel import Bars, Found, Requests, Terms, label_by_stack
from features.label_scan import label_by_scan
from features.labels import (
    Barriers,
    Labels,
    _label_by_scan,
    funding_points,
    triple_barrier,
)
from features.types import Candles, Funding
from tests.support.label_reference import outcome
from tests.support.markets import MINUTE, market

FREE = Costs(taker_fee=0.0, maker_fee=0.0, slippage_base=0.0, slippage_volatility=0.0)
NO_FUNDING = FlatFunding(rate=0.0)
LONG, SHORT = np.array([1], np.int8), np.array([-1], np.int8)


def candles(*rows: tuple[float, float, float, float], interval_ms: int = 15 * MINUTE) -> Candles:
    """Return candles from (open, high, low, close) rows, opening at 00:00."""
    open_, high, low, close = np.array(rows, float).T.copy()
    return Candles(
        interval_ms=interval_ms,
        open_ms=np.arange(len(rows), dtype=np.int64) * interval_ms,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=np.ones(len(rows)),
    )


def label(bars: Candles, side=LONG, costs=FREE, funding=NO_FUNDING, events=None, **options):
    """Label with 2 % and 1 % over three bars unless told otherwise."""
    events = np.zeros(side.size, np.int64) if events is None else events
    barriers = options.pop("barriers", Barriers(horizon_bars=3))
    options.setdefault("volatility", np.full(bars.n, 0.001))
    return triple_barrier(bars, events, side, barriers, costs, funding, **options)


QUIET = (100.0, 100.5, 99.5, 100.0)


@st.composite
def problems(draw):
    """Draw a market, events and terms, as hostile as validation lets through."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bars = market(
        rng,
        draw(st.integers(1, 90)),
        interval_ms=draw(st.sampled_from([MINUTE, 15 * MINUTE, 240 * MINUTE, 1440 * MINUTE])),
        price=draw(st.sampled_from([1e-9, 0.01, 100.0, 1e9])),
        deviation=draw(st.sampled_from([1e-5, 0.003, 0.02, 0.15])),
        gaps=draw(st.booleans()),
        flat=draw(st.sampled_from([False, False, False, True])),
        holes=draw(st.booleans()),
    )
    rows = draw(st.integers(0, 60))
    events = np.sort(rng.integers(0, bars.n, rows)).astype(np.int64)
    side = rng.choice(np.array([1, -1], np.int8), rows)
    per_event = draw(st.booleans())
    scaled = draw(st.booleans())
    size = rows if per_event else 1
    unit = 5.0 if scaled else 0.02
    profit = rng.uniform(0.1, 2.0, size) * unit
    loss = rng.uniform(0.1, 2.0, size) * unit / 2.0
    horizon = rng.integers(1, draw(st.sampled_from([2, 10, 200])), size)
    barriers = Barriers(
        profit=profit if per_event else float(profit[0]),
        loss=loss if per_event else float(loss[0]),
        horizon_bars=horizon if per_event else int(horizon[0]),
        volatility_scaled=scaled,
    )
    costs = Costs(take_profit_is_market=draw(st.booleans()))
    every = FUNDING_INTERVAL_MS
    span = int(bars.open_ms[-1] - bars.open_ms[0]) + bars.interval_ms
    first = int(bars.open_ms[0]) // every * every
    times = np.arange(first, first + span + 2 * every, every) + rng.integers(0, 48)
    funding = Funding(time_ms=times, rate=rng.standard_normal(times.size) * 1e-3)
    volatility = rng.uniform(0.0005, 0.004, bars.n)
    return bars, events, side, barriers, costs, funding, volatility


@settings(max_examples=120, deadline=None)
@given(problems())
def test_kernel_equals_the_reference_bit_for_bit(problem):
    bars, events, side, barriers, costs, funding, volatility = problem
    got = triple_barrier(
        bars, events, side, barriers, costs, funding, volatility=volatility, tick=0.001
    )
    settled = [
        (int(t) // MINUTE * MINUTE, float(r))
        for t, r in zip(funding.time_ms, funding.rate, strict=True)
    ]
    spread = [np.broadcast_to(x, events.size) for x in (barriers.profit, barriers.loss)]
    horizon = np.broadcast_to(barriers.horizon_bars, events.size)
    for row, event in enumerate(events):
        scale = volatility[event] if barriers.volatility_scaled else 1.0
        want = outcome(
            bars,
            int(event),
            int(side[row]),
            float(spread[0][row] * scale),
            float(spread[1][row] * scale),
            int(horizon[row]),
            costs,
            settled,
            volatility,
            0.001,
        )
        seen = (
            int(got.exit_index[row]),
            int(got.reason[row]),
            float(got.gross[row]).hex(),
            float(got.net[row]).hex(),
            bool(got.ambiguous[row]),
        )
        wanted = (want.exit_index, want.reason, want.gross.hex(), want.net.hex(), want.ambiguous)
        assert seen == wanted, f"row {row}, event {event}, side {side[row]}"
        assert bool(got.label[row]) is (want.net > 0.0)
        assert bool(got.truncated[row]) is (want.reason == TRUNCATED)


def kernel_input(problem) -> tuple[Bars, Requests, Terms, int]:
    """Return a drawn problem as the kernels take it."""
    bars, events, side, barriers, costs, funding, volatility = problem
    columns = Bars(
        bars.open, bars.high, bars.low, bars.close, volatility, funding_points(bars, funding)
    )
    requests = Requests(
        events,
        side,
        np.atleast_1d(np.asarray(barriers.profit, float)),
        np.atleast_1d(np.asarray(barriers.loss, float)),
        np.minimum(np.atleast_1d(np.asarray(barriers.horizon_bars, np.int64)), bars.n),
    )
    terms = Terms(
        barriers.volatility_scaled,
        0.001,
        costs.taker_fee,
        costs.maker_fee,
        costs.slippage_base,
        costs.slippage_volatility,
        costs.take_profit_is_market,
        *(0.0, 0.5, False, 0.0, 0.0, 0.0),
    )
    return columns, requests, terms, int(requests.horizon.max(initial=1))


def empty(rows: int) -> Found:
    return Found(
        np.empty(rows, np.int64),
        np.empty(rows, np.int8),
        np.empty(rows),
        np.empty(rows),
        np.empty(rows, np.bool_),
    )


@settings(max_examples=60, deadline=None)
@given(problems())
def test_compiled_interpreted_and_scanned_are_one(problem):
    """The stack kernel compiled and interpreted, and the exit-step scan, give the same bits."""
    bars, events, side, barriers, costs, funding, volatility = problem
    got = triple_barrier(
        bars, events, side, barriers, costs, funding, volatility=volatility, tick=0.001
    )
    columns, requests, terms, horizon_max = kernel_input(problem)
    stacked, scanned = empty(events.size), empty(events.size)
    label_by_stack(columns, requests, terms, stacked, horizon_max)
    label_by_scan(columns, requests, terms, scanned)
    for name in Found._fields:
        compiled = getattr(got, name).tobytes()
        assert getattr(stacked, name).tobytes() == compiled, name
        assert getattr(scanned, name).tobytes() == compiled, name


def same(left: Labels, right: Labels, rows: slice | np.ndarray) -> bool:
    return all(
        getattr(left, field.name)[rows].tobytes() == getattr(right, field.name)[rows].tobytes()
        for field in dataclasses.fields(Labels)
    )


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(1, 90))
def test_no_label_knows_what_follows_its_end(problem, cut):
    """Cutting the data changes no row that had ended by then."""
    bars, events, side, barriers, costs, funding, volatility = problem
    cut = min(cut, bars.n)
    whole = triple_barrier(
        bars, events, side, barriers, costs, funding, volatility=volatility, tick=0.001
    )
    kept = events < cut
    one = {
        name: value[kept] if isinstance(value, np.ndarray) else value
        for name in ("profit", "loss", "horizon_bars")
        for value in [getattr(barriers, name)]
    }
    part = triple_barrier(
        bars.slice(0, cut),
        events[kept],
        side[kept],
        Barriers(volatility_scaled=barriers.volatility_scaled, **one),
        costs,
        funding,
        volatility=volatility[:cut],
        tick=0.001,
    )
    ended = ~part.truncated
    rows = np.flatnonzero(kept)
    for field in dataclasses.fields(Labels):
        left = getattr(whole, field.name)[rows][ended]
        assert left.tobytes() == getattr(part, field.name)[ended].tobytes(), field.name


def test_dense_events_over_long_horizons_equal_the_scan():
    """Every bar an event, both sides, horizons beyond the window of records."""
    rng = np.random.default_rng(5)
    bars = market(rng, 6_000, deviation=0.002, gaps=True)
    events = np.arange(bars.n, dtype=np.int64)
    side = rng.choice(np.array([1, -1], np.int8), bars.n)
    volatility = rng.uniform(0.001, 0.003, bars.n)
    barriers = Barriers(horizon_bars=rng.integers(1, 1_500, bars.n))
    fast = label(bars, side, Costs(), events=events, barriers=barriers, volatility=volatility)
    unfunded = Funding(time_ms=np.empty(0, np.int64), rate=np.empty(0))
    columns, requests, terms, _ = kernel_input(
        (bars, events, side, barriers, Costs(), unfunded, volatility)
    )
    from_scan = empty(bars.n)
    _label_by_scan(columns, requests, terms, from_scan)
    for name in Found._fields:
        assert getattr(fast, name).tobytes() == getattr(from_scan, name).tobytes(), name
    assert set(fast.reason.tolist()) == {PROFIT, STOP, TIME, TRUNCATED}


def test_time_exit_is_the_open_after_the_last_bar_held():
    bars = candles(QUIET, QUIET, QUIET, QUIET, (100.7, 101.0, 100.0, 100.0), QUIET)
    got = label(bars)
    assert (got.entry_index[0], got.exit_index[0], got.reason[0]) == (1, 4, TIME)
    assert got.gross[0] == pytest.approx(0.007)
    assert got.label[0] == 1
    assert got.start_ms[0] == bars.close_ms[0]
    assert got.end_ms[0] == bars.open_ms[4]


def test_barrier_exit_ends_at_its_bars_close():
    got = label(candles(QUIET, QUIET, (100.0, 102.5, 99.5, 102.0), QUIET, QUIET))
    assert (got.exit_index[0], got.reason[0]) == (2, PROFIT)
    assert got.gross[0] == pytest.approx(0.02)
    assert got.end_ms[0] == 3 * 15 * MINUTE


def test_the_entry_bar_itself_is_scanned():
    got = label(candles(QUIET, (100.0, 100.2, 98.0, 99.0), QUIET, QUIET, QUIET))
    assert (got.exit_index[0], got.reason[0]) == (1, STOP)
    assert got.gross[0] == pytest.approx(-0.01)


def test_the_signals_own_bar_is_not_scanned():
    got = label(candles((100.0, 110.0, 90.0, 100.0), QUIET, QUIET, QUIET, QUIET))
    assert got.reason[0] == TIME


def test_ambiguous_bar_is_a_stop_and_says_so():
    got = label(candles(QUIET, (100.0, 103.0, 98.0, 100.0), QUIET, QUIET, QUIET), SHORT)
    assert (got.reason[0], bool(got.ambiguous[0])) == (STOP, True)


def test_data_that_end_too_soon_are_marked():
    bars = candles(QUIET, QUIET, (100.0, 100.5, 99.5, 100.4))
    got = label(bars, np.array([1, 1, 1], np.int8), events=np.arange(3))
    assert got.truncated.all()
    assert got.reason.tolist() == [TRUNCATED] * 3
    assert got.gross[0] == pytest.approx(0.004)  # valued at the last close
    assert math.isnan(got.net[2])
    assert (got.entry_index[2], got.exit_index[2], got.label[2]) == (-1, -1, 0)
    assert got.end_ms[2] == got.start_ms[2] == bars.close_ms[2]


def test_horizon_that_ends_with_the_data_has_no_open_to_leave_at():
    assert label(candles(QUIET, QUIET, QUIET, QUIET)).truncated[0]
    assert not label(candles(QUIET, QUIET, QUIET, QUIET, QUIET)).truncated[0]


def test_costs_are_taken_from_the_net():
    bars = candles(QUIET, QUIET, (100.0, 102.5, 99.5, 102.0), QUIET, QUIET)
    costs = Costs(taker_fee=0.001, maker_fee=0.0002, slippage_base=0.0003, slippage_volatility=0.5)
    volatility = np.array([0.001, 0.002, 0.004, 0.0, 0.0])
    got = label(bars, costs=costs, volatility=volatility)
    filled_in = 100.0 * (1 + 0.0003 + 0.5 * 0.001)  # volatility of the signal's bar
    filled_out = 102.0 * (1 - 0.0003 - 0.5 * 0.002)  # of the last bar closed before the touch
    net = (filled_out - filled_in - 0.001 * filled_in - 0.001 * filled_out) / 100.0
    assert got.net[0] == pytest.approx(net, rel=1e-12)

    limit = dataclasses.replace(costs, take_profit_is_market=False)
    got = label(bars, costs=limit, volatility=volatility, tick=0.1)
    net = (102.0 - filled_in - 0.001 * filled_in - 0.0002 * 102.0) / 100.0
    assert got.net[0] == pytest.approx(net, rel=1e-12)


def test_limit_take_profit_must_be_traded_through():
    bars = candles(QUIET, (100.0, 102.0, 99.5, 101.0), QUIET, QUIET, QUIET)
    assert label(bars).reason[0] == PROFIT
    limit = dataclasses.replace(FREE, take_profit_is_market=False)
    assert label(bars, costs=limit, tick=0.1).reason[0] == TIME


@pytest.mark.parametrize(
    ("settled_bar", "pays"),
    [(0, False), (1, False), (2, True), (4, True), (5, False)],
)
def test_settlements_are_paid_by_those_open_at_the_instant(settled_bar, pays):
    """Entry is at the open of bar 1, the time exit at the open of bar 4."""
    bars = candles(*[QUIET] * 7)
    # Another settlement of rate 0 keeps the history without a hole.
    at = settled_bar * bars.interval_ms
    funding = Funding(
        time_ms=np.array([at + 29, at + FUNDING_INTERVAL_MS]), rate=np.array([0.01, 0.0])
    )
    expected = -0.01 if pays else 0.0
    assert label(bars, funding=funding).net[0] == pytest.approx(expected)
    assert label(bars, SHORT, funding=funding).net[0] == pytest.approx(-expected)


def test_barrier_touched_in_the_bar_of_a_settlement_pays_it():
    """The settlement comes with the bar's open, the touch after it."""
    bars = candles(QUIET, QUIET, (100.0, 100.0, 98.0, 99.0), QUIET, QUIET)
    funding = Funding(time_ms=np.array([2 * bars.interval_ms]), rate=np.array([0.01]))
    assert label(bars, funding=funding).net[0] == pytest.approx(-0.02)


def test_flat_funding_settles_every_eight_hours():
    bars = candles(*[QUIET] * 100)
    got = label(bars, funding=FlatFunding(rate=0.001), barriers=Barriers(horizon_bars=96))
    # Held from 00:15 to 00:15 of the next day: 08:00, 16:00 and 24:00.
    assert got.net[0] == pytest.approx(-0.003)


def test_scaled_barriers_use_the_signal_bars_volatility():
    bars = candles(QUIET, QUIET, (100.0, 100.5, 99.5, 100.0), QUIET, QUIET, QUIET)
    barriers = Barriers(profit=4.0, loss=8.0, horizon_bars=3, volatility_scaled=True)
    volatility = np.array([0.001, 9.0, 9.0, 9.0, 9.0, 9.0])
    got = label(bars, barriers=barriers, volatility=volatility)
    assert (got.reason[0], got.exit_index[0]) == (PROFIT, 1)
    assert got.gross[0] == pytest.approx(0.004)


def test_no_events_give_no_labels():
    got = label(candles(QUIET, QUIET), np.empty(0, np.int8), events=np.empty(0, np.int64))
    assert all(getattr(got, field.name).size == 0 for field in dataclasses.fields(Labels))


def test_read_only_and_strided_columns_are_taken():
    """Columns handed over by data-frame libraries are views that may not be written."""
    bars = market(np.random.default_rng(1), 50)
    frozen = bars.close.copy()
    frozen.flags.writeable = False
    views = dataclasses.replace(bars, close=frozen, open=np.repeat(bars.open, 2)[::2])
    events, side = np.arange(50), np.ones(50, np.int8)
    assert same(label(bars, side, events=events), label(views, side, events=events), slice(None))
