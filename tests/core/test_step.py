"""Scenarios through the one door: what goes in, what is wanted, what is recorded."""

import json
import math
from dataclasses import replace

import pytest

from executor.core.contract import ExitReason, NoticeCode, Refusal, Verdict
from executor.core.events import (
    Command,
    GateFacts,
    HistoryLoaded,
    ModelSwapped,
    OrderUpdated,
    Tick,
    VenueSnapshot,
)
from executor.core.model import SymbolCoverage
from executor.core.params import Guard, Limits, Selector, Session, Sizing
from executor.core.state import restore, save
from executor.core.types import FillKind, Leg, OrderStatus
from features.errors import InputError
from features.exit_plan import ExitPlan
from tests.support.trading import (
    GOOD,
    INTERVAL_MS,
    LONG_ROW,
    QUIET_ROW,
    SHORT_ROW,
    START_MS,
    Desk,
    FixedModel,
    instrument,
    model_info,
    parameters,
)

BTC = "BTCUSDT"
ETH = "ETHUSDT"


def reasons(outcome: object) -> list[str]:
    return [refused.reason for refused in outcome.refusals]  # type: ignore[attr-defined]


def test_a_quiet_bar_wants_nothing_and_leaves_no_record() -> None:
    outcome = Desk().close()
    assert outcome.intents == outcome.decisions == outcome.refusals == ()


def test_a_good_signal_becomes_an_entry_with_stop_and_take_of_the_next_open() -> None:
    desk = Desk()
    outcome = desk.close({BTC: LONG_ROW}, {BTC: 100.0})
    (intent,) = outcome.intents
    assert (intent.side, intent.reduce_only, intent.price) == (1, False, 0.0)
    assert (intent.stop_price, intent.take_price) == (99.0, 102.0)
    assert intent.client_order_id == f"tb-BTCUSDT-{START_MS + INTERVAL_MS}-e"
    assert 0.0 < intent.quantity * 100.0 <= 0.10 * 10_000.0
    (decision,) = outcome.decisions
    assert (decision.verdict, decision.reason) == (Verdict.ENTER, "approved")
    assert (decision.probability, decision.client_order_id) == (0.6, intent.client_order_id)
    assert decision.regime == "up/normal"


def test_a_short_signal_is_protected_above() -> None:
    (intent,) = Desk().close({BTC: SHORT_ROW}).intents
    assert (intent.side, intent.stop_price, intent.take_price) == (-1, 101.0, 98.0)


def test_the_take_closes_the_trade_and_the_books_agree() -> None:
    desk = Desk()
    intent = desk.enter(price=100.1)
    outcome = desk.execute(
        symbol=BTC, side=-1, quantity=intent.quantity, price=102.0, kind=FillKind.TAKE, fee=0.5
    )
    (trade,) = outcome.trades
    assert trade.reason == ExitReason.TAKE
    assert trade.pnl == pytest.approx((102.0 - 100.1) * intent.quantity - 0.5)
    assert trade.entry_id == intent.client_order_id
    assert trade.probability == 0.6
    assert desk.state.equity() == pytest.approx(10_000.0 + trade.pnl)
    assert desk.state.ledger.positions == {}


def test_a_time_barrier_exits_by_a_reduce_only_order_of_the_last_bar_held() -> None:
    desk = Desk()
    entry = desk.enter()
    for _ in range(7):
        assert desk.close().intents == ()
    (intent,) = desk.close().intents
    assert intent.close_ms == entry.close_ms + 8 * INTERVAL_MS
    assert (intent.side, intent.reduce_only, intent.reason) == (-1, True, ExitReason.TIME)
    assert desk.close().intents == ()  # in flight: not sent twice
    (trade,) = desk.fill(intent).trades
    assert trade.reason == ExitReason.TIME


