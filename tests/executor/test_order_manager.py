"""Orders in doubt: asked for, never sent blindly, and sent once by their name."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from executor.core.events import OrderUpdated
from executor.core.types import (
    CancelIntent,
    Leg,
    OrderIntent,
    OrderStatus,
    Outcome,
    Protect,
)
from executor.errors import (
    FatalError,
    FenceError,
    RateLimitedError,
    RejectedError,
    RetryableError,
    UnknownOutcomeError,
    VenueError,
)
from executor.order_manager import ActionDone, AllSettled, OrderManager, Patience
from tests.support.clocks import FakeClock

CLOSE_MS = 1_735_689_600_000
PATIENCE = Patience(recv_window_ms=5_000, query_interval_ms=1_000, entry_age_ms_max=30_000)
ENTRY = OrderIntent(
    client_order_id=f"tb-BTCUSDT-{CLOSE_MS}-e",
    symbol="BTCUSDT",
    side=1,
    quantity=0.1,
    reduce_only=False,
    reason="entry",
    leg=Leg.ENTRY,
    close_ms=CLOSE_MS,
    reference_price=100.0,
    stop_price=99.0,
)
EXIT = replace(
    ENTRY, client_order_id=f"tb-BTCUSDT-{CLOSE_MS}-x", reduce_only=True, leg=Leg.EXIT, side=-1
)
Answer = VenueError | FenceError | None


@dataclass
class FakeVenue:
    """Answers what it is told; an order it executes is known to queries ``late_s`` after."""

    clock: FakeClock
    answers: list[Answer] = field(default_factory=list)
    executes: list[bool] = field(default_factory=list)
    late_s: float = 0.0
    query_failures: int = 0
    sent: list[tuple[str, float]] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    known_at: dict[str, float] = field(default_factory=dict)

    async def submit(self, intent: OrderIntent) -> str:
        self.sent.append((intent.client_order_id, self.clock.monotonic()))
        answer = self.answers.pop(0) if self.answers else None
        executes = self.executes.pop(0) if self.executes else answer is None
        if executes:
            assert intent.client_order_id not in self.known_at, "a second order"
            self.known_at[intent.client_order_id] = self.clock.monotonic() + self.late_s
        if answer is not None:
            raise answer
        return "v1"

    async def order(self, symbol: str, client_order_id: str) -> OrderUpdated | None:
        now = self.clock.monotonic()
        self.asked.append(now)
        if self.query_failures:
            self.query_failures -= 1
            raise RetryableError("503")
        if now < self.known_at.get(client_order_id, float("inf")):
            return None
        return OrderUpdated(
            client_order_id=client_order_id,
            symbol=symbol,
            status=OrderStatus.FILLED,
            time_ms=1,
            venue_order_id="v1",
        )

    async def _repeat(self, name: str) -> None:
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.done.append(name)

    async def protect(self, protect: Protect) -> None:
        await self._repeat(protect.client_order_id)

    async def cancel(self, cancel: CancelIntent) -> None:
        await self._repeat(cancel.client_order_id)


@dataclass
class Desk:
    """A manager with its venue and everything it reported."""

    venue: FakeVenue
    manager: OrderManager
    reports: list[OrderUpdated | ActionDone | AllSettled]

    def since(self, seconds: float) -> float:
        """Return the moment so long ago."""
        return self.venue.clock.monotonic() - seconds

    async def settle(self) -> list[tuple[OrderStatus, str]]:
        assert await self.manager.wait(5.0)
        return [(r.status, r.reason) for r in self.reports if isinstance(r, OrderUpdated)]


Make = Callable[..., Desk]


@pytest.fixture
def make() -> Make:
    def build(*answers: Answer, **venue: object) -> Desk:
        clock = FakeClock()
        fake = FakeVenue(clock, list(answers), **venue)  # type: ignore[arg-type]
        reports: list[OrderUpdated | ActionDone | AllSettled] = []
        manager = OrderManager(fake, clock, reports.append, PATIENCE)
        manager.newest_close_ms = CLOSE_MS
        return Desk(fake, manager, reports)

    return build


def timeout() -> UnknownOutcomeError:
    return UnknownOutcomeError("timed out")


async def test_an_accepted_order_is_reported_with_the_venues_id(make: Make) -> None:
    desk = make()
    desk.manager.carry_out(Outcome(intents=(ENTRY,)))
    assert desk.manager.in_flight == 1
    assert await desk.settle() == [(OrderStatus.ACCEPTED, "")]
    report = desk.reports[0]
    assert isinstance(report, OrderUpdated)
    assert (report.venue_order_id, report.time_ms) == ("v1", CLOSE_MS)
    assert isinstance(desk.reports[-1], AllSettled)


async def test_a_lost_reply_gives_exactly_one_order(make: Make) -> None:
    desk = make(timeout(), executes=[True])
    desk.manager.carry_out(Outcome(intents=(ENTRY,)))
    assert await desk.settle() == [(OrderStatus.UNKNOWN, "timed out"), (OrderStatus.FILLED, "")]
    assert len(desk.venue.sent) == 1


async def test_an_order_that_arrives_late_is_waited_for(make: Make) -> None:
    """Not found at first: that proves nothing until the request can no longer be accepted."""
    desk = make(timeout(), executes=[True], late_s=5.5)
    desk.manager.carry_out(Outcome(intents=(ENTRY,)))
    assert (await desk.settle())[-1] == (OrderStatus.FILLED, "")
    assert len(desk.venue.sent) == 1


async def test_an_entry_that_never_arrived_is_sent_again_by_the_same_name(make: Make) -> None:
    desk = make(timeout(), executes=[False])
    desk.manager.carry_out(Outcome(intents=(ENTRY,)))
    assert (await desk.settle())[-1] == (OrderStatus.ACCEPTED, "")
    (first, first_at), (second, second_at) = desk.venue.sent
    assert first == second == ENTRY.client_order_id
    assert second_at - first_at > 6.0, "recv_window and a margin were waited out"
    assert desk.venue.asked[-1] - first_at > 6.0, "and the venue was asked after that"


async def test_an_entry_is_not_sent_again_once_a_newer_bar_closed(make: Make) -> None:
    desk = make(timeout(), executes=[False])
    desk.manager.newest_close_ms = CLOSE_MS + 900_000
    desk.manager.carry_out(Outcome(intents=(ENTRY,)))
    assert (await desk.settle())[-1] == (OrderStatus.REJECTED, "never_arrived")
    assert len(desk.venue.sent) == 1


async def test_an_exit_is_sent_again_however_late(make: Make) -> None:
    desk = make(timeout(), timeout(), timeout(), executes=[False, False, False])
    desk.manager.newest_close_ms = CLOSE_MS + 90_000_000
    desk.manager.carry_out(Outcome(intents=(EXIT,)))
    assert (await desk.settle())[-1] == (OrderStatus.ACCEPTED, "")
    assert len(desk.venue.sent) == 4
    assert {name for name, _ in desk.venue.sent} == {EXIT.client_order_id}


async def test_queries_that_fail_decide_nothing(make: Make) -> None:
    desk = make(timeout(), executes=[True], query_failures=20)
    desk.manager.carry_out(Outcome(intents=(ENTRY,)))
    assert (await desk.settle())[-1] == (OrderStatus.FILLED, "")
    assert len(desk.venue.sent) == 1
    assert len(desk.venue.asked) == 21


async def test_a_duplicate_id_means_that_it_arrived_before(make: Make) -> None:
    """Bybit's 110072 comes through ccxt as a refusal; it is a success that was lost."""
    desk = make(RejectedError("duplicate", code="110072"), executes=[True])
    desk.manager.carry_out(Outcome(intents=(ENTRY,)))
    assert await desk.settle() == [(OrderStatus.FILLED, "")]


