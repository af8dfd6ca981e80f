"""Stops that move: where the market has passed one already, no venue takes it as a stop."""

from dataclasses import replace
from typing import Any

import pytest

from executor.core.contract import ExitReason, NoticeCode, Verdict
from executor.core.decide import is_passed
from executor.core.events import BarClosed, VenuePosition, VenueSnapshot
from executor.core.types import Leg, OrderStatus, Outcome, Position
from features.exit_plan import ExitPlan
from tests.support.trading import (
    INTERVAL_MS,
    LONG_ROW,
    SHORT_ROW,
    Desk,
    FixedModel,
    bar,
    model_info,
)

BTC = "BTCUSDT"
TRAILING = ExitPlan(trail=0.5, trail_from=0.25)  # half of 1 %, once 0.5 % of the way is seen


def entered(side: int = 1) -> Desk:
    """Return a desk with a position at 100 that trails by 0.5."""
    desk = Desk(model=FixedModel(model_info([BTC], exit_plan=TRAILING)))
    (intent,) = desk.close({BTC: LONG_ROW if side > 0 else SHORT_ROW}).intents
    desk.fill(intent)
    return desk


def bar_with(desk: Desk, *, high: float, low: float, next_open: float) -> Outcome:
    desk.close_ms += INTERVAL_MS
    shown = replace(bar(BTC, desk.close_ms, high=high, low=low), next_open=next_open)
    return desk.do(BarClosed(close_ms=desk.close_ms, bars=(shown,)))


def held(desk: Desk) -> Position:
    return desk.state.ledger.positions[BTC]


@pytest.mark.parametrize(
    ("side", "high", "low", "next_open"),
    [(1, 101.5, 100.0, 100.9), (1, 101.5, 100.0, 101.0), (-1, 100.0, 98.5, 99.1)],
    ids=["a long opens below", "a long opens at it", "a short opens above"],
)
def test_a_moved_stop_that_the_next_bar_opens_beyond_is_an_exit_there(
    side: int, high: float, low: float, next_open: float
) -> None:
    desk = entered(side)
    resting = held(desk).stop_price
    outcome = bar_with(desk, high=high, low=low, next_open=next_open)
    assert outcome.protections == ()
    (intent,) = outcome.intents
    assert (intent.reduce_only, intent.leg, intent.reason) == (True, Leg.EXIT, ExitReason.STOP)
    assert (intent.side, intent.quantity) == (-side, held(desk).quantity)
    assert (intent.price, intent.reference_price) == (0.0, next_open)
    assert [(d.verdict, d.reason) for d in outcome.decisions] == [(Verdict.EXIT, ExitReason.STOP)]
    assert held(desk).stop_price == resting  # what rests at the venue stays until we are out
    (trade,) = desk.fill(intent, next_open).trades
    assert (trade.reason, trade.exit_price) == (ExitReason.STOP, next_open)


def test_a_moved_stop_with_room_is_set_and_leaves_the_take_alone() -> None:
    desk = entered()
    (moved,) = bar_with(desk, high=101.5, low=100.0, next_open=101.2).protections
    assert (moved.stop_price, moved.take_price) == (101.0, 0.0)


def test_an_exit_that_came_to_nothing_is_asked_for_again_at_the_next_close() -> None:
    desk = entered()
    (first,) = bar_with(desk, high=101.5, low=100.0, next_open=100.9).intents
    desk.end(first, OrderStatus.REJECTED, 0)
    (again,) = bar_with(desk, high=100.9, low=100.5, next_open=100.6).intents
    assert again.client_order_id != first.client_order_id


def test_while_the_exit_is_on_its_way_the_stop_is_left_alone() -> None:
    desk = entered()
    bar_with(desk, high=101.5, low=100.0, next_open=100.9)
    later = bar_with(desk, high=103.0, low=100.5, next_open=102.9)
    assert (later.intents, later.protections) == ((), ())