def test_an_exit_that_the_venue_rejected_is_asked_for_again_under_a_new_id() -> None:
    desk = Desk()
    desk.enter()
    for _ in range(7):
        desk.close()
    (first,) = desk.close().intents
    desk.do(
        OrderUpdated(
            client_order_id=first.client_order_id,
            symbol=BTC,
            status=OrderStatus.REJECTED,
            time_ms=desk.close_ms,
        )
    )
    (second,) = desk.close().intents
    assert second.client_order_id != first.client_order_id
    assert second.reduce_only


def test_the_same_fill_twice_is_booked_once() -> None:
    desk = Desk()
    (intent,) = desk.close({BTC: LONG_ROW}).intents
    desk.fill(intent)
    desk._fills -= 1  # the venue sends the same execution again
    desk.fill(intent)
    assert desk.state.ledger.positions[BTC].quantity == intent.quantity


def test_a_bar_that_is_not_after_the_last_is_ignored() -> None:
    desk = Desk()
    desk.close()
    desk.close_ms -= INTERVAL_MS
    outcome = desk.close({BTC: LONG_ROW})
    assert outcome.intents == ()
    assert [notice.code for notice in outcome.notices] == [NoticeCode.STALE_BAR]


@pytest.mark.parametrize(
    ("symbols", "reason"),
    [
        ({}, Refusal.UNTRAINED_SYMBOL),
        ({BTC: SymbolCoverage(history_days=3.0, coverage=1.0)}, Refusal.SHORT_HISTORY),
        ({BTC: SymbolCoverage(history_days=300.0, coverage=0.5)}, Refusal.SHORT_HISTORY),
    ],
)
def test_untrained_and_short_symbols_are_blocked(
    symbols: dict[str, SymbolCoverage], reason: Refusal
) -> None:
    desk = Desk(model=FixedModel(replace(model_info([]), symbols=symbols)))
    assert reasons(desk.close({BTC: LONG_ROW})) == [reason]


@pytest.mark.parametrize("column", [4, 6, 7])
def test_a_nan_feature_is_refused(column: int) -> None:
    row = list(LONG_ROW)
    row[column] = math.nan
    outcome = Desk().close({BTC: row})
    assert outcome.intents == ()
    if column != 4:  # the signal itself reads column 4: NaN there is no signal
        assert reasons(outcome) == [Refusal.BAD_FEATURE]


def test_a_row_of_another_schema_is_refused() -> None:
    assert reasons(Desk().close({BTC: (*LONG_ROW, 1.0)})) == [Refusal.SCHEMA_MISMATCH]


def test_a_symbol_that_is_not_warm_is_left_alone() -> None:
    outcome = Desk().close({BTC: None})
    assert (outcome.intents, outcome.refusals) == ((), ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"expected_net": 0.0001}, Refusal.EXPECTED_VALUE),
        ({"standard_error": math.nan}, Refusal.NO_ECONOMICS),
        ({"second_moment": math.nan}, Refusal.NO_ECONOMICS),
        ({"probability": math.nan, "expected_net": math.nan}, Refusal.NO_ECONOMICS),
    ],
)
def test_without_a_proven_edge_nothing_is_sent(change: dict[str, float], reason: Refusal) -> None:
    model = FixedModel(model_info([BTC]), default=replace(GOOD, **change))
    assert reasons(Desk(model=model).close({BTC: LONG_ROW})) == [reason]


def test_a_wild_and_a_quiet_market_are_filtered() -> None:
    wild = (0.05, *LONG_ROW[1:])
    still = (0.0001, *LONG_ROW[1:])
    assert reasons(Desk().close({BTC: wild})) == [Refusal.REGIME]
    assert reasons(Desk().close({BTC: still})) == [Refusal.REGIME]


