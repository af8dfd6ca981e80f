"""Error recovery: retries, breakers and pacing, on a clock that the test turns."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from executor.errors import (
    BreakerOpenError,
    FenceError,
    RateLimitedError,
    RejectedError,
    RetryableError,
)
from executor.paper.limits import ADDRESS_REQUESTS, ADDRESS_WINDOW_MS
from executor.settings.sections import Recovery, Venue
from executor.venue import lean_ccxt
from executor.venue.breaker import Breaker, Bucket, Circuit
from executor.venue.calls import Calls
from executor.venue.client import Seam, build, configuration
from tests.support.clocks import FakeClock

ccxt = lean_ccxt.errors()
FAST = Recovery(backoff_first_ms=10, backoff_most_ms=10, calls_second=1_000.0)


async def _nothing() -> None:
    return None


class Endpoint:
    """Answers with the failures it is given, then well."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return "well"


def down(count: int) -> list[Exception]:
    return [ccxt.NetworkError("away") for _ in range(count)]


async def test_a_query_is_asked_again_a_few_times_and_the_rest_is_counted() -> None:
    calls = Calls(_nothing, FakeClock(), FAST)
    endpoint = Endpoint(*down(3))
    assert await calls.query("wallet", endpoint) == "well"
    assert (endpoint.asked, calls.made["wallet"], calls.failed["wallet"]) == (4, 4, 3)
    assert (calls.failed_row, calls.by_class["RetryableError"]) == (0, 3)
    rejected = Endpoint(ccxt.BadRequest('{"retCode":10001}'))
    with pytest.raises(RejectedError):
        await calls.query("wallet", rejected)
    assert rejected.asked == 1, "who said no is not asked again"


async def test_a_group_is_left_alone_after_five_failures_and_tried_after_a_while() -> None:
    clock = FakeClock()
    calls = Calls(_nothing, clock, FAST)
    for _ in range(5):
        with pytest.raises(Exception, match="away"):
            await calls.change("order", Endpoint(*down(1)))
    assert calls.states()["entries"] is Circuit.OPEN
    entry = Endpoint()
    with pytest.raises(FenceError, match="60 s more"):
        await calls.change("order", entry)
    assert entry.asked == 0, "an entry was not sent, surely"
    for label in ("exit", "cancel", "protect", "order_query"):
        assert await calls.change(label, Endpoint()) == "well", "exits pass, whatever is open"
    assert await calls.query("wallet", Endpoint()) == "well", "other groups are not touched"
    clock.pass_s(60.0)
    assert calls.states()["entries"] is Circuit.HALF_OPEN
    with pytest.raises(Exception, match="away"):
        await calls.change("order", Endpoint(*down(1)))
    assert calls.states()["entries"] is Circuit.OPEN, "the one that tried failed"
    clock.pass_s(60.0)
    assert await calls.change("order", entry) == "well"
    assert calls.states()["entries"] is Circuit.CLOSED


async def test_queries_come_back_sooner_and_a_person_closes_everything() -> None:
    clock = FakeClock()
    calls = Calls(_nothing, clock, FAST)
    with pytest.raises(Exception, match="away"):
        await calls.query("wallet", Endpoint(*down(9)))
    with pytest.raises(BreakerOpenError):
        await calls.query("positions", Endpoint())
    clock.pass_s(10.0)
    assert await calls.query("positions", Endpoint()) == "well"
    with pytest.raises(Exception, match="away"):
        await calls.query("wallet", Endpoint(*down(9)))
    calls.reset()
    assert await calls.query("wallet", Endpoint()) == "well"


async def test_what_a_start_asks_for_first_is_never_left_alone() -> None:
    """Nothing is protected before the markets and the time are known, whatever failed so far."""
    calls = Calls(_nothing, FakeClock(), FAST)
    for label in ("markets", "time", "kline"):
        with pytest.raises(RetryableError):
            await calls.query(label, Endpoint(*down(9)))
    with pytest.raises(BreakerOpenError):
        await calls.query("kline", Endpoint())
    for label in ("markets", "time"):
        assert await calls.query(label, Endpoint()) == "well"


@pytest.mark.parametrize("well", [True, False])
async def test_queries_of_one_group_wait_for_the_one_that_tries(well: bool) -> None:
    """A start asks for many symbols in one group of tasks: the first refusal would end them all."""
    clock = FakeClock()
    calls = Calls(_nothing, clock, Recovery(tries=1, failures=1, calls_second=1_000.0))
    with pytest.raises(RetryableError):
        await calls.query("kline", Endpoint(*down(1)))
    clock.pass_s(10.0)
    answered = asyncio.Event()
    rest = Endpoint()

    async def tries() -> str:
        await answered.wait()
        return await Endpoint(*down(not well))()

    async def all_of_them() -> list[str]:
        async with asyncio.TaskGroup() as tasks:
            found = [tasks.create_task(calls.query("kline", ask)) for ask in (tries, *[rest] * 5)]
        return [task.result() for task in found]

    asking = asyncio.create_task(all_of_them())
    for _ in range(5):  # each of the five waits moves this clock
        await asyncio.sleep(0)
    assert rest.asked == 0, "one at a time"
    answered.set()
    if well:
        assert await asking == ["well"] * 6
        return
    with pytest.raises(ExceptionGroup):
        await asking
    assert rest.asked == 0
    with pytest.raises(BreakerOpenError):
        await calls.query("kline", rest)