@pytest.mark.parametrize("price", [float("nan")])
def test_an_unknown_price_has_passed_nothing(price: float) -> None:
    assert not is_passed(1, 100.0, price)
    assert not is_passed(-1, 100.0, price)


# ---- what the venue shows ----


def shown(desk: Desk, **changes: Any) -> VenuePosition:
    ours = held(desk)
    there = VenuePosition(
        symbol=BTC,
        side=ours.side,
        quantity=ours.quantity,
        entry_price=100.0,
        stop_price=ours.stop_price,
        take_price=ours.take_price,
        mark_price=100.0,
    )
    return replace(there, **changes)


def look(desk: Desk, time_ms: int, **changes: Any) -> Outcome:
    return desk.do(
        VenueSnapshot(
            time_ms=time_ms,
            wallet_balance=10_000.0,
            positions=(shown(desk, **changes),),
            orders=(),
        )
    )


def test_a_stop_that_the_market_has_passed_is_no_longer_asked_for() -> None:
    desk = entered()
    outcome = look(desk, 1, stop_price=95.0, mark_price=98.9)  # ours is 99
    assert outcome.protections == ()
    assert [n.code for n in outcome.notices] == [NoticeCode.NAKED_POSITION]
    assert [(i.reason, i.reduce_only) for i in outcome.intents] == [(ExitReason.STOP, True)]


def test_a_stop_that_never_comes_to_rest_is_asked_for_five_times_and_then_we_leave() -> None:
    """Time stands still in an accelerated market: the count ends it, not the clock."""
    desk = entered()
    for _ in range(5):
        assert len(look(desk, 1, stop_price=95.0).protections) == 1
    outcome = look(desk, 1, stop_price=95.0)
    assert outcome.protections == ()
    assert [(i.reason, i.reduce_only) for i in outcome.intents] == [(ExitReason.NAKED, True)]
    (notice,) = outcome.notices
    assert "5 requests" in notice.text


def test_a_stop_that_came_to_rest_ends_the_count() -> None:
    desk = entered()
    for _ in range(5):
        look(desk, 1, stop_price=95.0)
    look(desk, 1)
    assert held(desk).protect_tries == 0
    assert len(look(desk, 1, stop_price=95.0).protections) == 1


def test_a_missing_take_that_the_market_has_passed_is_left_out() -> None:
    desk = entered()
    beyond = look(desk, 1, stop_price=0.0, take_price=0.0, mark_price=102.5)
    before = look(desk, 1, stop_price=0.0, take_price=0.0, mark_price=101.0)
    assert [p.take_price for p in (*beyond.protections, *before.protections)] == [0.0, 102.0]


def test_an_exit_that_got_a_part_is_followed_at_once_by_one_for_the_rest() -> None:
    desk = entered()
    (first,) = bar_with(desk, high=101.5, low=100.0, next_open=100.9).intents
    part = round(first.quantity / 2, 3)
    desk.fill(first, 100.9, part)
    (rest,) = desk.end(first, OrderStatus.CANCELED, 40, part).intents
    assert rest.client_order_id != first.client_order_id
    assert (rest.side, rest.reduce_only, rest.leg) == (first.side, True, first.leg)
    assert rest.quantity == held(desk).quantity == pytest.approx(first.quantity - part)
    assert desk.end(first, OrderStatus.CANCELED, 41, part).intents == (), "told twice"
    (trade,) = desk.fill(rest, 100.8).trades
    assert (trade.reason, trade.exit_price) == (ExitReason.STOP, pytest.approx(100.85, abs=0.01))


def test_what_is_left_of_an_exit_is_not_known_before_its_executions_are() -> None:
    desk = entered()
    (first,) = bar_with(desk, high=101.5, low=100.0, next_open=100.9).intents
    part = round(first.quantity / 2, 3)
    desk.fill(first, 100.9, part / 2)
    assert desk.end(first, OrderStatus.CANCELED, 40, part).intents == ()
    assert desk.fill(first, 100.9, part / 2).intents == ()