def test_outside_the_active_hours_a_signal_needs_half_as_much_volume_again() -> None:
    def volume_is_enough(hour: int, ratio: float) -> bool:
        params = parameters([BTC], session=Session(volume_min=1.0, quiet_factor=1.5))
        desk = Desk(params=params)
        desk.close_ms = START_MS + hour * 3_600_000
        for _ in range(40):
            desk.close()
        rows = desk.state.closes.rows
        rows[-1] = (rows[-1][0], rows[-1][1], {BTC: 1e6})
        # The next bar's volume is 1e6: make the earlier ones smaller so that it is `ratio` times.
        for i, (time_ms, closes, _) in enumerate(rows):
            rows[i] = (time_ms, closes, {BTC: 1e6 / ratio})
        return reasons(desk.close({BTC: LONG_ROW})) != [Refusal.SESSION_VOLUME]

    # 40 bars after 14:00 it is 00:00 (active); 40 bars after 00:00 it is 10:00 (not active).
    assert volume_is_enough(14, 1.2)
    assert not volume_is_enough(0, 1.2)
    assert volume_is_enough(0, 2.0)


def test_one_position_a_symbol() -> None:
    desk = Desk()
    desk.enter()
    assert reasons(desk.close({BTC: LONG_ROW})) == [Refusal.POSITION_OPEN]


def test_an_entry_in_flight_counts_as_a_position() -> None:
    desk = Desk()
    assert len(desk.close({BTC: LONG_ROW}).intents) == 1
    assert reasons(desk.close({BTC: LONG_ROW})) == [Refusal.POSITION_OPEN]


def test_the_best_ideas_come_first_and_the_rest_find_no_room() -> None:
    symbols = ["AUSDT", "BUSDT", "CUSDT"]
    params = parameters(symbols, selector=Selector(positions_max=2, correlation_max=2.0))
    answers = {"CUSDT": replace(GOOD, expected_net=0.009)}
    model = FixedModel(model_info(symbols), answers=answers)
    outcome = Desk(symbols, params=params, model=model).close(dict.fromkeys(symbols, LONG_ROW))
    assert [intent.symbol for intent in outcome.intents] == ["CUSDT", "AUSDT"]
    assert reasons(outcome) == [Refusal.POSITIONS_MAX]


def test_the_order_in_which_symbols_arrive_changes_nothing() -> None:
    symbols = ["AUSDT", "BUSDT", "CUSDT", "DUSDT"]
    rows = dict.fromkeys(symbols, LONG_ROW)
    one = Desk(symbols).close(rows)
    other_desk = Desk(symbols)
    other_desk.symbols = tuple(reversed(symbols))
    other = other_desk.close(rows)
    assert one.intents == other.intents
    assert one.refusals == other.refusals


def test_what_moves_together_counts_as_one_bet_too_many() -> None:
    symbols = ["AUSDT", "BUSDT", "CUSDT"]
    selector = Selector(positions_max=9, correlation_max=0.6, correlated_positions_max=2)
    desk = Desk(symbols, params=parameters(symbols, selector=selector))
    outcome = desk.close(dict.fromkeys(symbols, LONG_ROW))
    assert len(outcome.intents) == 2
    assert reasons(outcome) == [Refusal.CORRELATION]
    hedge = Desk(symbols, params=parameters(symbols, selector=selector))
    rows = {"AUSDT": LONG_ROW, "BUSDT": LONG_ROW, "CUSDT": SHORT_ROW}
    assert len(hedge.close(rows).intents) == 3


def test_a_lot_too_large_for_the_account_is_refused_not_rounded_up() -> None:
    params = parameters([BTC], instruments={BTC: instrument(BTC, lot=100.0, quantity_min=100.0)})
    assert reasons(Desk(params=params).close({BTC: LONG_ROW})) == [Refusal.SIZE_ZERO]