async def test_a_duplicate_id_on_the_last_try_means_that_it_arrived_before(make: Make) -> None:
    tries: list[Answer] = [RetryableError("clock")] * 3 + [timeout()]
    desk = make(*tries, RejectedError("duplicate", code="110072"), executes=[False] * 3 + [True])
    desk.venue.late_s = 8.0  # the reads lag: it is not shown before it is sent again
    desk.manager.carry_out(Outcome(intents=(EXIT,)))
    assert (await desk.settle())[-1] == (OrderStatus.FILLED, "")
    assert len(desk.venue.sent) == 5


async def test_what_exists_and_is_not_shown_is_left_to_the_next_look(make: Make) -> None:
    desk = make(timeout(), RejectedError("duplicate", code="110072"), executes=[True])
    desk.venue.late_s = 1_000.0
    desk.manager.carry_out(Outcome(intents=(EXIT,)))
    assert await desk.settle() == [(OrderStatus.UNKNOWN, "timed out")]
    desk.venue.clock.pass_s(1_000.0)
    desk.manager.resume(EXIT, desk.since(60.0))
    assert (await desk.settle())[-1] == (OrderStatus.FILLED, "")


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (RejectedError("no money", code="110007"), OrderStatus.REJECTED, "110007"),
        (RejectedError("amount must be greater"), OrderStatus.REJECTED, "amount must be greater"),
        (FatalError("bad key", code="10003"), OrderStatus.REJECTED, "10003"),
        (FenceError("lease has 0 ms left"), OrderStatus.REFUSED, "lease has 0 ms left"),
    ],
)
async def test_a_clear_no_is_final(
    make: Make, answer: Answer, status: OrderStatus, reason: str
) -> None:
    desk = make(answer)
    desk.manager.carry_out(Outcome(intents=(ENTRY,)))
    assert await desk.settle() == [(status, reason)]
    assert len(desk.venue.sent) == 1
    assert bool(desk.manager.fatal) == isinstance(answer, FatalError)


