"""The ledger against the venue: adopt, drop, resize, protect, cancel, by the stated policy."""

from dataclasses import replace

import pytest

from executor.core.contract import ExitReason, NoticeCode
from executor.core.events import Command, Tick, VenueOrder, VenuePosition, VenueSnapshot
from executor.core.params import Reconcile
from executor.core.reconcile import Action, differences, shown, unseen
from executor.core.state import save
from executor.core.types import OrderStatus
from tests.support.trading import LONG_ROW, Desk, parameters

BTC = "BTCUSDT"
HELD = VenuePosition(
    symbol=BTC,
    side=1,
    quantity=2.0,
    entry_price=100.0,
    stop_price=99.0,
    take_price=102.0,
    mark_price=100.5,
)
ORDER = VenueOrder(
    symbol=BTC,
    client_order_id="somebody",
    venue_order_id="v1",
    side=1,
    quantity=1.0,
    filled_quantity=0.0,
    price=90.0,
    reduce_only=False,
)


def snapshot(
    time_ms: int,
    *positions: VenuePosition,
    orders: tuple[VenueOrder, ...] = (),
    wallet: float = 10_000.0,
) -> VenueSnapshot:
    return VenueSnapshot(time_ms=time_ms, wallet_balance=wallet, positions=positions, orders=orders)


def codes(outcome: object) -> list[str]:
    return [notice.code for notice in outcome.notices]  # type: ignore[attr-defined]


def matching(desk: Desk) -> VenuePosition:
    """Return the venue's view of the desk's position, protected."""
    ours = desk.state.ledger.positions[BTC]
    return replace(
        HELD,
        quantity=ours.quantity,
        side=ours.side,
        stop_price=ours.stop_price,
        take_price=ours.take_price,
    )


def reconciled(symbols: tuple[str, ...] = (BTC,)) -> Desk:
    desk = Desk(symbols)
    desk.do(snapshot(1))
    return desk


def test_an_unchanged_picture_changes_nothing_a_decision_looks_at() -> None:
    desk = reconciled()
    desk.enter()
    desk.do(snapshot(2, matching(desk)))
    before = save(desk.state)
    outcome = desk.do(snapshot(10_002, matching(desk)))
    assert outcome.notices == outcome.intents == outcome.protections == outcome.cancels == ()
    assert save(desk.state) == before
    assert desk.state.ledger.positions[BTC].stop_verified


def test_at_the_start_a_position_is_adopted_at_once_and_protected() -> None:
    desk = Desk()
    outcome = desk.do(snapshot(1, replace(HELD, stop_price=0.0, take_price=0.0)))
    assert codes(outcome) == [NoticeCode.ADOPTED]
    position = desk.state.ledger.positions[BTC]
    assert (position.origin, position.side, position.quantity) == ("exchange", 1, 2.0)
    (wanted,) = outcome.protections
    assert wanted.stop_price == pytest.approx(100.5 * 0.99, abs=0.01)
    assert wanted.take_price == pytest.approx(100.5 * 1.02, abs=0.01)


def test_an_adopted_position_keeps_the_prices_it_has() -> None:
    desk = Desk()
    outcome = desk.do(snapshot(1, HELD))
    assert outcome.protections == ()
    position = desk.state.ledger.positions[BTC]
    assert (position.stop_price, position.take_price) == (99.0, 102.0)
    assert desk.state.equity() == pytest.approx(10_000.0 + 0.5 * 2.0)


def test_a_policy_of_flattening_closes_what_it_does_not_know() -> None:
    desk = Desk(params=parameters([BTC], reconcile=Reconcile(adopt_unknown=False)))
    (intent,) = desk.do(snapshot(1, HELD)).intents
    assert (intent.side, intent.quantity, intent.reduce_only) == (-1, 2.0, True)
    assert intent.reason == ExitReason.FLATTEN


def test_later_a_difference_must_be_seen_twice() -> None:
    desk = reconciled()
    assert codes(desk.do(snapshot(10_000, HELD))) == []
    assert codes(desk.do(snapshot(14_999, HELD))) == []
    assert codes(desk.do(snapshot(15_000, HELD))) == [NoticeCode.ADOPTED]


def test_a_flatten_waits_for_what_only_the_venue_shows() -> None:
    desk = reconciled()
    desk.do(Command(name="flatten", time_ms=5_000))
    desk.do(snapshot(10_000, HELD))  # to be seen once more before it counts
    assert desk.state.guard.flattening
    desk.do(snapshot(15_000, HELD))
    (exit_,) = desk.do(Tick(now_ms=15_001)).intents
    assert (exit_.quantity, exit_.reduce_only, exit_.reason) == (2.0, True, ExitReason.FLATTEN)