def test_below_the_venue_minimum_is_refused() -> None:
    params = parameters([BTC], instruments={BTC: instrument(BTC, notional_min=1e6)})
    assert reasons(Desk(params=params).close({BTC: LONG_ROW})) == [Refusal.NOTIONAL_MIN]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (GateFacts(lease_margin_ms=100), Refusal.LEASE),
        (GateFacts(halted_outside=True), Refusal.HALTED),
        (GateFacts(reconciled_age_ms=61_000), Refusal.NOT_RECONCILED),
        (GateFacts(data_age_ms=5_001), Refusal.STALE_DATA),
        (GateFacts(clock_offset_ms=-501), Refusal.CLOCK_OFFSET),
        (GateFacts(model_promoted=False), Refusal.MODEL_NOT_PROMOTED),
        (GateFacts(config_matches=False), Refusal.CONFIG_MISMATCH),
        (GateFacts(mark_prices={BTC: 102.0}), Refusal.PRICE_COLLAR),
        (GateFacts(free_margin=1.0), Refusal.MARGIN),
    ],
)
def test_facts_of_the_outside_stop_an_entry_but_never_an_exit(
    facts: GateFacts, reason: Refusal
) -> None:
    desk = Desk()
    assert reasons(desk.close({BTC: LONG_ROW}, facts=facts)) == [reason]
    desk.enter()
    for _ in range(7):
        desk.close(facts=facts)
    assert len(desk.close(facts=facts).intents) == 1


def test_an_old_model_does_not_enter() -> None:
    info = model_info([BTC], trained_until_ms=START_MS - 46 * 86_400_000)
    assert reasons(Desk(model=FixedModel(info)).close({BTC: LONG_ROW})) == [Refusal.MODEL_TOO_OLD]


def test_no_model_no_entry() -> None:
    desk = Desk()
    desk.do(ModelSwapped(model=None, version="", time_ms=desk.close_ms))
    assert desk.close({BTC: LONG_ROW}).intents == ()


def test_a_model_for_other_bars_is_not_taken() -> None:
    desk = Desk()
    other = FixedModel(model_info([BTC], interval_ms=60_000))
    outcome = desk.do(ModelSwapped(model=other, version="2", time_ms=desk.close_ms))
    assert "stays" in outcome.notices[0].text
    assert desk.state.model is desk.model


# ---- guards ---


def test_the_daily_loss_latches_until_the_next_day() -> None:
    desk = Desk()
    entry = desk.enter()
    desk.execute(symbol=BTC, side=-1, quantity=entry.quantity, price=1.0, kind=FillKind.STOP)
    outcome = desk.close({BTC: LONG_ROW})
    assert NoticeCode.DAILY_LOSS in [notice.code for notice in outcome.notices]
    assert reasons(outcome) == [Refusal.DAILY_LOSS]
    desk.close_ms = START_MS + 86_400_000
    assert len(desk.close({BTC: LONG_ROW}).intents) == 1


def test_the_drawdown_halt_waits_for_a_person() -> None:
    limits = Limits(position_fraction_max=0.9, gross_fraction_max=3.0, net_fraction_max=3.0)
    params = parameters([BTC], limits=limits, guard=Guard(drawdown_halt=0.05, daily_loss_max=0.9))
    desk = Desk(params=params)
    entry = desk.enter()
    desk.execute(symbol=BTC, side=-1, quantity=entry.quantity, price=1.0, kind=FillKind.STOP)
    desk.close()
    desk.close_ms += 3 * 86_400_000
    assert reasons(desk.close({BTC: LONG_ROW})) == [Refusal.HALTED]
    desk.do(Command(name="reset", time_ms=desk.close_ms, who="ann"))
    assert len(desk.close({BTC: LONG_ROW}).intents) == 1


def test_losses_in_a_row_cool_down() -> None:
    desk = Desk(params=parameters([BTC], guard=Guard(losses_cool_down=2, cool_down_bars=3)))
    for _ in range(2):
        entry = desk.enter()
        desk.execute(symbol=BTC, side=-1, quantity=entry.quantity, price=99.0, kind=FillKind.STOP)
    refused = [reasons(desk.close({BTC: LONG_ROW})) for _ in range(2)]
    assert refused == [[Refusal.COOL_DOWN]] * 2
    assert len(desk.close({BTC: LONG_ROW}).intents) == 1