async def test_a_rate_limit_is_waited_out_and_the_order_sent_while_it_is_fresh(
    make: Make,
) -> None:
    desk = make(RateLimitedError("slow down", wait_s=3.0))
    desk.manager.carry_out(Outcome(intents=(ENTRY,)))
    assert await desk.settle() == [(OrderStatus.ACCEPTED, "")]
    stale = make(RateLimitedError("banned", wait_s=600.0))
    stale.manager.carry_out(Outcome(intents=(ENTRY,)))
    stale.manager.newest_close_ms = CLOSE_MS + 900_000
    assert await stale.settle() == [(OrderStatus.REJECTED, "gave_up")]


async def test_an_entry_is_wanted_only_while_it_is_seen_through_and_fresh(make: Make) -> None:
    desk = make(timeout(), executes=[True], late_s=2.0)
    assert not desk.manager.wants(ENTRY.client_order_id), "nobody decided it"
    desk.manager.carry_out(Outcome(intents=(ENTRY, EXIT)), desk.since(29.999))
    assert desk.manager.wants(ENTRY.client_order_id)
    desk.venue.clock.pass_s(0.002)
    assert not desk.manager.wants(ENTRY.client_order_id), "it stood still before it was begun"
    assert desk.manager.wants(EXIT.client_order_id), "an exit is wanted however late"
    await desk.settle()
    assert not desk.manager.wants(EXIT.client_order_id)


async def test_our_own_clock_is_no_reason_to_lose_an_order(make: Make) -> None:
    desk = make(RetryableError("clock", code="10002"))
    desk.manager.carry_out(Outcome(intents=(ENTRY,)))
    assert await desk.settle() == [(OrderStatus.ACCEPTED, "")]


async def test_tries_are_bounded(make: Make) -> None:
    desk = make(*[RetryableError("again") for _ in range(50)])
    desk.manager.carry_out(Outcome(intents=(EXIT,)))
    assert await desk.settle() == [(OrderStatus.REJECTED, "gave_up")]
    assert len(desk.venue.sent) == 5


async def test_after_a_restart_the_venue_is_asked_first(make: Make) -> None:
    desk = make()
    desk.venue.known_at[ENTRY.client_order_id] = 0.0
    desk.manager.resume(ENTRY, desk.since(2.0))
    assert await desk.settle() == [(OrderStatus.FILLED, "")]
    assert desk.venue.sent == []


async def test_after_a_restart_a_fresh_entry_that_was_never_sent_is_sent(make: Make) -> None:
    desk = make()
    desk.manager.resume(ENTRY, desk.since(0.5))
    assert await desk.settle() == [(OrderStatus.ACCEPTED, "")]
    assert desk.venue.sent[0][1] - desk.venue.asked[0] >= 5.0, "a request may still be on its way"


