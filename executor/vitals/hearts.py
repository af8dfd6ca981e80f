"""Which tasks show life, and until when each may be silent.

Decides that a task which waits with the clock is expected back when its wait ends, and that one
which waits for the outside (a socket, something to tell) is not expected at all. Never ends
anything (`watchdog` does). Rule: nobody beats by hand who waits with the clock:
:class:`BeatingClock` beats for the task that :meth:`Hearts.own` named.
"""

from contextvars import ContextVar
from typing import Final

from executor.clock import Clock

OUTSIDE: Final = frozenset(
    {"account", "candles", "reconciler", "alerts", "watchdog", "universe"}  # history may take long
)
_OWNER: ContextVar[str] = ContextVar("component", default="")


class Hearts:
    """When each component is expected to show life again, on the monotonic clock."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def own(self, name: str, now: float) -> None:
        """Let the running task beat for ``name`` from here on."""
        _OWNER.set(name)
        self.expect(name, now)

    def expect(self, name: str, due: float) -> None:
        """Note that ``name`` is alive and is silent until ``due`` at most."""
        if name and name not in OUTSIDE:
            self._due[name] = due

    def overdue_s(self, now: float) -> dict[str, float]:
        """Return by component how long it has been silent beyond what was expected."""
        return {name: max(0.0, now - due) for name, due in sorted(self._due.items())}


class BeatingClock:
    """A clock that beats for the task that waits with it."""

    def __init__(self, clock: Clock, hearts: Hearts) -> None:
        self._clock = clock
        self._hearts = hearts

    def now_ms(self) -> int:
        """Return UTC wall time in milliseconds."""
        return self._clock.now_ms()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait, and be expected back when the wait ends."""
        self._hearts.expect(_OWNER.get(), self._clock.monotonic() + seconds)
        await self._clock.sleep(seconds)
        self._hearts.expect(_OWNER.get(), self._clock.monotonic())
