"""The only place of the executor that reads clocks.

Decides what "now" is: wall time for signatures, leases, heartbeats and ages, and a monotonic time
for deadlines. Never knows market time, which comes with the events.
Rule: every other module takes a :class:`Clock`; a test passes one that it moves by hand.
"""

import asyncio
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Wall time, monotonic time and waiting."""

    def now_ms(self) -> int:
        """Return UTC wall time in milliseconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now_ms(self) -> int:
        """Return UTC wall time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment."""
        return time.monotonic()  # noqa: TID251 - this module is the clock port

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds."""
        await asyncio.sleep(seconds)


def iso(time_ms: int) -> str:
    """Return ``time_ms`` as ISO 8601 UTC with milliseconds, as people and Redis readers see it."""
    moment = datetime.fromtimestamp(time_ms / 1000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def process_age_s() -> float:
    """Return the seconds since this process began, as the kernel counts them (0 if unknown)."""
    try:
        stat = Path("/proc/self/stat").read_text(encoding="ascii")
        uptime_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except OSError:
        return 0.0
    started_ticks = float(stat.rpartition(")")[2].split()[19])
    return max(0.0, uptime_s - started_ticks / os.sysconf("SC_CLK_TCK"))
