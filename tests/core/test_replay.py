"""Replays: deterministic, blind to the future, and paying what the labels say."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from executor.core.bundle import unpack
from executor.core.contract import ExitReason
from executor.core.events import ModelSwapped
from executor.core.params import Guard, Limits, Params, Selector, Session, Sizing, Tuning
from executor.core.recording import Tape
from executor.core.replay import Close, Replayed, closes, replay
from executor.core.state import new_state, restore, save
from executor.core.step import step
from features.costs import Costs
from features.exit_plan import ExitPlan
from features.labels import Barriers, triple_barrier
from features.types import Candles, Funding
from tests.support.bundles import (
    INTERVAL_MS,
    START_MS,
    Market,
    small_bundle,
    small_market,
)
from tests.support.trading import (
    LONG_ROW,
    QUIET_ROW,
    FixedModel,
    instrument,
    model_info,
    parameters,
)

END_MS = START_MS + 10_000 * INTERVAL_MS
FREE = Costs(taker_fee=0.0, maker_fee=0.0, slippage_base=0.0, slippage_volatility=0.0)


def run(
    market: Market, params: Params, *, start_ms: int = START_MS, stop_ms: int = END_MS
) -> Replayed:
    state = new_state(10_000.0, params)
    model = unpack(small_bundle())
    step(state, ModelSwapped(model=model, version="1", time_ms=start_ms), params)
    return replay(closes(market.tapes, start_ms, stop_ms), state, params, step)


def market_params(market: Market, **changes: object) -> Params:
    params = Params(interval_ms=INTERVAL_MS, instruments=market.instruments)
    return replace(params, **changes)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_same_history_gives_the_same_everything_twice() -> None:
    market = small_market()
    params = market_params(market)
    one, other = run(market, params), run(market, params)
    assert repr(one) == repr(other)
    assert len(one.trades) > 50


def test_decisions_do_not_see_what_comes_after() -> None:
    market = small_market()
    params = market_params(market, tuning=Tuning(enabled=False))
    stop_ms = START_MS + 700 * INTERVAL_MS
    short = run(market, params, stop_ms=stop_ms)
    long = run(market, params)
    n = len(short.decisions)
    assert n > 50
    assert repr(short.decisions) == repr(long.decisions[:n])
    assert short.equity == long.equity[: len(short.equity)]


def test_the_end_equity_is_the_start_plus_all_trades_and_what_is_open() -> None:
    market = small_market()
    params = market_params(market)
    state = new_state(10_000.0, params)
    model = unpack(small_bundle())
    step(state, ModelSwapped(model=model, version="1", time_ms=0), params)
    done = replay(closes(market.tapes, START_MS, END_MS), state, params, step)
    still_open = sum(p.realised - p.fees + p.funding for p in state.ledger.positions.values())
    assert done.equity[-1] == pytest.approx(
        10_000.0 + sum(trade.pnl for trade in done.trades) + still_open + state.ledger.unrealised(),
        abs=1e-6,
    )
    assert sum(1 for i in done.intents if not i.reduce_only) == len(done.trades) + len(
        state.ledger.positions
    ) + sum(1 for order in state.active.values() if not order.intent.reduce_only)


def test_a_replay_cut_in_two_by_a_restart_is_the_same_replay() -> None:
    market = small_market()
    params = market_params(market, tuning=Tuning(enabled=False))
    whole = run(market, params)
    model, middle = unpack(small_bundle()), START_MS + 800 * INTERVAL_MS
    state = new_state(10_000.0, params)
    step(state, ModelSwapped(model=model, version="1", time_ms=START_MS), params)
    recorded = list(closes(market.tapes, START_MS, END_MS))
    cut = next(i for i, c in enumerate(recorded) if c.event.close_ms >= middle)
    while state_is_busy(recorded, cut, whole):
        cut += 1  # an order at the simulated venue is not part of the core's memory
    first = replay(recorded[:cut], state, params, step)
    again = restore(save(state), params)
    step(again, ModelSwapped(model=model, version="1", time_ms=middle), params)
    # The venue must know the volatility of the bar before; the core ignores that close.
    second = replay(recorded[cut - 1 :], again, params, step)
    assert repr(first.decisions + second.decisions) == repr(whole.decisions)
    assert first.trades + second.trades == whole.trades


def state_is_busy(recorded: list[Close], cut: int, whole: Replayed) -> bool:
    """Say whether an order was sent at the close before ``cut``."""
    return recorded[cut - 1].event.close_ms in {intent.close_ms for intent in whole.intents}


def tape_of(
    rows: list[tuple[float, float, float, float]],
    signal_at: int,
    symbol: str = "AUSDT",
    funding: Funding | None = None,
) -> Tape:
    """Return a tape of hand-made candles with one long signal."""
    columns = np.array(rows, dtype=np.float64).T
    n = len(rows)
    candles = Candles(
        interval_ms=INTERVAL_MS,
        open_ms=START_MS + INTERVAL_MS * np.arange(n, dtype=np.int64),
        open=columns[0],
        high=columns[1],
        low=columns[2],
        close=columns[3],
        volume=np.full(n, 1e6),
    )
    features = np.array([LONG_ROW if i == signal_at else QUIET_ROW for i in range(n)])
    return Tape(
        symbol=symbol,
        candles=candles,
        features=features,
        volatility=np.full(n, 0.005),
        funding=funding,
    )


def replay_tape(tape: Tape, costs: Costs = FREE, plan: ExitPlan | None = None) -> Replayed:
    symbols = [tape.symbol]
    params = parameters(symbols, costs=costs)
    info = model_info(symbols, exit_plan=plan or ExitPlan())
    state = new_state(10_000.0, params)
    step(state, ModelSwapped(model=FixedModel(info), version="1", time_ms=0), params)
    return replay(closes([tape], START_MS, END_MS), state, params, step)


FLAT = (100.0, 100.2, 99.8, 100.0)


def test_an_entry_fills_at_the_next_open_and_its_barriers_are_measured_from_there() -> None:
    rows = [FLAT, FLAT, (101.0, 101.2, 100.8, 101.0), (101.0, 103.5, 100.9, 103.0), FLAT, FLAT]
    done = replay_tape(tape_of(rows, signal_at=1))
    (trade,) = done.trades
    assert (trade.entry_price, trade.exit_price) == (101.0, pytest.approx(103.02))
    assert trade.opened_ms == START_MS + 2 * INTERVAL_MS
    assert trade.reason == ExitReason.TAKE


def test_the_bar_of_the_entry_can_stop_it() -> None:
    rows = [FLAT, FLAT, (100.0, 100.1, 98.0, 98.5), FLAT, FLAT]
    (trade,) = replay_tape(tape_of(rows, signal_at=1)).trades
    assert (trade.reason, trade.exit_price) == (ExitReason.STOP, 99.0)
    assert trade.opened_ms == trade.closed_ms


def test_a_time_exit_fills_at_the_open_after_the_last_bar_held() -> None:
    rows = [FLAT] * 10 + [(100.4, 100.5, 100.3, 100.4)] * 3
    (trade,) = replay_tape(tape_of(rows, signal_at=1)).trades
    # Signal at bar 1, held over bars 2..9 (eight bars), out at the open of bar 10.
    assert trade.closed_ms == START_MS + 10 * INTERVAL_MS
    assert (trade.reason, trade.exit_price) == (ExitReason.TIME, 100.4)


def test_funding_is_paid_by_who_is_in_at_the_settlement() -> None:
    at = START_MS + INTERVAL_MS * np.array([2, 4, 10], dtype=np.int64)
    funding = Funding(time_ms=at + 7, rate=np.array([0.01, 0.001, 0.01]))
    rows = [FLAT] * 13
    (trade,) = replay_tape(tape_of(rows, signal_at=1, funding=funding)).trades
    # In at the open of bar 2 (after its settlement), out at the open of bar 10 (after its own).
    assert trade.funding == pytest.approx(-trade.quantity * 100.0 * (0.001 + 0.01))


def test_a_partial_rests_from_the_bar_of_the_entry_on() -> None:
    plan = ExitPlan(partial_fraction=0.5, partial_at=0.5, break_even=True)
    rows = [FLAT, FLAT, (100.0, 101.1, 99.9, 101.0), (101.0, 101.1, 99.5, 99.6), FLAT, FLAT]
    (trade,) = replay_tape(tape_of(rows, signal_at=1), plan=plan).trades
    assert trade.exit_price == pytest.approx(0.5 * (101.0 + 100.0), abs=0.05)


def test_a_gap_in_one_symbol_waits_without_stopping_the_others() -> None:
    steady = tape_of([FLAT] * 30, signal_at=3, symbol="AUSDT")
    gappy = tape_of([FLAT] * 30, signal_at=3, symbol="BUSDT")
    keep = np.array([i not in (4, 5) for i in range(30)])
    candles = gappy.candles
    gappy = replace(
        gappy,
        candles=Candles(
            interval_ms=INTERVAL_MS,
            open_ms=candles.open_ms[keep],
            open=candles.open[keep],
            high=candles.high[keep],
            low=candles.low[keep],
            close=candles.close[keep],
            volume=candles.volume[keep],
        ),
        features=gappy.features[keep],
        volatility=gappy.volatility[keep],
    )
    params = parameters(["AUSDT", "BUSDT"], selector=Selector(correlation_max=2.0))
    state = new_state(10_000.0, params)
    model = FixedModel(model_info(["AUSDT", "BUSDT"]))
    step(state, ModelSwapped(model=model, version="1", time_ms=0), params)
    done = replay(closes([gappy, steady], START_MS, END_MS), state, params, step)
    opened = {trade.symbol: trade.opened_ms for trade in done.trades}
    assert opened["AUSDT"] == START_MS + 4 * INTERVAL_MS
    assert opened["BUSDT"] == START_MS + 6 * INTERVAL_MS


def open_gates(market: Market, costs: Costs) -> Params:
    """Return parameters under which every signal of a flat symbol is traded."""
    fine = {
        s: instrument(s, tick=1e-6, lot=1e-9, quantity_min=1e-9, notional_min=0.0)
        for s in market.instruments
    }
    return Params(
        interval_ms=INTERVAL_MS,
        instruments=fine,
        costs=costs,
        limits=Limits(gross_fraction_max=3.0, net_fraction_max=3.0, repeated_entries_max=10**6),
        sizing=Sizing(volatility_target=99.0, beta_fraction_max=99.0),
        selector=Selector(positions_max=99, correlation_max=2.0),
        session=Session(volume_min=0.0),
        guard=Guard(
            daily_loss_max=0.99,
            drawdown_halt=0.99,
            losses_cool_down=0,
            performance_trades=0,
        ),
        tuning=Tuning(enabled=False),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "plan",
    [ExitPlan(), ExitPlan(partial_fraction=0.4, break_even=True, trail=1.0, trail_from=0.5)],
    ids=["barriers", "plan"],
)
def test_every_trade_pays_what_its_label_says(plan: ExitPlan) -> None:
    """The label of the bar at which a trade was decided is the trade's own result."""
    market, costs = small_market(), Costs()
    params = open_gates(market, costs)
    info = model_info(
        [tape.symbol for tape in market.tapes],
        exit_plan=plan,
        signal=unpack(small_bundle()).info.signal,
        feature_names=market.catalog.names,
    )
    info = replace(info, barriers=replace(info.barriers, horizon_bars=24))
    state = new_state(1e6, params)
    step(state, ModelSwapped(model=FixedModel(info), version="1", time_ms=0), params)
    done = replay(closes(market.tapes, START_MS, END_MS), state, params, step)
    assert len(done.trades) > 100
    decided = {i.client_order_id: i.close_ms for i in done.intents}
    for tape in market.tapes:
        trades = [trade for trade in done.trades if trade.symbol == tape.symbol]
        events = [
            int(np.searchsorted(tape.candles.close_ms, decided[trade.entry_id])) for trade in trades
        ]
        labels = triple_barrier(
            tape.candles,
            np.array(events, dtype=np.int64),
            np.array([trade.side for trade in trades], dtype=np.int8),
            Barriers(profit=0.02, loss=0.01, horizon_bars=24),
            costs,
            tape.funding,
            volatility=np.nan_to_num(tape.volatility),
            plan=plan,
            tick=1e-6,
        )
        found = np.array([trade.net_return for trade in trades])
        # A trade's return is per notional entered, a label's per reference notional.
        slipped = [trade.entry_price for trade in trades] / tape.candles.open[np.array(events) + 1]
        assert np.allclose(found * slipped, labels.net, atol=2e-7)
        assert [int(tape.candles.open_ms[i]) for i in labels.exit_index] == [
            trade.closed_ms for trade in trades
        ]


def test_closes_come_in_order_with_every_symbol_of_a_close() -> None:
    market = small_market()
    found = list(closes(market.tapes, START_MS, END_MS))
    times = [close.event.close_ms for close in found]
    assert times == sorted(set(times))
    assert all([b.symbol for b in c.event.bars] == sorted(c.bars) for c in found)
    for earlier, later in pairwise(found[:50]):
        for symbol, bar in earlier.bars.items():
            assert bar.next_open == later.bars[symbol].candle.open


def test_what_is_not_warm_has_no_row() -> None:
    found = next(iter(closes(small_market().tapes, START_MS, END_MS)))
    assert {bar.features is None for bar in found.event.bars} == {True}
