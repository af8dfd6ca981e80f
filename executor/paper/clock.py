"""The wall clock of the paper exchange.

Decides what time the server says it is: envelopes, ``/v5/market/time`` and signature checks.
Never market time, which the conductor sets on the venue. Rule: no other module of the paper
exchange reads a clock; a fault may skew this one.
"""

import time


class Clock:
    """The time of this machine plus a skew that a fault may set."""

    def __init__(self) -> None:
        self.skew_ms = 0

    def now_ms(self) -> int:
        """Return the server's UTC time in milliseconds."""
        return time.time_ns() // 1_000_000 + self.skew_ms

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()  # noqa: TID251 - this module is the clock port
