"""Keeps the helpers running.

Decides that a helper which fails is logged, counted and started again after a pause that doubles up
to 30 s. Never supervises the trader: its failure ends the process, because a start is the way to
recover. Rule: one of the three places with a broad handler; it hides nothing, it says and counts.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from executor.clock import Clock
from executor.vitals.hearts import Hearts

PAUSE_FIRST_S: Final = 0.5
PAUSE_MOST_S: Final = 30.0
CALM_S: Final = 60.0

log = structlog.get_logger("supervisor")


def heed_cancellation() -> None:
    """Raise where this task was cancelled and the cancellation got lost on the way.

    redis-py writes through ``asyncio.wait_for``, which before Python 3.12 may return in spite of a
    cancellation: a loop around it asks here, or it would outlive the shutdown.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Supervisor:
    """Runs helpers; ``failures`` counts by name."""

    def __init__(self, clock: Clock, hearts: Hearts | None = None) -> None:
        self._clock = clock
        self._hearts = hearts or Hearts()
        self.failures: Counter[str] = Counter()

    async def supervise(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run one helper for as long as the process runs."""
        pause_s = PAUSE_FIRST_S
        self._hearts.own(name, self._clock.monotonic())
        while True:
            began = self._clock.monotonic()
            try:
                await run()
            except Exception as error:
                self.failures[name] += 1
                log.exception("helper_failed", helper=name, error=repr(error))
            calm = self._clock.monotonic() - began > CALM_S
            pause_s = PAUSE_FIRST_S if calm else min(2 * pause_s, PAUSE_MOST_S)
            await self._clock.sleep(pause_s)
