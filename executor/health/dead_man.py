"""The dead man's switch: a ping that stops when we do.

Decides that the address is called as long as the process is healthy, and not called otherwise: the
service at the other end tells people when it hears nothing. Never retries (the next ping is the
retry) and never delays anything. Rule: the address is a secret and appears in no line.
"""

import aiohttp
import structlog

from executor.clock import Clock
from executor.health.overview import Overview

TIMEOUT_S = 10.0

log = structlog.get_logger("dead_man")


class DeadMan:
    """Pings for as long as the process runs."""

    def __init__(self, url: str, interval_ms: int, overview: Overview, clock: Clock) -> None:
        self._url = url
        self._interval_s = interval_ms / 1000
        self._overview = overview
        self._clock = clock
        self.pings = 0
        self.failed = 0

    async def run(self) -> None:
        """Ping every interval while all is well."""
        timeout = aiohttp.ClientTimeout(total=min(TIMEOUT_S, self._interval_s))
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                if self._overview.judge().is_healthy:
                    await self._ping(session)
                await self._clock.sleep(self._interval_s)

    async def _ping(self, session: aiohttp.ClientSession) -> None:
        try:
            async with session.get(self._url) as reply:
                taken = reply.status < 400
        except (aiohttp.ClientError, TimeoutError, OSError):
            taken = False
        if taken:
            self.pings += 1
            return
        self.failed += 1
        log.warning("ping_failed", failed=self.failed)
