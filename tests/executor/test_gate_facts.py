"""The pre-trade gate is fed with what the process measures: each source, gone bad, stops an entry.

The parts are stand-ins that hold one number each; the facts, the decision core and the gate are the
real ones. The numbers of the checks are those of the reliability note. The reconciler's pace rests
on the same state: it looks more often while something may lie open without a stop.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from executor.core.contract import Refusal
from executor.core.events import BarClosed
from executor.core.model import BarrierSpec
from executor.core.params import DAY_MS
from executor.core.state import Suspicion, TradingState
from executor.core.types import Leg, Order, OrderIntent, OrderStatus
from executor.counters import Counters
from executor.model_changes import ModelChanges
from executor.surroundings import Surroundings
from executor.venue.rows import free_margin
from tests.support.clocks import FakeClock
from tests.support.trading import (
    INTERVAL_MS,
    LONG_ROW,
    START_MS,
    Desk,
    FixedModel,
    bar,
    instrument,
    model_info,
    parameters,
)

BTC = "BTCUSDT"
VERSION = ("ab" * 32, "1")


@dataclass(slots=True)
class Room:
    """Everything around one desk, healthy until a test spoils it."""

    desk: Desk = field(default_factory=Desk)
    lease: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(remaining_ms=lambda: 15_000)
    )
    venue: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(clock_offset_ms=20, free_margin=9_000.0)
    )
    feed: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(
            silent_ms=10, newest_ms=0, last_prices=lambda: {BTC: 100.0}
        )
    )
    orders: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(fatal=""))
    reconciler: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(age_ms=3_000))
    loader: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(accepted={VERSION}))
    row: tuple[float, ...] = LONG_ROW
    next_open: float = 100.0
    late_ms: int = 0

    @property
    def state(self) -> TradingState:
        return self.desk.state

    def surroundings(self) -> Surroundings:
        """Return what surrounds the desk, at the moment of the newest close."""
        desk, parts = self.desk, cast("Any", self)
        models = ModelChanges(
            parts.loader, *[cast("Any", None)] * 4, inbox=asyncio.Queue(), market_ms=lambda: 0
        )
        around = Surroundings(
            clock=FakeClock(desk.close_ms + self.venue.clock_offset_ms + self.late_ms),
            overview=cast("Any", None),
            journal=cast("Any", None),
            lease=parts.lease,
            venue=parts.venue,
            feed=parts.feed,
            lockstep=None,
            inbox=asyncio.Queue(),
            listening=lambda: True,
        )
        trader = cast("Any", SimpleNamespace(state=desk.state))
        around.surround(trader, parts.orders, parts.reconciler, cast("Any", None), models)
        return around

    def decide(self) -> str:
        """Close a bar with a long signal at the wall time of the close; return the verdict."""
        desk = self.desk
        desk.close_ms += INTERVAL_MS
        around = self.surroundings()
        shown = replace(bar(BTC, desk.close_ms, self.row), next_open=self.next_open)
        event = BarClosed(close_ms=desk.close_ms, bars=(shown,))
        outcome = desk.do(replace(event, facts=around.facts(event)))
        (decision,) = outcome.decisions
        counters = Counters()
        counters.note_outcome(outcome)
        refused = {} if outcome.intents else {decision.reason: 1}
        assert (counters.refused, counters.orders) == (refused, len(outcome.intents))
        assert len(outcome.intents) == (decision.verdict == "enter")
        assert [r.reason for r in outcome.refusals] == (
            [] if outcome.intents else [decision.reason]
        )
        return decision.reason


def test_a_healthy_process_enters() -> None:
    assert Room().decide() == "approved"


def limited(**limits: Any) -> Callable[[Room], None]:
    def spoil(room: Room) -> None:
        room.desk.params = replace(
            room.desk.params, limits=replace(room.desk.params.limits, **limits)
        )

    return spoil


def guarded(name: str, value: object) -> Callable[[Room], None]:
    return lambda room: setattr(room.state.guard, name, value)


def part(name: str, **values: object) -> Callable[[Room], None]:
    return lambda room: getattr(room, name).__dict__.update(values)


def instruments(**changes: Any) -> Callable[[Room], None]:
    def spoil(room: Room) -> None:
        room.desk.params = parameters([BTC], instruments={BTC: instrument(BTC, **changes)})

    return spoil


def bad_feature(room: Room) -> None:
    room.row = (*LONG_ROW[:5], math.nan, *LONG_ROW[6:])


def short_row(room: Room) -> None:
    room.row = LONG_ROW[:-1]


def late(room: Room) -> None:
    room.late_ms = 31_000


def dear(room: Room) -> None:
    room.next_open = 101.5


def another_library(room: Room) -> None:
    info = model_info([BTC], library="0.9")
    room.desk = Desk(model=FixedModel(info))


def no_stop(room: Room) -> None:
    barriers = BarrierSpec(profit=0.02, loss=1.0, horizon_bars=8)  # a stop at zero is none
    room.desk = Desk(model=FixedModel(model_info([BTC], barriers=barriers)))


def old_model(room: Room) -> None:
    info = model_info([BTC], trained_until_ms=START_MS - 46 * 86_400_000)
    room.desk = Desk(model=FixedModel(info))


def lost_today(room: Room) -> None:
    guard = room.state.guard
    guard.day, guard.day_equity = (room.desk.close_ms + INTERVAL_MS) // DAY_MS, 11_000.0


def seen_before(room: Room) -> None:
    close_ms = room.desk.close_ms + INTERVAL_MS
    intent = OrderIntent(
        client_order_id=f"tb-{BTC}-{close_ms}-e",
        symbol=BTC,
        side=1,
        quantity=1.0,
        reduce_only=False,
        reason="entry",
        leg=Leg.ENTRY,
        close_ms=close_ms,
        reference_price=100.0,
    )
    room.state.put_order(Order(intent=intent, status=OrderStatus.REJECTED))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(part("lease", remaining_ms=lambda: 5_999), Refusal.LEASE, id="1 lease"),
        pytest.param(part("orders", fatal="key expired"), Refusal.HALTED, id="2 halt"),
        pytest.param(guarded("killed", "killed"), Refusal.HALTED, id="2 kill"),
        pytest.param(part("reconciler", age_ms=60_001), Refusal.NOT_RECONCILED, id="3 reconciled"),
        pytest.param(seen_before, Refusal.DUPLICATE_SIGNAL, id="4 seen"),
        pytest.param(late, Refusal.STALE_SIGNAL, id="4 age"),
        pytest.param(
            part("loader", accepted={(VERSION[0], "2")}),
            Refusal.MODEL_NOT_PROMOTED,
            id="5 another version is the promoted one",
        ),
        pytest.param(
            part("loader", accepted=set()), Refusal.MODEL_NOT_PROMOTED, id="5 never checked"
        ),
        pytest.param(old_model, Refusal.MODEL_TOO_OLD, id="5 age of the model"),
        pytest.param(short_row, Refusal.SCHEMA_MISMATCH, id="6 schema"),
        pytest.param(bad_feature, Refusal.BAD_FEATURE, id="6 not a number"),
        pytest.param(part("feed", silent_ms=5_001), Refusal.STALE_DATA, id="7 data age"),
        pytest.param(dear, Refusal.PRICE_COLLAR, id="8 collar"),
        pytest.param(limited(gross_fraction_max=0.01), Refusal.GROSS_LIMIT, id="10 gross"),
        pytest.param(limited(net_fraction_max=0.01), Refusal.NET_LIMIT, id="10 net"),
        pytest.param(limited(leverage_max=0.01), Refusal.LEVERAGE_LIMIT, id="10 leverage"),
        pytest.param(limited(orders_day_max=0), Refusal.ORDER_RATE, id="12 orders a day"),
        pytest.param(limited(orders_minute_max=0), Refusal.ORDER_RATE, id="12 orders a minute"),
        pytest.param(
            guarded("repeated_latched", {BTC: 1}), Refusal.REPEATED_EXECUTION, id="12 repeated"
        ),
        pytest.param(guarded("peak_equity", 20_000.0), Refusal.HALTED, id="13 drawdown"),
        pytest.param(lost_today, Refusal.DAILY_LOSS, id="13 daily loss"),
        pytest.param(instruments(trading=False), Refusal.INSTRUMENT, id="14 status"),
        pytest.param(instruments(notional_min=1e5), Refusal.NOTIONAL_MIN, id="15 notional"),
        pytest.param(instruments(lot=100.0), Refusal.SIZE_ZERO, id="15 below the lot"),
        pytest.param(no_stop, Refusal.STOP_MISSING, id="16 no stop"),
        pytest.param(limited(stop_distance_max=0.001), Refusal.STOP_DISTANCE, id="16 distance"),
        pytest.param(limited(maintenance_margin=0.33), Refusal.LIQUIDATION, id="16 liquidation"),
        pytest.param(part("venue", free_margin=1.0), Refusal.MARGIN, id="17 margin"),
        pytest.param(part("venue", clock_offset_ms=501), Refusal.CLOCK_OFFSET, id="18 clock"),
        pytest.param(another_library, Refusal.CONFIG_MISMATCH, id="19 versions"),
    ],
)
def test_every_source_that_went_bad_stops_an_entry(
    spoil: Callable[[Room], None], reason: Refusal
) -> None:
    """Checks 9, 10, 11 (the size is cut to them before) and 20 (exits) stand in tests/core."""
    room = Room()
    spoil(room)
    assert room.decide() == reason


def test_the_margin_is_the_account_s_and_unknown_where_it_is_kept_by_position() -> None:
    def reply(available: str) -> dict[str, object]:
        return {"result": {"list": [{"totalAvailableBalance": available, "coin": []}]}}

    assert free_margin(reply("812.5")) == 812.5
    assert free_margin(reply("")) == math.inf


def in_flight(room: Room) -> None:
    room.desk.close({BTC: LONG_ROW})  # the venue has not answered yet


def naked(room: Room) -> None:
    room.desk.enter()


def protected(room: Room) -> None:
    room.desk.enter()
    held = room.state.ledger.positions
    held[BTC] = replace(held[BTC], stop_verified=True)


def to_go(flag: str, value: object) -> Callable[[Room], None]:
    def spoil(room: Room) -> None:
        protected(room)
        guarded(flag, value)(room)

    return spoil


def suspected(room: Room) -> None:
    protected(room)
    room.state.suspicions[BTC] = Suspicion(signature="gone", since_ms=START_MS)


@pytest.mark.parametrize(
    ("spoil", "looks"),
    [
        pytest.param(lambda _: None, False, id="flat"),
        pytest.param(in_flight, True, id="an entry may have been executed"),
        pytest.param(naked, True, id="no stop was seen"),
        pytest.param(protected, False, id="its stop was seen"),
        pytest.param(suspected, True, id="a difference counts once it is seen again"),
        pytest.param(to_go("killed", "asked"), True, id="held after a kill"),
        pytest.param(to_go("flattening", True), True, id="held after a flatten"),
        pytest.param(guarded("killed", "asked"), False, id="killed and flat"),
    ],
)
def test_the_venue_is_looked_at_more_often_while_something_may_lie_open(
    spoil: Callable[[Room], None], *, looks: bool
) -> None:
    room = Room()
    spoil(room)
    assert room.surroundings().is_at_risk() is looks