def test_two_losses_halve_the_risk() -> None:
    def notional_after(losses: int) -> float:
        params = parameters(
            [BTC],
            limits=Limits(position_fraction_max=1.0, gross_fraction_max=3.0, net_fraction_max=3.0),
            guard=Guard(losses_cool_down=0),
            sizing=Sizing(volatility_target=9.0, beta_fraction_max=9.0),
        )
        desk = Desk(params=params, model=FixedModel(model_info([BTC], kelly_q90=1.0)))
        for _ in range(losses):
            entry = desk.enter()
            desk.execute(
                symbol=BTC, side=-1, quantity=entry.quantity, price=100.0, kind=FillKind.STOP
            )
        (intent,) = desk.close({BTC: LONG_ROW}).intents
        return intent.quantity * intent.reference_price

    assert notional_after(2) == pytest.approx(0.5 * notional_after(0), rel=0.01)


def test_kill_flattens_cancels_and_stays() -> None:
    desk = Desk([BTC, ETH])
    desk.enter(BTC)
    (waiting,) = desk.close({ETH: LONG_ROW}).intents
    outcome = desk.do(Command(name="kill", time_ms=desk.close_ms + 5, who="ann"))
    assert [cancel.client_order_id for cancel in outcome.cancels] == [waiting.client_order_id]
    (exit_,) = outcome.intents
    assert (exit_.symbol, exit_.reduce_only, exit_.reason) == (BTC, True, ExitReason.KILL)
    # The cancelled entry fills all the same: it must go at once.
    (late,) = desk.fill(waiting).intents
    assert (late.symbol, late.reduce_only) == (ETH, True)
    desk.fill(exit_)
    desk.fill(late)
    assert desk.state.ledger.positions == {}
    assert reasons(desk.close({BTC: LONG_ROW})) == [Refusal.HALTED]
    desk.do(Command(name="resume", time_ms=desk.close_ms))
    assert reasons(desk.close({BTC: LONG_ROW})) == [Refusal.HALTED]
    desk.do(Command(name="reset", time_ms=desk.close_ms))
    assert len(desk.close({BTC: LONG_ROW}).intents) == 1


def test_a_flatten_goes_on_until_all_is_flat_and_then_no_longer() -> None:
    desk = Desk()
    desk.enter()
    held = desk.state.ledger.positions[BTC].quantity
    (first,) = desk.do(Command(name="flatten", time_ms=desk.close_ms + 5)).intents
    desk.fill(first, 100.0, round(held / 2, 3))
    (second,) = desk.end(first, OrderStatus.CANCELED, 11).intents
    assert (second.reduce_only, second.reason) == (True, ExitReason.FLATTEN)
    assert second.quantity == pytest.approx(held - round(held / 2, 3))
    desk.end(second, OrderStatus.CANCELED, 12)
    (third,) = desk.do(Tick(now_ms=desk.close_ms + 3_000)).intents
    desk.fill(third)
    desk.close()
    assert desk.state.guard.flattening, "until the venue says it, too"
    time_ms = desk.close_ms + 5_000
    desk.do(VenueSnapshot(time_ms=time_ms, wallet_balance=10_000.0, positions=(), orders=()))
    assert not desk.state.guard.flattening
    desk.execute(symbol=BTC, side=1, quantity=1.0, price=100.0)
    assert desk.do(Tick(now_ms=desk.close_ms + 6_000)).intents == (), "opened by hand, later"


@pytest.mark.parametrize("name", ["kill", "flatten"])
def test_what_a_start_learns_of_after_a_kill_or_a_flatten_goes_as_well(name: str) -> None:
    """A start obeys before it knows what is held: the last process held it in its own journal."""
    desk = Desk()
    assert desk.do(Command(name=name, time_ms=desk.close_ms + 5)).intents == ()
    assert desk.state.guard.flattening
    desk.execute(symbol=BTC, side=1, quantity=2.0, price=100.0)
    (exit_,) = desk.state.active.values()
    assert (exit_.intent.leg, exit_.intent.side, exit_.intent.quantity) == (Leg.KILL, -1, 2.0)
    assert exit_.intent.reduce_only


