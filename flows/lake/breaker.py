"""A circuit breaker for one venue, shared by every request to it.

Decides when to stop asking a venue that keeps failing: after `failures_max` failures in a row the
circuit opens and every caller waits `cooldown_s`; the first failure after the pause opens it again,
the first answer closes it. Never waits for ever: after `openings_max` openings without one success
it refuses. Rule: time comes from the running event loop, so tests can use their own loop.
"""

import asyncio

from flows.lake.errors import VenueError

NEVER = float("-inf")


class CircuitBreaker:
    """Counts failures in a row across tasks; holds the others back while the venue is away."""

    def __init__(
        self, name: str, *, failures_max: int, cooldown_s: float, openings_max: int
    ) -> None:
        self._name = name
        self._failures_max = failures_max
        self._cooldown_s = cooldown_s
        self._openings_max = openings_max
        self._failures = 0
        self._opened_at_s = NEVER
        self._pause = asyncio.Lock()
        self.openings = 0

    def _is_open(self) -> bool:
        return self._opened_at_s != NEVER

    async def admit(self) -> None:
        """Return when a request may be sent; wait while the circuit is open.

        Raises
        ------
        VenueError
            When the circuit opened too often without a success in between.
        """
        if not self._is_open():
            return
        async with self._pause:
            if not self._is_open():
                return
            if self.openings > self._openings_max:
                raise VenueError(
                    f"{self._name} has not answered through {self._openings_max} pauses of "
                    f"{self._cooldown_s:g} s; check its status and the network, then run again "
                    "(what was fetched is kept)"
                )
            wait_s = self._opened_at_s + self._cooldown_s - asyncio.get_running_loop().time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._opened_at_s = NEVER
            self._failures = self._failures_max - 1  # one more opens it again

    def succeeded(self) -> None:
        """Note an answer: the venue is well."""
        self._failures = 0
        self._opened_at_s = NEVER
        self.openings = 0

    def failed(self) -> None:
        """Note a failure; open the circuit when there were too many in a row."""
        self._failures += 1
        if self._failures >= self._failures_max and not self._is_open():
            self._opened_at_s = asyncio.get_running_loop().time()
            self.openings += 1
