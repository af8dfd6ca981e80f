"""When to leave an endpoint alone: a circuit breaker, and a bucket that paces calls.

Decides from the results of calls whether the next one may be made, and how long it waits for its
turn. Never makes a call and never judges a result (`venue_errors` does). Rule: time is an argument,
so that a test turns the clock; whoever gets the outcome of a call it was allowed tells the breaker.

Own code, 80 lines, because both must follow the injected clock and an exit must pass both: the
libraries looked at (purgatory, aiolimiter) read the clock of the event loop or of the machine.
Source: Nygard, Release It! (2018), ch. 5: circuit breaker.
"""

from enum import StrEnum
from typing import Final

FAR: Final = 1e18


class Circuit(StrEnum):
    """States of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after ``failures`` in a row; after ``open_s`` one call may try.

    A try that ends without a word (its task was cancelled) blocks the next one for ``open_s`` only.
    """

    def __init__(self, failures: int, open_s: float) -> None:
        self._most = failures
        self._open_s = open_s
        self._row = 0
        self._until = -FAR
        self._opened = False
        self._trying = False
        self.times_opened = 0

    def state(self, now: float) -> Circuit:
        """Return the state at ``now``, in seconds of any monotonic clock."""
        if not self._opened:
            return Circuit.CLOSED
        return Circuit.OPEN if now < self._until else Circuit.HALF_OPEN

    def wait_s(self, now: float) -> float:
        """Return how long calls are kept back still."""
        return max(0.0, self._until - now) if self._opened else 0.0

    def allow(self, now: float) -> bool:
        """Say whether a call may be made now; half-open lets one through at a time."""
        state = self.state(now)
        if state is Circuit.HALF_OPEN:
            self._until, self._trying = now + self._open_s, True
        return state is not Circuit.OPEN

    def is_trying(self) -> bool:
        """Say whether a call is under way whose result will open or close it."""
        return self._trying

    def succeeded(self) -> None:
        """Take note of a call that the venue answered."""
        self._row = 0
        self._opened = self._trying = False

    def failed(self, now: float) -> bool:
        """Take note of a failed call; say whether the breaker opened because of it."""
        self._row += 1
        was_open, self._trying = self._opened, False
        if was_open or self._row >= self._most:
            self._opened, self._until = True, now + self._open_s
        self.times_opened += self._opened and not was_open
        return self._opened and not was_open

    def reset(self) -> None:
        """Close it, as a person asked."""
        self.succeeded()


class Bucket:
    """At most ``rate`` calls a second on average, as many in one burst."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at = -FAR

    def take(self, now: float, *, urgent: bool) -> float:
        """Take a place; return how long to wait for it. An urgent call waits for nobody."""
        gap = 1.0 / self._rate
        at = max(self._free_at, now - (self._rate - 1.0) * gap)
        self._free_at = at + gap
        return 0.0 if urgent else max(0.0, at - now)

    def pause(self, until: float) -> None:
        """Let nothing that is not urgent go before ``until``."""
        self._free_at = max(self._free_at, until)
