"""What is measured of the process itself, beside trading: time, memory, calls, life of the tasks.

Decides how each figure is taken and over how many of the newest it is averaged. Never decides
whether a figure is bad (`overview` compares it with the settings). Rule: a measurement costs less
than a microsecond where it stands on the way of a decision.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from executor.vitals.hearts import Hearts

NEWEST: Final = 100


def resident_mb() -> float:
    """Return the resident memory of this process in megabytes, 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    for line in lines:
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


@dataclass(slots=True, kw_only=True)
class Vitals:
    """The newest measurements; ``memory_mb`` takes the memory of the process when it is asked."""

    hearts: Hearts = field(default_factory=Hearts)
    scan_ms: deque[float] = field(default_factory=lambda: deque(maxlen=NEWEST))
    loop_lag_s: deque[float] = field(default_factory=lambda: deque(maxlen=NEWEST))
    naked_since: float | None = None
    naked_s_max: float = 0.0
    started: float | None = None
    memory_mb: Callable[[], float] = resident_mb

    def note_naked(self, is_naked: bool, now: float) -> float:
        """Take in whether a position lacks its stop; return for how many seconds it has."""
        if not is_naked:
            self.naked_since = None
            return 0.0
        if self.naked_since is None:
            self.naked_since = now
        seconds = now - self.naked_since
        self.naked_s_max = max(self.naked_s_max, seconds)
        return seconds

    def naked_s(self, now: float) -> float:
        """Return for how many seconds a position has lacked its stop."""
        return 0.0 if self.naked_since is None else now - self.naked_since

    def uptime_s(self, now: float) -> float:
        """Return how long the process has been up."""
        return 0.0 if self.started is None else now - self.started

    def scan_ms_last(self) -> float:
        """Return how long the newest close took until its last decision was journaled."""
        return self.scan_ms[-1] if self.scan_ms else 0.0

    def loop_lag_s_max(self) -> float:
        """Return the worst of the newest delays of the event loop."""
        return max(self.loop_lag_s, default=0.0)
