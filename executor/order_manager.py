"""Carries out what the core decided, and finds out what became of it.

Decides nothing about trading: it sends each intent once, and where the answer was lost it asks the
venue by client order id, waits until the request can no longer be accepted, and asks again. Only
then may the *same* id be sent again, and an entry only while it is fresh. Never invents an order.
Rule: every intent was journaled before it comes here; everything learnt goes back to the trader's
queue as an event, nothing is changed directly.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from executor.clock import Clock
from executor.core.events import OrderUpdated
from executor.core.types import CancelIntent, OrderIntent, OrderStatus, Outcome, Protect
from executor.errors import (
    FatalError,
    FenceError,
    RateLimitedError,
    RejectedError,
    RetryableError,
    UnknownOutcomeError,
    VenueError,
)
from executor.venue.errors import DUPLICATE_ID

SENDS_MAX: Final = 5
LATE_MARGIN_MS: Final = 1_000
PAUSE_S: Final = 0.5
NEVER_ARRIVED: Final = "never_arrived"
GAVE_UP: Final = "gave_up"

log = structlog.get_logger("orders")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDone:
    """A protection or a cancel was carried out, or given up; ``problem`` is "" where it worked."""

    kind: str
    client_order_id: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class AllSettled:
    """Nothing is being carried out any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a request may still be accepted, how often to ask, how old an entry may get."""

    recv_window_ms: int
    query_interval_ms: int
    entry_age_ms_max: int


class OrderVenue(Protocol):
    """What is asked of the venue here; see :class:`executor.venue.adapter.Venue`."""

    async def submit(self, intent: OrderIntent) -> str:
        """Send one order, once."""
        ...

    async def protect(self, protect: Protect) -> None:
        """Set the stop and take of a position."""
        ...

    async def cancel(self, cancel: CancelIntent) -> None:
        """Take one order away."""
        ...

    async def order(self, symbol: str, client_order_id: str) -> OrderUpdated | None:
        """Return what the venue knows of an order."""
        ...


Report = Callable[[OrderUpdated | ActionDone | AllSettled], None]
Work = Coroutine[Any, Any, None]


class OrderManager:
    """Sends, asks and reports. The trader keeps ``newest_close_ms``: what entries must match.

    ``is_unsettled`` from the first action on until the trader has taken in what became of the last.
    """

    def __init__(self, venue: OrderVenue, clock: Clock, report: Report, patience: Patience) -> None:
        self._venue = venue
        self._clock = clock
        self._report = report
        self._patience = patience
        self._tasks: set[asyncio.Task[None]] = set()
        self._stops: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._newest_stop: dict[str, str] = {}
        self._under_way: dict[str, tuple[OrderIntent, float]] = {}
        self.newest_close_ms = 0
        self.is_unsettled = False
        self.fatal = ""
        self.sent = 0

    @property
    def in_flight(self) -> int:
        """Return how many actions are being carried out."""
        return len(self._tasks)

    def carry_out(self, outcome: Outcome, decided: float | None = None) -> None:
        """Begin what was decided (seconds, monotonic): cancels, protections, exits, then entries.

        A moment and not an age: who stands still in between must not make an entry younger.
        """
        if decided is None:
            decided = self._clock.monotonic()
        for cancel in outcome.cancels:
            self._begin(self._repeat("cancel", cancel.client_order_id, self._venue.cancel, cancel))
        for protect in outcome.protections:
            name = protect.client_order_id
            self._newest_stop[protect.symbol] = name
            self._begin(self._repeat("protect", name, self._venue.protect, protect))
        for intent in sorted(outcome.intents, key=lambda i: not i.reduce_only):
            self._order(intent, decided, in_doubt=False)

    def resume(self, intent: OrderIntent, decided: float) -> None:
        """Find out what became of an intent that was decided then, and may have been sent."""
        self._order(intent, decided, in_doubt=True)

    def wants(self, client_order_id: str) -> bool:
        """Say whether an order that is being seen through may still be signed."""
        intent, born = self._under_way.get(client_order_id, (None, 0.0))
        return intent is not None and self._still_wanted(intent, born)

    def settle(self) -> None:
        """Know that everything reported up to the last :class:`AllSettled` was taken in."""
        self.is_unsettled = bool(self._tasks)

    async def wait(self, timeout_s: float) -> bool:
        """Wait until everything is settled; say whether it is."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)
        return not self._tasks

    async def stop(self) -> None:
        """Give up what is still under way; the journal knows it as planned."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Work) -> None:
        self.is_unsettled = True
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("order_task_failed", error=repr(task.exception()))
            self.fatal = f"{type(task.exception()).__name__}: {task.exception()}"
        if not self._tasks:
            self._under_way.clear()
            self._report(AllSettled())

    def _order(self, intent: OrderIntent, born: float, *, in_doubt: bool) -> None:
        """Begin to see one order through; its age counts from when it was decided."""
        self._under_way[intent.client_order_id] = (intent, born)
        self._begin(self._see_through(intent, born, in_doubt=in_doubt))

    async def _see_through(self, intent: OrderIntent, born: float, *, in_doubt: bool) -> None:
        """Send and ask until the venue's word on an order is known."""
        doubt_from, exists = born, False
        for sends in range(SENDS_MAX + 1):
            if in_doubt:
                found = await self._resolve(intent, doubt_from)
                if found is not None:
                    self._report(found)
                    return
                if exists:  # never "never arrived": the next look at the account asks for it again
                    log.warning("order_not_shown", order=intent.client_order_id)
                    return
            is_again = sends > 0 or in_doubt
            if sends == SENDS_MAX or (is_again and not self._still_wanted(intent, born)):
                self._say(intent, OrderStatus.REJECTED, NEVER_ARRIVED if in_doubt else GAVE_UP)
                return
            doubt_from = self._clock.monotonic()
            verdict = await self._send(intent)
            if verdict is None:
                return
            exists = isinstance(verdict, RejectedError)
            in_doubt = exists or isinstance(verdict, UnknownOutcomeError)

    async def _send(self, intent: OrderIntent) -> VenueError | None:
        """Send once; return None when settled, else what stands in the way of knowing."""
        self.sent += 1
        try:
            venue_order_id = await self._venue.submit(intent)
        except FenceError as error:
            self._say(intent, OrderStatus.REFUSED, str(error))
        except UnknownOutcomeError as error:
            self._say(intent, OrderStatus.UNKNOWN, str(error))
            return error
        except RejectedError as error:
            if error.code == DUPLICATE_ID:  # it arrived earlier: ask what became of it
                return error
            self._say(intent, OrderStatus.REJECTED, error.code or str(error))
        except RateLimitedError as error:
            await self._clock.sleep(min(error.wait_s, self._patience.entry_age_ms_max / 1000))
            return error
        except RetryableError as error:
            await self._clock.sleep(PAUSE_S)
            return error
        except FatalError as error:
            self.fatal = str(error)
            self._say(intent, OrderStatus.REJECTED, error.code or "fatal")
        else:
            self._say(intent, OrderStatus.ACCEPTED, "", venue_order_id)
        return None

    async def _resolve(self, intent: OrderIntent, doubt_from: float) -> OrderUpdated | None:
        """Ask until the venue knows the order, or until it can no longer arrive."""
        dead_after_s = (self._patience.recv_window_ms + LATE_MARGIN_MS) / 1000
        while True:
            asked = self._clock.monotonic()
            try:
                found = await self._venue.order(intent.symbol, intent.client_order_id)
            except VenueError as error:
                log.warning("order_query_failed", order=intent.client_order_id, error=str(error))
            else:
                if found is not None:
                    return found
                if asked - doubt_from > dead_after_s:
                    return None
            await self._clock.sleep(self._patience.query_interval_ms / 1000)

    def _still_wanted(self, intent: OrderIntent, born: float) -> bool:
        """Say whether the order may still be sent: exits always, entries while they are fresh."""
        if intent.reduce_only:
            return True
        age_ms = (self._clock.monotonic() - born) * 1000
        fresh = age_ms <= self._patience.entry_age_ms_max
        return fresh and intent.close_ms >= self.newest_close_ms

    async def _repeat(
        self, kind: str, name: str, call: Callable[[Any], Coroutine[Any, Any, None]], action: Any
    ) -> None:
        """Do something that may be done twice, until it is known to be done, or proven useless.

        Stops of one symbol go one after another, each until a newer one is wanted: two under way at
        once may arrive in the other order, and leave the looser one.
        """
        problem = ""
        async with self._stops[action.symbol] if kind == "protect" else nullcontext():
            for _ in range(SENDS_MAX):
                if kind == "protect" and self._newest_stop[action.symbol] != name:
                    break
                try:
                    await call(action)
                except (RejectedError, FatalError, FenceError) as error:
                    problem = str(error)
                    break
                except VenueError as error:
                    problem = str(error)
                    await self._clock.sleep(PAUSE_S)
                else:
                    problem = ""
                    break
        if problem:
            log.warning("action_failed", kind=kind, order=name, problem=problem)
        self._report(ActionDone(kind=kind, client_order_id=name, problem=problem))

    def _say(
        self, intent: OrderIntent, status: OrderStatus, reason: str, venue_order_id: str = ""
    ) -> None:
        """Report a status of which the market time is the decision's."""
        self._report(
            OrderUpdated(
                client_order_id=intent.client_order_id,
                symbol=intent.symbol,
                status=status,
                time_ms=intent.close_ms,
                venue_order_id=venue_order_id,
                reason=reason,
            )
        )
