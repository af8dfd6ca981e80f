"""How a single call to the venue is made, paced, counted and judged: error recovery in one place.

Decides, for each class of failure (`errors` has the table), whether a query is asked again and
after which pause, when a group of endpoints is left alone (`breaker`), how many calls leave a
second. A change is sent exactly once. Never knows what is asked. Rule: every call over ccxt passes
through :class:`Calls`, and nothing here ever keeps back an exit, a cancel or a stop, nor the look
at an account of which something may lie open without a stop.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import stamina
import structlog

from executor.clock import Clock
from executor.errors import (
    BreakerOpenError,
    FatalError,
    FenceError,
    RateLimitedError,
    RejectedError,
    RetryableError,
    VenueError,
)
from executor.settings.sections import Recovery
from executor.venue import lean_ccxt
from executor.venue import rows as venue_rows
from executor.venue.breaker import Breaker, Bucket, Circuit
from executor.venue.errors import CLOCK, classify

Call = Callable[[], Awaitable[Any]]

PATIENCE_S: Final = 60.0
PAGES_MAX: Final = 50
CHANGE_WAIT_S: Final = 1.0
VERDICT_POLL_S: Final = 0.1

NEWEST: Final = 100
ENTRIES: Final = "entries"
EXITS: Final = "exits"
ACCOUNT: Final = "account"
MARKET: Final = "market"
GROUPS: Final[Mapping[str, str]] = {
    "order": ENTRIES,
    "leverage": ENTRIES,
    "exit": EXITS,
    "cancel": EXITS,
    "protect": EXITS,
    "order_query": EXITS,  # whether an order in doubt arrived decides about an exit as well
    "time": EXITS,  # without it nothing can be signed
    "markets": EXITS,  # a start asks for them first, and something may lie open without a stop
    "kline": MARKET,
    "funding": MARKET,
    "tickers": MARKET,
}

log = structlog.get_logger("calls")


class Calls:
    """Makes calls; ``resync`` is awaited when the venue says that our clock is off."""

    def __init__(self, resync: Call, clock: Clock, policy: Recovery | None = None) -> None:
        self._resync = resync
        self._clock = clock
        self._policy = policy = policy or Recovery()
        self._bucket = Bucket(policy.calls_second)
        reads_s = policy.open_reads_ms / 1000
        self.breakers = {
            ENTRIES: Breaker(policy.failures, policy.open_ms / 1000),
            ACCOUNT: Breaker(policy.failures, reads_s),
            MARKET: Breaker(policy.failures, reads_s),
        }
        self.made: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.limited: Counter[str] = Counter()
        self.by_class: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.newest: deque[tuple[bool, float]] = deque(maxlen=2 * NEWEST)
        self.failed_row = 0
        self.last = ""

    async def query(self, label: str, call: Call, *, urgent: bool = False) -> Any:
        """Ask, and ask again while the failure is one that passes; ``urgent`` waits for nobody."""
        try:  # nearly every query ends here: the machinery of retries costs as much as an answer
            return await self._once(label, call, change=False, urgent=urgent)
        except RetryableError as error:
            failure: RetryableError | None = error
        policy = self._policy
        async for attempt in stamina.retry_context(
            on=RetryableError,
            attempts=policy.tries,
            timeout=PATIENCE_S,
            wait_initial=policy.backoff_first_ms / 1000,
            wait_max=policy.backoff_most_ms / 1000,
            wait_jitter=policy.backoff_first_ms / 1000,
        ):
            with attempt:
                if failure is not None:  # the first of the tries, which is known
                    known, failure = failure, None
                    raise known
                return await self._once(label, call, change=False, urgent=urgent)
        raise AssertionError("stamina ends by returning or by raising")

    async def change(self, label: str, call: Call, fine: frozenset[str] = frozenset()) -> Any:
        """Send a change once. A rejection with a code in ``fine`` means that it is as wanted."""
        try:
            return await self._once(label, call, change=True, urgent=False)
        except RejectedError as error:
            if error.code not in fine:
                raise
            return None

    async def pages(
        self,
        label: str,
        ask: Callable[[dict[str, Any]], Awaitable[Any]],
        request: dict[str, Any],
        *,
        urgent: bool,
    ) -> list[venue_rows.Row]:
        """Return the rows of all pages of a query."""
        found: list[venue_rows.Row] = []
        cursor = ""
        for _ in range(PAGES_MAX):
            page = request | ({"cursor": cursor} if cursor else {})
            reply = await self.query(label, partial(ask, page), urgent=urgent)
            found += venue_rows.rows(reply)
            cursor = str(reply["result"].get("nextPageCursor") or "")
            if not cursor:
                return found
        raise RetryableError(f"{label}: more than {PAGES_MAX} pages")

    async def _once(self, label: str, call: Call, *, change: bool, urgent: bool) -> Any:
        group = EXITS if urgent else GROUPS.get(label, ACCOUNT)
        await self._turn(group, change=change)
        self.made[label] += 1
        began = self._clock.monotonic()
        try:
            answer = await call()
        except lean_ccxt.errors().BaseError as error:
            failure = classify(error, change=change)
            self._count(label, began, failure)
            self._judge(group, failure)
            if failure.code in CLOCK:
                await self._measure_clock()
            raise failure from error
        self._count(label, began, None)
        self._judge(group, None)
        return answer

    async def _measure_clock(self) -> None:
        """Measure the clocks again; where that fails too, the failure at hand is what counts."""
        try:
            await self._resync()
        except lean_ccxt.errors().BaseError as error:
            log.warning("clock_not_measured", error=str(error))

    async def _turn(self, group: str, *, change: bool) -> None:
        """Wait for a place, a query also for the one that tries; refuse while left alone."""
        now, breaker = self._clock.monotonic(), self.breakers.get(group)
        while breaker is not None and not breaker.allow(now):
            if breaker.is_trying() and not change:
                # Refused beside the one that tries, it would end their group of tasks, and with it
                # the try: a start that loads many symbols would never come through.
                await self._clock.sleep(VERDICT_POLL_S)
                now = self._clock.monotonic()
                continue
            text = f"calls for {group} rest for {breaker.wait_s(now):.0f} s more after failures"
            if change:
                raise FenceError(text)
            raise BreakerOpenError(text)
        if group == MARKET:  # a connection of its own, which ccxt paces
            return
        wait_s = self._bucket.take(now, urgent=group == EXITS)
        if change and wait_s > CHANGE_WAIT_S:  # who sends it must ask whether it is still wanted
            raise RateLimitedError(f"{group} wait for {wait_s:.0f} s", wait_s=wait_s)
        if wait_s > 0.0:
            await self._clock.sleep(wait_s)

    def _judge(self, group: str, failure: VenueError | None) -> None:
        """Let the breaker and the bucket know what came of a call."""
        now, breaker = self._clock.monotonic(), self.breakers.get(group)
        if isinstance(failure, RateLimitedError) and group != EXITS:
            failure.wait_s = max(failure.wait_s, self._policy.rate_limit_ms / 1000)
            self._bucket.pause(now + failure.wait_s)
        if breaker is None:
            return
        answers = (RejectedError, FatalError) + (() if group == MARKET else (RateLimitedError,))
        if failure is None or isinstance(failure, answers):
            breaker.succeeded()
        elif breaker.failed(now):
            log.warning("breaker_opened", group=group, error=str(failure))

    def _count(self, label: str, began: float, failure: VenueError | None) -> None:
        seconds = self._clock.monotonic() - began
        self.seconds[label] += seconds  # type: ignore[assignment]  # a Counter of floats
        answered = failure is None or isinstance(failure, RejectedError)
        self.newest.append((answered, seconds))
        self.failed_row = 0 if answered else self.failed_row + 1
        if failure is None:
            return
        self.failed[label] += 1
        self.limited[label] += isinstance(failure, RateLimitedError)
        self.by_class[type(failure).__name__] += 1
        self.last = f"{label}: {failure}"

    def reset(self) -> None:
        """Close every breaker, as a person asked."""
        for breaker in self.breakers.values():
            breaker.reset()

    def states(self) -> dict[str, Circuit]:
        """Return the state of every breaker."""
        now = self._clock.monotonic()
        return {group: breaker.state(now) for group, breaker in self.breakers.items()}

    def error_rate(self) -> float:
        """Return the share of the newest 100 calls that failed, 0 for fewer than ten."""
        newest = [answered for answered, _ in self.newest][-NEWEST:]
        return 1.0 - sum(newest) / len(newest) if len(newest) >= NEWEST // 10 else 0.0

    def trend(self) -> float:
        """Return by how much the share of failures changed against the 100 calls before."""
        older = [answered for answered, _ in self.newest][:-NEWEST]
        return self.error_rate() - (1.0 - sum(older) / len(older)) if older else 0.0

    def mean_ms(self) -> float:
        """Return the mean duration of the newest 100 calls."""
        newest = [seconds for _, seconds in self.newest][-NEWEST:]
        return 1000 * sum(newest) / len(newest) if newest else 0.0