def test_a_difference_that_went_away_is_forgotten() -> None:
    desk = reconciled()
    desk.do(snapshot(10_000, HELD))
    desk.do(snapshot(15_000))
    assert codes(desk.do(snapshot(20_000, HELD))) == []


def test_what_is_in_flight_is_no_difference() -> None:
    desk = reconciled()
    (intent,) = desk.close({BTC: LONG_ROW}).intents
    there = replace(HELD, quantity=intent.quantity)
    for time_ms in (10_000, 20_000, 30_000):
        assert codes(desk.do(snapshot(time_ms, there))) == []
    desk.fill(intent)
    assert codes(desk.do(snapshot(40_000, matching(desk)))) == []


def test_a_position_closed_elsewhere_is_dropped_with_a_trade() -> None:
    desk = reconciled()
    desk.enter()
    desk.do(snapshot(10_000))
    outcome = desk.do(snapshot(20_000))
    assert codes(outcome) == [NoticeCode.DROPPED]
    (trade,) = outcome.trades
    assert trade.reason == ExitReason.OUTSIDE
    assert desk.state.ledger.positions == {}
    assert desk.state.trade_count == 1


@pytest.mark.parametrize("factor", [2.0, 1.0, 0.4])
def test_an_entry_that_meets_what_somebody_opened_the_other_way_closes_it(factor: float) -> None:
    """In part, whole, or with something left over: its own reason is no reason of an end."""
    desk = Desk()
    (entry,) = desk.close({BTC: LONG_ROW}).intents
    desk.execute(symbol=BTC, side=-1, quantity=factor * entry.quantity, price=100.0)
    outcome = desk.execute(
        symbol=BTC,
        side=1,
        quantity=entry.quantity,
        price=100.0,
        client_order_id=entry.client_order_id,
        reduce_only=factor >= 1.0,
    )
    held = desk.state.ledger.positions.get(BTC)
    signed = held.side * held.quantity if held is not None else 0.0
    assert signed == pytest.approx(entry.quantity * (1.0 - factor))
    ended = [ExitReason.OUTSIDE] if factor <= 1.0 else []
    assert [trade.reason for trade in outcome.trades] == ended
    if factor < 1.0 and held is not None:
        assert held.entry_id == entry.client_order_id, "what is left is ours, by its plan"


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_resized_position_follows_the_venue_and_keeps_its_plan(factor: float) -> None:
    desk = reconciled()
    desk.enter()
    ours = desk.state.ledger.positions[BTC]
    there = replace(matching(desk), quantity=round(ours.quantity * factor, 3))
    desk.do(snapshot(10_000, there))
    assert codes(desk.do(snapshot(20_000, there))) == [NoticeCode.RESIZED]
    now = desk.state.ledger.positions[BTC]
    assert now.quantity == there.quantity
    assert (now.entry_id, now.deadline_ms) == (ours.entry_id, ours.deadline_ms)


def test_a_flipped_position_is_dropped_and_adopted() -> None:
    desk = reconciled()
    desk.enter()
    there = replace(HELD, side=-1, stop_price=0.0, take_price=0.0)
    desk.do(snapshot(10_000, there))
    outcome = desk.do(snapshot(20_000, there))
    assert codes(outcome) == [NoticeCode.DROPPED, NoticeCode.ADOPTED]
    assert desk.state.ledger.positions[BTC].side == -1
    assert outcome.protections[0].stop_price > 100.0


def test_a_missing_stop_is_asked_for_at_once_and_the_position_closed_if_it_stays_away() -> None:
    desk = reconciled()
    desk.enter()
    naked = replace(matching(desk), stop_price=0.0)
    outcome = desk.do(snapshot(10_000, naked))
    assert codes(outcome) == [NoticeCode.STOP_MISSING]
    assert outcome.protections[0].stop_price == 99.0
    assert len(desk.do(snapshot(15_000, naked)).protections) == 1
    outcome = desk.do(snapshot(40_000, naked))
    assert codes(outcome) == [NoticeCode.NAKED_POSITION]
    (intent,) = outcome.intents
    assert (intent.reason, intent.reduce_only) == (ExitReason.NAKED, True)
    assert desk.do(snapshot(45_000, naked)).intents == ()  # already on its way


def test_a_stop_that_came_back_ends_the_count() -> None:
    desk = reconciled()
    desk.enter()
    naked = replace(matching(desk), stop_price=0.0)
    desk.do(snapshot(10_000, naked))
    desk.do(snapshot(15_000, matching(desk)))
    assert desk.do(snapshot(50_000, naked)).intents == ()


def test_a_looser_stop_is_tightened_and_a_closer_one_is_followed() -> None:
    desk = reconciled()
    desk.enter()
    loose = replace(matching(desk), stop_price=95.0)
    assert desk.do(snapshot(10_000, loose)).protections[0].stop_price == 99.0
    desk.do(snapshot(20_000, replace(matching(desk), stop_price=99.5)))
    assert desk.state.ledger.positions[BTC].stop_price == 99.5


