"""Asks the venue what it holds for us, often enough, and hands the answer to the trader.

Decides when to ask: every 10 s, every 5 s while something may lie open without a proven stop or
must go after a kill (then, and until a start's first answer, it waits for no rate limit), at once
when the venue or a lost frame gives reason. Never compares and never changes anything (`core.step`
does). Rule: a query that fails is never taken for an empty account; it is asked again, and the age
of the last answer is shown until trading stops on it.
"""

import asyncio
from collections.abc import Callable

import structlog

from executor.clock import Clock
from executor.core.events import FillReceived, FundingPaid
from executor.errors import VenueError
from executor.market.feed import BarsReady
from executor.trader import Item, SnapshotTaken
from executor.venue.adapter import Venue

log = structlog.get_logger("reconciler")

# A fill may be lost before others that were booked: look a day of market time back.
OVERLAP_MS = 86_400_000


class Reconciler:
    """Takes snapshots. ``put`` is the trader's inbox, ``generation`` counts its account events.

    With ``in_step`` the trader asks, at a moment when the accelerated market waits for it.
    """

    def __init__(
        self,
        venue: Venue,
        clock: Clock,
        *,
        put: Callable[[Item], None],
        generation: Callable[[], int],
        market_ms: Callable[[], int],
        at_risk: Callable[[], bool],
        known_until_ms: Callable[[], int],
        account_since_ms: Callable[[], int],
        in_step: bool,
        interval_ms: int,
        naked_interval_ms: int,
    ) -> None:
        self._venue = venue
        self._clock = clock
        self._put = put
        self._generation = generation
        self._market_ms = market_ms
        self._at_risk = at_risk
        self._known_until_ms = known_until_ms
        self._account_since_ms = account_since_ms
        self._in_step = in_step
        self._interval_s = interval_ms / 1000
        self._naked_interval_s = naked_interval_ms / 1000
        self._nudged = asyncio.Event()
        self._missed = True
        self._done_at: float | None = None
        self.failures = 0
        self.problem = ""

    @property
    def age_ms(self) -> int:
        """Return how old the last answer is; a day where there was none."""
        if self._done_at is None:
            return 86_400_000
        return int((self._clock.monotonic() - self._done_at) * 1000)

    @property
    def due(self) -> bool:
        """Say whether the venue should be asked now."""
        interval_s = self._naked_interval_s if self._at_risk() else self._interval_s
        return self._nudged.is_set() or self.age_ms >= interval_s * 1000

    def nudge(self, missed: bool) -> None:
        """Ask soon; with ``missed``, executions too may have been lost."""
        self._missed = self._missed or missed
        self._nudged.set()

    async def run(self) -> None:
        """Ask for as long as the process runs."""
        # A stop may begin to lack at any moment: so often it is seen whether it is time to ask.
        look_s = min(self._naked_interval_s, self._interval_s)
        while True:
            try:
                async with asyncio.timeout(look_s):
                    await (asyncio.Event().wait() if self._in_step else self._nudged.wait())
                await self._clock.sleep(0.2)  # one event seldom comes alone
            except TimeoutError:
                if not self.due:
                    continue
            if self._in_step:  # an accelerated market stands still only when the trader asks
                self._nudged.set()
                self._put(BarsReady())
            else:
                await self.ask()

    async def ask(self) -> bool:
        """Ask once; say whether the venue answered."""
        self._nudged.clear()
        generation = self._generation()
        # Until somebody looked, anything may lie open, and a kill may wait for this start.
        urgent = self._done_at is None or self._at_risk()
        try:
            if self._missed:
                await self._missed_events(urgent)
            snapshot = await self._venue.snapshot(self._market_ms(), urgent=urgent)
        except VenueError as error:
            self.failures += 1
            self.problem = str(error)
            log.warning("reconcile_failed", error=str(error), age_ms=self.age_ms)
            return False
        self.problem = ""
        self._done_at = self._clock.monotonic()
        self._put(SnapshotTaken(snapshot=snapshot, generation=generation))
        return True

    async def _missed_events(self, urgent: bool) -> None:
        """Hand over executions that no socket told of; the trader drops what it knows.

        What was executed before this journal began is part of what the first look found open, and
        would be booked twice.
        """
        since_ms = max(self._account_since_ms(), self._known_until_ms() - OVERLAP_MS)
        found: list[FillReceived | FundingPaid] = []
        if since_ms > 0:
            found = await self._venue.executions(since_ms, urgent=urgent)
        self._missed = False
        for event in found:
            self._put(event)
