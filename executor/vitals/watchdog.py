"""Ends a process that stands still, so that whatever keeps it starts it again.

Decides that an event loop without a pulse for ``watchdog_ms``, or a trader that handles nothing
although work waits, is beyond saving: the tracebacks of all threads go to stderr and the process
ends with code 70. Never flattens and never waits for anything: stops are at the exchange, and a
start is the way to recover. Rule: the watching thread touches nothing that the loop could hold.
"""

import asyncio
import faulthandler
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from executor.clock import Clock
from executor.vitals.process import Vitals

PULSE_S: Final = 0.5
STUCK_EXIT: Final = 70

Backlog = Callable[[], tuple[int, int]]


class Watchdog:
    """A thread that watches the loop; use as a context manager and run :meth:`pulse` in the loop.

    ``backlog`` returns how many items wait for the trader and how many it has handled.
    """

    def __init__(self, clock: Clock, vitals: Vitals, *, limit_ms: int, backlog: Backlog) -> None:
        self._clock = clock
        self._vitals = vitals
        self._limit_s = limit_ms / 1000
        self._backlog = backlog
        self._pulses = 0
        self._handled = (0, clock.monotonic())
        self._silent_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        if self._limit_s > 0.0:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    async def pulse(self) -> None:
        """Show that the loop turns, and measure how late it does."""
        while True:
            self._pulses += 1
            before = self._clock.monotonic()
            waiting, handled = self._backlog()
            if handled != self._handled[0] or not waiting:
                self._handled = (handled, before)
            await asyncio.sleep(PULSE_S)
            self._vitals.loop_lag_s.append(max(0.0, self._clock.monotonic() - before - PULSE_S))

    def stuck(self) -> str:
        """Return what stands still, "" where nothing does."""
        if self._silent_s > self._limit_s:
            return f"the event loop stands still for {self._silent_s:.0f} s"
        idle_s = self._clock.monotonic() - self._handled[1]
        if idle_s > 2 * self._limit_s and not self._silent_s:
            return f"the trader handles nothing for {idle_s:.0f} s"
        return ""

    def observe(self, pulses_before: int, waited_s: float) -> int:
        """Take in one look of the thread; return the pulses seen.

        Silence counts only as long as this thread ran itself: a process that was frozen as a whole
        (a container paused, a laptop asleep) goes on instead of ending.
        """
        pulses = self._pulses
        self._silent_s = self._silent_s + waited_s if pulses == pulses_before else 0.0
        return pulses

    def _watch(self) -> None:
        pulses, wait_s = -1, min(1.0, self._limit_s / 4)
        while not self._stop.wait(wait_s):
            pulses = self.observe(pulses, wait_s)
            problem = self.stuck()
            if problem:
                sys.stderr.write(f"watchdog: {problem}; ending with code {STUCK_EXIT}\n")
                faulthandler.dump_traceback(all_threads=True)
                sys.stderr.flush()
                os._exit(STUCK_EXIT)