def test_a_kill_asks_again_when_its_exit_came_to_nothing() -> None:
    desk = Desk()
    desk.enter()
    (first,) = desk.do(Command(name="kill", time_ms=desk.close_ms + 5)).intents
    assert desk.do(Tick(now_ms=desk.close_ms + 10)).intents == ()
    outcome = desk.end(first, OrderStatus.REJECTED, 11)
    assert outcome.intents == (), "what got nothing is not asked for in a loop"
    (second,) = desk.do(Tick(now_ms=desk.close_ms + 12)).intents
    assert second.client_order_id != first.client_order_id


def test_pause_holds_entries_and_resume_lets_them_go() -> None:
    desk = Desk()
    desk.do(Command(name="pause", time_ms=desk.close_ms))
    assert reasons(desk.close({BTC: LONG_ROW})) == [Refusal.PAUSED]
    desk.do(Command(name="resume", time_ms=desk.close_ms))
    assert len(desk.close({BTC: LONG_ROW}).intents) == 1


def test_set_takes_all_values_or_none() -> None:
    desk = Desk()
    good = {"momentum_threshold": 0.01, "volume_weight": 0.1}
    desk.do(Command(name="set", time_ms=1, arguments={**good, "volume_weight": 99.0}))
    assert desk.state.adaptive()["momentum_threshold"] == 0.008
    desk.do(Command(name="set", time_ms=1, arguments=good))
    assert desk.state.adaptive()["momentum_threshold"] == 0.01
    assert len(desk.state.adaptive()) == 6


@pytest.mark.parametrize("price", [math.nan, math.inf, 0.0, -5.0])
def test_a_bar_without_a_price_enters_nothing_and_leaves_the_books_alone(price: float) -> None:
    desk = Desk([BTC, ETH])
    desk.enter(ETH)
    outcome = desk.close({BTC: LONG_ROW}, {BTC: price, ETH: price})
    assert reasons(outcome) == [Refusal.PRICE_COLLAR]
    assert desk.state.equity() == pytest.approx(10_000.0)


def test_an_account_that_lost_everything_does_not_trade() -> None:
    desk = Desk(params=parameters([BTC], guard=Guard(drawdown_halt=2.0, daily_loss_max=2.0)))
    desk.state.ledger.cash = 0.0
    assert reasons(desk.close({BTC: LONG_ROW})) == [Refusal.MARGIN]


