"""The steps of a start that are more than one call.

Decides how long a step is tried again (for ever, saying so: a start never gives up on the outside)
and what is done with what a former process left. Never trades. Rule: every step may be repeated.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog

from executor.clock import Clock
from executor.core.types import CancelIntent, OrderIntent, Outcome, Protect
from executor.errors import FenceError, VenueError
from executor.health.overview import Overview
from executor.journal.store import Journal
from executor.order_manager import OrderManager
from executor.venue.adapter import Venue

RETRY_FIRST_S: Final = 0.5
RETRY_MOST_S: Final = 5.0  # as often as what lies open without a stop is looked at
CLOCK_CHECK_S: Final = 60.0

log = structlog.get_logger("startup")


async def insist(
    step: str, work: Callable[[], Awaitable[Any]], overview: Overview, clock: Clock
) -> None:
    """Do a step of the start, again while the outside does not answer; say so meanwhile."""
    pause_s = RETRY_FIRST_S
    overview.step = step
    while True:
        try:
            # A task of its own: before Python 3.13 a group whose child fails leaves the task around
            # it marked as cancelled, and `heed_cancellation` would end the start without a word.
            await asyncio.create_task(_run(work))
        except* (VenueError, FenceError) as group:
            overview.problem = f"{step}: {_first(group)}"
            log.warning("start_waits", problem=overview.problem)
        else:
            overview.problem = ""
            return
        await clock.sleep(pause_s)
        pause_s = min(2 * pause_s, RETRY_MOST_S)


async def _run(work: Callable[[], Awaitable[Any]]) -> None:
    await work()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def set_leverage(venue: Venue, symbols: Sequence[str], leverage: float) -> None:
    """Set every symbol's leverage; a refusal is said and trading goes on (limits are ours)."""
    for symbol in symbols:
        try:
            await venue.set_leverage(symbol, leverage)
        except (VenueError, FenceError) as error:
            log.warning("leverage_not_set", symbol=symbol, error=str(error))


async def keep_measuring(venue: Venue, clock: Clock) -> None:
    """Measure the difference of the clocks every minute."""
    while True:
        await clock.sleep(CLOCK_CHECK_S)
        try:
            await venue.sync_clock()
        except VenueError as error:
            log.warning("clock_not_measured", error=str(error))


def resume(journal: Journal, orders: OrderManager, clock: Clock) -> None:
    """Find out what became of what the last process decided and may not have carried out.

    Stops are not sent again: whoever held the lease meanwhile may have set a tighter one. The
    reconciliation that follows compares what rests with what is wanted, and sends what is missing.
    """
    now = clock.monotonic()  # first, so that who stands still in between makes nothing younger
    now_ms = clock.now_ms()
    for planned in journal.planned():
        action = planned.action
        log.warning("resuming", order=action.client_order_id, symbol=action.symbol)
        match action:
            case OrderIntent():
                orders.resume(action, now - max(0, now_ms - planned.recorded_ms) / 1000)
            case Protect():
                journal.done("protect", [action.client_order_id])
            case CancelIntent():
                orders.carry_out(Outcome(cancels=(action,)))