async def test_one_that_tries_and_is_ended_makes_room_for_another() -> None:
    clock = FakeClock()
    calls = Calls(_nothing, clock, Recovery(tries=1, failures=1, calls_second=1_000.0))
    with pytest.raises(RetryableError):
        await calls.query("kline", Endpoint(*down(1)))
    clock.pass_s(10.0)
    trying = asyncio.create_task(calls.query("kline", asyncio.Event().wait))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(calls.query("kline", Endpoint()))
    await asyncio.sleep(0)
    trying.cancel()
    clock.pass_s(10.0)
    assert await waiting == "well"


async def test_after_too_many_requests_only_exits_go_on() -> None:
    clock = FakeClock()
    calls = Calls(_nothing, clock, FAST)
    with pytest.raises(RateLimitedError) as caught:
        await calls.query("wallet", Endpoint(ccxt.RateLimitExceeded("slow down")))
    assert caught.value.wait_s == 30.0
    await calls.change("exit", Endpoint())
    assert clock.sleeps == [], "an exit waits for nobody"
    entry = Endpoint()
    with pytest.raises(RateLimitedError, match="entries wait for 30 s"):
        await calls.change("order", entry)
    assert entry.asked == 0, "who sends it asks again whether it is still wanted"
    clock.pass_s(31.0)
    assert await calls.change("order", entry) == "well"
    assert calls.limited["wallet"] == 1
    with pytest.raises(RateLimitedError) as caught:
        await calls.change("exit", Endpoint(ccxt.RateLimitExceeded("slow down")))
    assert caught.value.wait_s == 1.0


async def test_the_share_of_failures_and_its_trend() -> None:
    calls = Calls(_nothing, FakeClock(), Recovery(tries=1, failures=1_000, calls_second=1_000.0))
    for _ in range(100):
        await calls.query("wallet", Endpoint())
    assert (calls.error_rate(), calls.trend()) == (0.0, 0.0)
    for number in range(100):
        if number % 4 == 0:
            with pytest.raises(Exception, match="away"):
                await calls.query("wallet", Endpoint(*down(1)))
        else:
            await calls.query("wallet", Endpoint())
    assert calls.error_rate() == pytest.approx(0.25)
    assert calls.trend() == pytest.approx(0.25)


@given(st.lists(st.tuples(st.floats(0.0, 2.0), st.booleans()), max_size=200))
def test_the_bucket_keeps_the_pace(arrivals: list[tuple[float, bool]]) -> None:
    """Of calls that are not urgent, no second sees more than twice the rate, no minute 60 rates."""
    bucket, now, starts = Bucket(10.0), 0.0, []
    for pause, urgent in arrivals:
        now += pause
        wait = bucket.take(now, urgent=urgent)
        assert wait >= 0.0
        assert not (urgent and wait)
        if not urgent:
            starts.append(now + wait)
    starts.sort()
    for first in starts:
        assert sum(first <= at < first + 1.0 for at in starts) <= 20
    if len(starts) > 20:
        assert starts[-1] - starts[0] >= (len(starts) - 10) / 10.0 - 0.2


class BreakerLife(RuleBasedStateMachine):
    """Whatever happens: it opens after five failures in a row and lets one try at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.now, self.row = Breaker(5, 60.0), 0.0, 0

    @rule(seconds=st.floats(0.0, 100.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(well=st.booleans())
    def call(self, well: bool) -> None:
        state = self.breaker.state(self.now)
        if not self.breaker.allow(self.now):
            assert state is Circuit.OPEN
            return
        assert state is not Circuit.OPEN
        if state is Circuit.HALF_OPEN:
            assert not self.breaker.allow(self.now), "one at a time"
        if well:
            self.breaker.succeeded()
            self.row = 0
        else:
            self.breaker.failed(self.now)
            self.row += 1

    @invariant()
    def opens_exactly_after_five(self) -> None:
        closed = self.breaker.state(self.now) is Circuit.CLOSED
        assert closed == (self.row < 5)


TestBreakerLife = BreakerLife.TestCase


async def test_the_market_is_asked_as_often_as_the_venue_allows_and_no_more() -> None:
    """A start with 200 symbols asks 800 times; by ccxt's own window it would wait for a minute."""
    seam = Seam(clock=FakeClock(), fence=lambda *_: None, sink=lambda *_: None)
    client = build("bybit", seam, configuration(Venue(), private=False))
    await client.close()
    pace = client.throttler.config
    kline = client.describe()["api"]["public"]["get"]["v5/market/kline"]["cost"]
    assert pace["windowSize"] == ADDRESS_WINDOW_MS
    assert 300 <= pace["maxWeight"] / kline <= ADDRESS_REQUESTS - 100, "the account asks as well"