async def test_after_a_long_stop_an_entry_is_given_up(make: Make) -> None:
    desk = make()
    desk.manager.resume(ENTRY, desk.since(31.0))
    assert await desk.settle() == [(OrderStatus.REJECTED, "never_arrived")]
    assert desk.venue.sent == []


async def test_protections_and_cancels_are_repeated_until_they_work(make: Make) -> None:
    protect = Protect(
        client_order_id="s",
        symbol="BTCUSDT",
        side=1,
        stop_price=99.0,
        take_price=0.0,
        reason="x",
    )
    cancel = CancelIntent(symbol="BTCUSDT", client_order_id="c", venue_order_id="", reason="x")
    desk = make(timeout(), RetryableError("503"))
    desk.manager.carry_out(Outcome(protections=(protect,), cancels=(cancel,)))
    assert await desk.manager.wait(5.0)
    assert sorted(desk.venue.done) == ["c", "s"]
    assert {
        (r.kind, r.client_order_id, r.problem) for r in desk.reports if isinstance(r, ActionDone)
    } == {
        ("cancel", "c", ""),
        ("protect", "s", ""),
    }
    refused = make(RejectedError("zero position", code="10001"))
    refused.manager.carry_out(Outcome(protections=(protect,)))
    assert await refused.manager.wait(5.0)
    assert refused.reports[0] == ActionDone(
        kind="protect", client_order_id="s", problem="zero position"
    )


async def test_stops_of_one_symbol_leave_in_their_order_and_an_old_one_is_not_repeated(
    make: Make,
) -> None:
    """Two under way at once could arrive the other way round, and leave the looser one."""
    older = Protect(
        client_order_id="s1", symbol="BTCUSDT", side=1, stop_price=99.0, take_price=0.0, reason="x"
    )
    newer = replace(older, client_order_id="s2", stop_price=99.5)
    other = replace(older, client_order_id="s3", symbol="ETHUSDT")
    desk = make()
    arrived, answered = asyncio.Event(), asyncio.Event()
    sent: list[str] = []

    async def protect(action: Protect) -> None:
        sent.append(action.client_order_id)
        if action is older:
            arrived.set()
            await answered.wait()
            raise UnknownOutcomeError("timed out")

    desk.venue.protect = protect  # type: ignore[method-assign]
    desk.manager.carry_out(Outcome(protections=(older,)))
    await arrived.wait()
    desk.manager.carry_out(Outcome(protections=(newer, other)))
    await asyncio.sleep(0.01)
    assert sent == ["s1", "s3"]
    answered.set()
    assert await desk.manager.wait(5.0)
    assert sent == ["s1", "s3", "s2"]


async def test_exits_leave_before_entries(make: Make) -> None:
    desk = make()
    desk.manager.carry_out(Outcome(intents=(ENTRY, EXIT)))
    await desk.settle()
    assert [name for name, _ in desk.venue.sent] == [EXIT.client_order_id, ENTRY.client_order_id]


async def test_a_stop_leaves_what_is_under_way_to_the_journal(make: Make) -> None:
    desk = make(timeout(), executes=[False], query_failures=10_000)
    desk.manager.carry_out(Outcome(intents=(ENTRY,)))
    assert not await desk.manager.wait(0.02)
    await desk.manager.stop()
    assert desk.manager.in_flight == 0
    assert [r.status for r in desk.reports if isinstance(r, OrderUpdated)] == [OrderStatus.UNKNOWN]


async def test_what_was_reported_is_unsettled_until_it_was_taken_in(make: Make) -> None:
    """A refused order that is looked for before that is known would be sent after all."""
    desk = make(FenceError("lease has 0 ms left"))
    assert not desk.manager.is_unsettled
    desk.manager.carry_out(Outcome(intents=(EXIT,)))
    assert await desk.settle() == [(OrderStatus.REFUSED, "lease has 0 ms left")]
    assert not desk.manager.in_flight
    assert desk.manager.is_unsettled, "nobody has read the report yet"
    desk.manager.settle()
    assert not desk.manager.is_unsettled
    desk.manager.carry_out(Outcome(intents=(ENTRY,)))
    desk.manager.settle()
    assert desk.manager.is_unsettled, "an older report does not settle a newer order"
