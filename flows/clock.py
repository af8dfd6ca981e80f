"""The pipeline's clock.

Decides nothing: it is the one place in `flows` that asks the machine for the time, so that tests
and flows can give a time of their own. Never used by `flows.research`, which is pure.
Rule: a function whose result depends on the time takes `now_ms` as an argument.
"""

import time


def now_ms() -> int:
    """Return the wall time in UTC milliseconds."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Return seconds that never run backwards, for durations and deadlines."""
    return time.monotonic_ns() / 1e9
