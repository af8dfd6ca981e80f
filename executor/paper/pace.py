"""How fast the market goes: a speed, a pause, single steps and jumps.

Decides when the next bar, or the next tick of a bar, may come. Never moves the market (the
conductor does). Rule: a step or a jump releases whole bars, so that a paused market stands between
two bars.
"""

import asyncio
import math

from executor.paper.clock import Clock
from features.errors import InputError


class Pace:
    """The pace of one market; ``speed`` is market seconds a second, 0 in lockstep."""

    def __init__(self, clock: Clock, speed: float) -> None:
        self._clock = clock
        self._changed = asyncio.Event()
        self._steps = 0
        self._jump_ms = 0
        self._bar_ms = 0
        self.speed = speed
        self.is_paused = False

    def pause(self) -> None:
        """Stop before the next bar."""
        self.is_paused = True
        self._notify()

    def resume(self) -> None:
        """Go on."""
        self.is_paused = False
        self._notify()

    def step(self, bars: int) -> None:
        """Close ``bars`` bars at once, the running one being the first, and stand still."""
        if bars < 1:
            raise InputError(f"step is {bars}; give 1 or more bars")
        self.is_paused = True
        self._steps += bars
        self._notify()

    def jump(self, time_ms: int) -> None:
        """Release every bar that opens before ``time_ms`` at once."""
        self._jump_ms = time_ms
        self._notify()

    def set_speed(self, speed: float) -> None:
        """Change the speed from the next bar on; a lockstep stays one."""
        if self.speed == 0.0:
            raise InputError("a lockstep has no speed: its clients set the pace")
        if not 0.0 < speed < math.inf:
            raise InputError(f"speed is {speed}; give a number above 0")
        self.speed = speed
        self._notify()

    async def begin(self, open_ms: int) -> bool:
        """Wait until the bar of ``open_ms`` may come; say whether it shall come at once."""
        self._bar_ms = open_ms
        while self.is_paused and not self._hurries:
            await self._wait(None)
        return self._hurries

    def end(self) -> None:
        """Note that a bar has closed."""
        self._steps = max(0, self._steps - 1)

    @property
    def _hurries(self) -> bool:
        return self._steps > 0 or self._bar_ms < self._jump_ms

    async def until(self, due: float) -> bool:
        """Wait until ``due`` on the monotonic clock; say whether to hurry instead."""
        while True:
            if self._hurries:
                return True
            left = due - self._clock.monotonic()
            if left <= 0.0 and not self.is_paused:
                return False
            await self._wait(None if self.is_paused else left)

    def _notify(self) -> None:
        self._changed.set()

    async def _wait(self, seconds: float | None) -> None:
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return