def test_orders_that_are_not_ours_are_cancelled_and_stops_are_left_alone() -> None:
    desk = reconciled()
    stop = replace(ORDER, venue_order_id="v2", protective=True)
    assert desk.do(snapshot(10_000, orders=(ORDER, stop))).cancels == ()
    outcome = desk.do(snapshot(20_000, orders=(ORDER, stop)))
    assert [cancel.venue_order_id for cancel in outcome.cancels] == ["v1"]
    assert codes(outcome) == [NoticeCode.ORPHAN_ORDER]


def test_an_open_order_of_ours_is_known() -> None:
    desk = reconciled()
    (intent,) = desk.close({BTC: LONG_ROW}).intents
    ours = replace(ORDER, client_order_id=intent.client_order_id)
    for time_ms in (10_000, 20_000):
        assert desk.do(snapshot(time_ms, orders=(ours,))).cancels == ()


def test_orders_of_ours_rest_or_are_looked_for() -> None:
    desk = reconciled()
    (intent,) = desk.close({BTC: LONG_ROW}).intents
    ours = replace(ORDER, client_order_id=intent.client_order_id, filled_quantity=0.5)
    rests, gone = snapshot(10_000, orders=(ORDER, ours)), snapshot(10_000, orders=(ORDER,))
    (word,) = shown(desk.state.active, rests)
    assert (word.client_order_id, word.status) == (intent.client_order_id, OrderStatus.ACCEPTED)
    assert (word.venue_order_id, word.filled_quantity, word.time_ms) == ("v1", 0.5, 10_000)
    assert unseen(desk.state.active, rests) == []
    assert shown(desk.state.active, gone) == []
    assert [order.intent for order in unseen(desk.state.active, gone)] == [intent]
    desk.do(word)
    assert shown(desk.state.active, rests) == [], "what is known is no news"


def test_a_wallet_that_moves_without_a_reason_is_said_once() -> None:
    desk = reconciled()
    assert codes(desk.do(snapshot(10_000, wallet=10_019.0))) == []  # within tolerance
    assert codes(desk.do(snapshot(20_000, wallet=9_000.0))) == [NoticeCode.BALANCE_MISMATCH]
    assert codes(desk.do(snapshot(30_000, wallet=9_000.0))) == []
    assert desk.state.equity() == 10_000.0  # sizes never come from the wallet


def test_the_diff_itself_is_pure_and_ordered() -> None:
    both = snapshot(1, replace(HELD, symbol="ZUSDT"), replace(HELD, symbol="AUSDT"))
    found = differences({}, {}, both, Reconcile())
    assert [(d.symbol, d.action) for d in found] == [
        ("AUSDT", Action.ADOPT),
        ("ZUSDT", Action.ADOPT),
    ]
    assert differences({}, {}, snapshot(1), Reconcile()) == ()


@pytest.mark.parametrize(
    ("theirs", "asked", "ours"), [(0.0, 99.0, 99.0), (98.0, 99.0, 99.0), (99.5, None, 99.5)]
)
def test_the_stop_of_a_position_opened_by_hand_is_never_loosened(
    theirs: float, asked: float | None, ours: float
) -> None:
    desk = Desk()
    desk.execute(symbol=BTC, side=1, quantity=2.0, price=100.0)
    outcome = desk.do(snapshot(1, replace(HELD, stop_price=theirs)))
    assert [one.stop_price for one in outcome.protections] == ([asked] if asked else [])
    assert desk.state.ledger.positions[BTC].stop_price == ours


def test_a_stop_that_the_market_has_long_passed_protects_nothing() -> None:
    """A venue may fill it in part and leave its price standing."""
    desk = Desk()
    desk.do(snapshot(1, HELD))
    beyond = replace(HELD, mark_price=98.9)
    for time_ms in (10_000, 15_000, 19_999):
        assert desk.do(snapshot(time_ms, beyond)).intents == ()
    outcome = desk.do(snapshot(20_000, beyond))
    (intent,) = outcome.intents
    assert (intent.reduce_only, intent.quantity, intent.side) == (True, 2.0, -1)
    assert intent.reason == ExitReason.STOP
    assert NoticeCode.NAKED_POSITION in codes(outcome)
    assert desk.do(snapshot(25_000, beyond)).intents == (), "one exit at a time"


def test_a_market_that_came_back_over_the_stop_is_forgiven() -> None:
    desk = Desk()
    desk.do(snapshot(1, HELD))
    desk.do(snapshot(10_000, replace(HELD, mark_price=98.9)))
    desk.do(snapshot(15_000, HELD))
    assert desk.do(snapshot(20_000, replace(HELD, mark_price=98.9))).intents == ()