@pytest.mark.parametrize("name", ["tick", "lot", "leverage_max", "quantity_max"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_an_instrument_that_cannot_be_traded_is_refused_when_made(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        instrument(BTC, **{name: value})


# ---- fills nobody expected ---


def test_a_fill_by_hand_is_adopted_and_said() -> None:
    """Its stop is not touched before a look at the venue shows whether it has one."""
    desk = Desk()
    outcome = desk.execute(symbol=BTC, side=1, quantity=1.0, price=100.0)
    assert [notice.code for notice in outcome.notices] == [NoticeCode.UNKNOWN_FILL]
    assert outcome.protections == ()
    position = desk.state.ledger.positions[BTC]
    assert (position.stop_price, position.take_price) == (99.0, 102.0)
    assert not position.stop_verified


def test_a_stop_that_finds_no_position_opens_none() -> None:
    desk = Desk()
    outcome = desk.execute(symbol=BTC, side=-1, quantity=1.0, price=99.0, kind=FillKind.STOP)
    assert desk.state.ledger.positions == {}
    assert [notice.code for notice in outcome.notices] == [NoticeCode.UNKNOWN_FILL]


def test_partial_entry_fills_make_one_position_with_the_average_price() -> None:
    desk = Desk()
    (intent,) = desk.close({BTC: LONG_ROW}).intents
    half = round(intent.quantity / 2, 3)
    desk.fill(intent, 100.0, half)
    desk.fill(intent, 101.0, round(intent.quantity - half, 3))
    position = desk.state.ledger.positions[BTC]
    assert position.quantity == intent.quantity
    assert 100.0 < position.entry_price < 101.0
    assert (position.stop_price, position.entry_id) == (99.0, intent.client_order_id)


# ---- exit plans ---


def test_partial_take_profit_then_break_even_then_trailing() -> None:
    plan = ExitPlan(
        partial_fraction=0.4, partial_at=0.5, break_even=True, trail=1.0, trail_from=0.9
    )
    info = model_info([BTC], exit_plan=plan)
    desk = Desk(model=FixedModel(info))
    (intent,) = desk.close({BTC: LONG_ROW}).intents
    (partial,) = desk.fill(intent).intents
    assert (partial.reduce_only, partial.price, partial.side) == (True, 101.0, -1)
    assert partial.quantity <= 0.4 * intent.quantity
    desk.fill(partial, 101.0)
    assert desk.state.ledger.positions[BTC].quantity == pytest.approx(
        0.6 * intent.quantity, abs=0.001
    )
    (moved,) = desk.close(prices={BTC: 101.1}).protections
    assert moved.stop_price == 100.0
    outcome = desk.close(prices={BTC: 101.9})
    (trailed,) = outcome.protections
    assert [(d.verdict, d.stop_price) for d in outcome.decisions] == [
        (Verdict.ADJUST, trailed.stop_price)
    ]
    assert trailed.stop_price == pytest.approx(100.9)
    assert desk.close(prices={BTC: 101.0}).protections == ()  # never wider
    outcome = desk.execute(
        symbol=BTC,
        side=-1,
        quantity=desk.state.ledger.positions[BTC].quantity,
        price=100.9,
        kind=FillKind.STOP,
    )
    (trade,) = outcome.trades
    assert trade.gross == pytest.approx(
        1.0 * partial.quantity + 0.9 * (intent.quantity - partial.quantity)
    )


def test_a_stopped_position_takes_its_resting_partial_with_it() -> None:
    plan = ExitPlan(partial_fraction=0.4)
    desk = Desk(model=FixedModel(model_info([BTC], exit_plan=plan)))
    (intent,) = desk.close({BTC: LONG_ROW}).intents
    (partial,) = desk.fill(intent).intents
    outcome = desk.execute(
        symbol=BTC, side=-1, quantity=intent.quantity, price=99.0, kind=FillKind.STOP
    )
    assert [c.client_order_id for c in outcome.cancels] == [partial.client_order_id]


# ---- memory ---


def test_a_restored_state_decides_as_the_one_that_was_saved() -> None:
    symbols = [BTC, ETH]
    desk = Desk(symbols)
    for i in range(120):
        desk.close(prices={BTC: 100.0 + i % 7, ETH: 100.0 + i % 5})
    desk.enter(BTC)
    desk.close({ETH: LONG_ROW})
    data = json.loads(json.dumps(save(desk.state)))
    twin = Desk(symbols, model=desk.model)
    twin.state = restore(data, twin.params)
    twin.close_ms = desk.close_ms
    twin.do(ModelSwapped(model=desk.model, version="1", time_ms=desk.close_ms))
    assert save(twin.state) == save(desk.state)
    for rows in ({BTC: LONG_ROW, ETH: SHORT_ROW}, {}, {ETH: LONG_ROW}):
        one, other = desk.close(rows), twin.close(rows)
        assert one.decisions == other.decisions or repr(one.decisions) == repr(other.decisions)
        assert one.intents == other.intents


def test_a_state_of_another_format_is_refused() -> None:
    desk = Desk()
    with pytest.raises(ValueError, match="format"):
        restore({**save(desk.state), "format": 99}, desk.params)


def test_history_fills_the_memories_without_deciding() -> None:
    desk, other = Desk(), Desk()
    for _ in range(50):
        desk.close({BTC: QUIET_ROW})
    outcome = other.do(HistoryLoaded(closes=tuple(desk.state.recent)))
    assert outcome.intents == ()
    assert other.state.closes.rows == desk.state.closes.rows
    assert len(other.state.recent) == 50
    assert other.state.close_ms == 0
