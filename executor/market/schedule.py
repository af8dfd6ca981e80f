"""When the venue will settle funding next, as it announces itself.

Decides when the announcements are read: once for each hour that brought a settlement, for all
symbols in one call. Never decides what a bar waits for (`settlements` does). Rule: an announcement
that has passed, or that could not be read, is none; the rhythm of the past stands in for it.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import structlog

from executor.errors import VenueError
from features.funding import on_minute

log = structlog.get_logger("schedule")


class Announcer(Protocol):
    """Who announces settlements: the venue."""

    async def next_settlements(self) -> Mapping[str, int]:
        """Return the time of the next settlement by symbol, of those that have one."""
        ...


class Schedule:
    """The newest announcements; ``read`` is shared by all symbols that ask in the same hour."""

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer
        self._lock = asyncio.Lock()
        self._next: Mapping[str, int] = {}
        self._read_ms = -1

    async def read(self, market_ms: int, *, again: bool = False) -> None:
        """Read all announcements, unless that was done at ``market_ms`` or later."""
        async with self._lock:
            if market_ms <= self._read_ms and not again:
                return
            try:
                found = await self._announcer.next_settlements()
            except VenueError as error:
                log.warning("schedule_not_read", error=str(error))
                found = {}
            times = on_minute(np.array(list(found.values()), np.int64)).tolist()
            whole = zip(found, times, strict=True)
            self._next = {symbol: at for symbol, at in whole if at > market_ms}
            self._read_ms = max(self._read_ms, market_ms)

    def next_ms(self, symbol: str) -> int:
        """Return when the symbol is settled next, 0 where nothing is known."""
        return self._next.get(symbol, 0)
