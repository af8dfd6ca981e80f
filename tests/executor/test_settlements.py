"""Funding settlements live: waited for where one is due, NaN where unknown, never an old one."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from executor.errors import RetryableError
from executor.market.settlements import FOLLOW_ANSWERS, HOUR_MS, TRIES, Settlements
from tests.support.clocks import FakeClock

QUARTER_MS = 900_000
EIGHT_MS = 8 * HOUR_MS
PAST = [(n * EIGHT_MS + 7, 0.0001 * n) for n in range(1, 10)]  # the venue stamps 7 ms late
DUE_MS = 10 * EIGHT_MS
NEW = (DUE_MS + 3, -0.0042)


class Venue:
    """Lists ``rows``, and ``later`` from the given call on; some calls fail."""

    def __init__(self) -> None:
        self.rows = list(PAST)
        self.later: dict[int, tuple[int, float]] = {}
        self.failing: range = range(0)
        self.calls = 0
        self.announced = dict[str, int]()
        self.schedule_calls = 0
        self.silent = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def next_settlements(self) -> dict[str, int]:
        self.schedule_calls += 1
        if self.silent:
            raise RetryableError("timeout")
        return self.announced

    async def funding(self, symbol: str, start_ms: int) -> list[tuple[int, float]]:
        await self.answers.wait()
        number, self.calls = self.calls, self.calls + 1
        if number in self.failing:
            raise RetryableError("timeout")
        self.rows += [row for call, row in self.later.items() if call == number]
        return [row for row in self.rows if row[0] >= start_ms]


class Desk:
    """Settlements of one symbol whose history is loaded and whose bars up to DUE_MS came out."""

    def __init__(self) -> None:
        self.venue = Venue()
        self.clock = FakeClock()
        self.tasks: list[asyncio.Task[None]] = []
        self.woken: list[tuple[bool, bool]] = []  # may bars go on, is it certain
        self.awake = asyncio.Event()
        self.anew = 0
        self.settlements = Settlements(
            self.venue,
            self.clock,
            pause_s=2.0,
            begin=self._begin,
            wake=self._wake,
            make_anew=self._make_anew,
        )

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    def _wake(self) -> None:
        known = self.settlements.known("A", DUE_MS + QUARTER_MS)
        self.woken.append((known, self.settlements.is_sure("A")))
        self.awake.set()

    async def _make_anew(self, symbol: str) -> None:
        assert not self.settlements.is_sure(symbol)
        self.anew += 1
        self.settlements.made_anew(symbol)

    async def load(self) -> Settlements:
        await self.settlements.load("A", HOUR_MS)
        rate = self.settlements.rate("A", DUE_MS - QUARTER_MS, DUE_MS)
        assert rate is None  # what is due at the close is the next bar's
        self.venue.calls = 0
        return self.settlements

    async def until_idle(self) -> None:
        while self.tasks:
            await self.tasks.pop(0)

    def next_rate(self) -> float | None:
        return self.settlements.rate("A", DUE_MS, DUE_MS + QUARTER_MS)


async def test_a_bar_waits_for_the_settlement_that_is_due_in_it() -> None:
    desk = Desk()
    settlements = await desk.load()
    desk.venue.later = {3: NEW}
    assert not settlements.known("A", DUE_MS + QUARTER_MS)
    await desk.until_idle()
    assert desk.woken == [(True, True)]
    assert desk.clock.sleeps[:3] == [2.0, 2.0, 2.0]
    assert desk.next_rate() == NEW[1]
    assert settlements.rate("A", DUE_MS + QUARTER_MS, DUE_MS + 2 * QUARTER_MS) is None
    assert settlements.is_sure("A")


async def test_the_opening_tick_asks_before_the_bar_closes() -> None:
    desk = Desk()
    settlements = await desk.load()
    desk.venue.rows.append(NEW)
    settlements.see("A", DUE_MS)
    settlements.see("A", DUE_MS + 60_000)
    await desk.until_idle()
    assert settlements.known("A", DUE_MS + QUARTER_MS)
    assert desk.clock.sleeps == [5.0, 60.0]
    assert desk.venue.calls == 2  # some seconds after the hour, and once more a minute later
    assert desk.next_rate() == NEW[1]


async def test_a_bar_that_waits_asks_at_once() -> None:
    desk = Desk()
    settlements = await desk.load()
    desk.venue.rows.append(NEW)
    settlements.see("A", DUE_MS)
    assert not settlements.known("A", DUE_MS + QUARTER_MS)
    assert not settlements.known("A", DUE_MS + QUARTER_MS)
    await desk.awake.wait()
    assert desk.venue.calls == 1
    assert desk.next_rate() == NEW[1]
    await desk.until_idle()
    assert desk.venue.calls == 2


async def test_where_none_is_due_one_answer_is_enough() -> None:
    desk = Desk()
    settlements = await desk.load()
    desk.venue.rows.append(NEW)
    close_ms = DUE_MS + HOUR_MS + QUARTER_MS
    assert not settlements.known("A", close_ms)
    await desk.until_idle()
    assert settlements.known("A", close_ms)
    assert 2.0 not in desk.clock.sleeps


async def test_bars_that_came_out_in_the_warm_up_are_not_asked_about() -> None:
    desk = Desk()
    settlements = await desk.load()
    assert settlements.known("A", DUE_MS)
    assert settlements.known("B", DUE_MS + QUARTER_MS)  # a symbol without history has no bars
    assert desk.venue.calls == 0


async def test_bars_go_on_in_doubt_until_the_venue_has_long_denied_it() -> None:
    desk = Desk()
    settlements = await desk.load()
    settlements.see("A", DUE_MS)
    await desk.until_idle()
    assert desk.woken == [(True, False)]
    assert desk.clock.sleeps == [5.0] + [2.0] * TRIES + [60.0] * FOLLOW_ANSWERS
    assert settlements.is_sure("A")
    assert desk.anew == 0
    assert desk.next_rate() is None


async def test_one_that_comes_in_doubt_but_before_its_bar_is_used() -> None:
    desk = Desk()
    settlements = await desk.load()
    desk.venue.later = {TRIES + 2: NEW}
    settlements.see("A", DUE_MS)
    await desk.until_idle()
    assert desk.woken == [(True, False)]
    assert settlements.is_sure("A")
    assert desk.anew == 0
    assert desk.next_rate() == NEW[1]


async def test_one_that_comes_after_its_bar_makes_the_stream_anew() -> None:
    desk = Desk()
    settlements = await desk.load()
    desk.venue.later = {TRIES + 2: NEW}
    settlements.see("A", DUE_MS)
    await desk.awake.wait()
    assert desk.next_rate() is None
    assert not settlements.is_sure("A")
    await desk.until_idle()
    assert desk.anew == 1
    assert settlements.is_sure("A")
    assert desk.next_rate() == NEW[1]  # what the new stream is told


async def test_one_that_no_rhythm_foretold_is_found_a_minute_later() -> None:
    desk = Desk()
    settlements = await desk.load()
    desk.venue.rows.append(NEW)
    hour_ms = DUE_MS + HOUR_MS
    settlements.see("A", hour_ms)
    await desk.awake.wait()
    assert settlements.rate("A", hour_ms, hour_ms + 60_000) is None
    desk.venue.later = {desk.venue.calls: (hour_ms, 0.01)}
    await desk.until_idle()
    assert desk.anew == 1
    assert settlements.rate("A", hour_ms, hour_ms + 60_000) == 0.01


async def test_questions_that_fail_are_asked_again_and_then_leave_a_doubt() -> None:
    desk = Desk()
    settlements = await desk.load()
    desk.venue.rows.append(NEW)
    desk.venue.failing = range(4)
    settlements.see("A", DUE_MS)
    await desk.until_idle()
    assert desk.woken == [(True, True)]

    desk = Desk()
    settlements = await desk.load()
    desk.venue.rows.append(NEW)
    desk.venue.failing = range(TRIES + 30)
    settlements.see("A", DUE_MS)
    await desk.until_idle()
    assert desk.woken == [(True, False)]
    assert desk.clock.sleeps.count(60.0) == 31  # a failure is no denial
    assert settlements.is_sure("A")


async def test_bars_wait_a_minute_at_most_for_a_venue_that_does_not_answer() -> None:
    desk = Desk()
    settlements = await desk.load()
    desk.venue.rows.append(NEW)
    desk.venue.answers.clear()
    close_ms = DUE_MS + QUARTER_MS
    assert not settlements.known("A", close_ms)
    await asyncio.sleep(0)
    desk.clock.pass_s(59.0)
    assert not settlements.known("A", close_ms)
    desk.clock.pass_s(2.0)
    assert settlements.known("A", close_ms)
    assert not settlements.is_sure("A")
    assert desk.next_rate() is None
    desk.venue.answers.set()
    await desk.until_idle()
    assert desk.anew == 1
    assert settlements.is_sure("A")
    assert desk.next_rate() == NEW[1]


async def test_an_outage_over_two_settlements_ends_with_both() -> None:
    desk = Desk()
    settlements = await desk.load()
    both = [NEW, (DUE_MS + EIGHT_MS + 5, 0.003)]
    desk.venue.failing = range(TRIES)
    settlements.see("A", DUE_MS)
    settlements.see("A", DUE_MS + EIGHT_MS)
    desk.venue.rows += both
    await desk.until_idle()
    assert settlements.known("A", DUE_MS + EIGHT_MS + QUARTER_MS)
    assert desk.next_rate() == NEW[1]
    after_ms = DUE_MS + EIGHT_MS
    assert settlements.rate("A", after_ms, after_ms + QUARTER_MS) == both[1][1]


async def test_a_new_listing_has_no_rhythm_to_wait_for() -> None:
    desk = Desk()
    desk.venue.rows = []
    await desk.settlements.load("A", DUE_MS)
    assert not desk.settlements.known("A", DUE_MS + QUARTER_MS)
    await desk.until_idle()
    assert desk.woken == [(True, True)]
    assert desk.next_rate() is None


async def test_bars_without_an_announced_settlement_cost_nothing() -> None:
    desk = Desk()
    desk.venue.announced = {"A": DUE_MS + EIGHT_MS}
    settlements = await desk.load()
    close_ms = DUE_MS + EIGHT_MS
    for hour in range(1, 9):
        settlements.see("A", DUE_MS + hour * HOUR_MS - 1)
        assert settlements.known("A", DUE_MS + hour * HOUR_MS)
    assert settlements.known("A", close_ms)
    assert (desk.venue.calls, desk.tasks) == (0, [])
    assert not settlements.known("A", close_ms + QUARTER_MS), "this one holds the settlement"


async def test_an_announced_settlement_is_waited_for_whatever_the_rhythm_says() -> None:
    """The venue went from eight hours to one and said so."""
    desk = Desk()
    changed_ms = DUE_MS + HOUR_MS
    desk.venue.rows.append(NEW)
    desk.venue.announced = {"A": changed_ms + 7}
    settlements = await desk.load()
    desk.venue.later = {4: (changed_ms + 7, 0.002)}
    assert not settlements.known("A", changed_ms + QUARTER_MS)
    desk.venue.announced = {"A": changed_ms + HOUR_MS}
    await desk.until_idle()
    assert desk.woken[-1] == (True, True)
    assert desk.clock.sleeps == [2.0] * 4
    assert settlements.rate("A", changed_ms, changed_ms + QUARTER_MS) == 0.002
    assert settlements.known("A", changed_ms + HOUR_MS), "nothing is due before the next one"
    assert desk.anew == 0


async def test_one_call_announces_for_all_symbols_of_an_hour() -> None:
    desk = Desk()
    desk.venue.announced = {"A": DUE_MS, "B": DUE_MS}
    settlements = await desk.load()
    await settlements.load("B", HOUR_MS)
    assert desk.venue.schedule_calls == 1
    desk.venue.rows.append(NEW)
    desk.venue.announced = {"A": DUE_MS + EIGHT_MS, "B": DUE_MS + EIGHT_MS}
    for symbol in ("A", "B"):
        assert not settlements.known(symbol, DUE_MS + QUARTER_MS)
    await desk.until_idle()
    assert desk.venue.schedule_calls == 2
    for symbol in ("A", "B"):
        assert settlements.known(symbol, DUE_MS + EIGHT_MS)


async def test_where_the_announcements_cannot_be_read_every_hour_is_asked_about() -> None:
    desk = Desk()
    desk.venue.silent = True
    settlements = await desk.load()
    desk.venue.rows.append(NEW)
    for hour in range(3):
        close_ms = DUE_MS + hour * HOUR_MS + QUARTER_MS
        assert not settlements.known("A", close_ms)
        await desk.until_idle()
        assert settlements.known("A", close_ms)
    assert desk.next_rate() == NEW[1]


async def test_an_announcement_that_moves_while_one_is_owed_does_not_hide_it() -> None:
    """Listed late: the venue already announces the next one."""
    desk = Desk()
    desk.venue.announced = {"A": DUE_MS}
    settlements = await desk.load()
    watching = asyncio.get_running_loop().create_task(settlements.watch())
    assert not settlements.known("A", DUE_MS + QUARTER_MS)
    desk.venue.announced = {"A": DUE_MS + EIGHT_MS}
    desk.venue.later = {TRIES + 3: NEW}
    await desk.until_idle()
    watching.cancel()
    assert desk.woken[0] == (True, False)
    assert desk.next_rate() == NEW[1]
    assert settlements.is_sure("A")


async def test_a_changed_announcement_is_noticed_while_nothing_happens() -> None:
    desk = Desk()
    desk.venue.announced = {"A": DUE_MS + EIGHT_MS}
    settlements = await desk.load()
    watching = asyncio.get_running_loop().create_task(settlements.watch())
    desk.venue.announced = {"A": DUE_MS + HOUR_MS}
    await asyncio.wait([watching], timeout=0.05)
    watching.cancel()
    assert desk.venue.schedule_calls >= 2
    assert settlements.known("A", DUE_MS + HOUR_MS)
    assert not settlements.known("A", DUE_MS + HOUR_MS + QUARTER_MS)
    await desk.until_idle()
