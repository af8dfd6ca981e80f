"""Telling an accelerated market that everything of a close is done.

Decides when a close was acknowledged and what body is posted. Never decides that it is done (the
trader does). Rule: the same close is posted again until it was answered, so a lost reply cannot
stop the market, and never in the way of anything else that waits for the trader; market time is
what the closes say, never the clock.
"""

import logging
from collections.abc import Callable
from typing import Final

import aiohttp
import structlog

from executor.clock import Clock
from executor.core.contract import AcknowledgeBody

PAUSE_S: Final = 0.5

log = structlog.get_logger("lockstep")


class Lockstep:
    """Posts acknowledgements to one address. ``finished`` once the market has no more bars."""

    def __init__(self, url: str, client: str, clock: Clock, is_wanted: Callable[[], bool]) -> None:
        self._is_wanted = is_wanted
        self._failing = False
        self._url = url
        self._client = client
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._done_ms = -1
        self._openings = 0
        self.finished = False

    async def acknowledge(self, close_ms: int, openings: int) -> None:
        """Say that everything up to ``close_ms`` is done: once, and again when asked again.

        ``openings`` counts the pushes of bars whose predecessor was done already: one more is what
        the market asks with. Where the market is away and the trader is wanted elsewhere it
        returns, and is called again.
        """
        if close_ms <= self._done_ms and openings == self._openings:
            return
        body = AcknowledgeBody(client=self._client, close_ms=close_ms, openings=True)
        while not await self._post(body):
            if self._is_wanted():
                return
            await self._clock.sleep(PAUSE_S)
        self._done_ms, self._openings = max(self._done_ms, close_ms), openings

    async def _post(self, body: AcknowledgeBody) -> bool:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10.0))
        try:
            async with self._session.post(self._url, json=body) as response:
                reply = await response.json(content_type=None)
                response.raise_for_status()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            level = logging.DEBUG if self._failing else logging.WARNING
            self._failing = True
            text = str(error) or type(error).__name__
            log.log(level, "market_does_not_answer", close_ms=body["close_ms"], error=text)
            return False
        if self._failing:
            log.info("market_answers_again", close_ms=body["close_ms"])
        self._failing = False
        self.finished = bool(reply.get("finished")) if isinstance(reply, dict) else False
        return True

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()
