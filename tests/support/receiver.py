"""A service that takes alerts: HTTP on localhost, with a memory and moods.

Speaks what Apprise's `json://` sends. `mood` is "well", "down" (503), or "hangs" (no answer until
the receiver is closed).
"""

import asyncio
from typing import Any, Self

from aiohttp import web


class Receiver:
    """Use as an async context manager; `got` lists the bodies, `pings` counts GETs."""

    def __init__(self) -> None:
        self.mood = "well"
        self.got: list[dict[str, Any]] = []
        self.pings = 0
        self.asked = 0
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._closing = asyncio.Event()

    @property
    def alert_url(self) -> str:
        """Return the address for Apprise."""
        return f"json://127.0.0.1:{self._port}/alerts"

    @property
    def ping_url(self) -> str:
        """Return the address for the dead man's switch."""
        return f"http://127.0.0.1:{self._port}/ping/5ca1ab1e-0000-4000"

    @property
    def codes(self) -> list[str]:
        """Return the codes of the alerts that came: the third part of their titles."""
        return [body["title"].split(": ")[2].split(" ")[0] for body in self.got]

    async def until(self, *codes: str, seconds: float = 30.0) -> None:
        """Wait until all of these alerts came."""
        try:
            async with asyncio.timeout(seconds):
                while not set(codes) <= set(self.codes):  # noqa: ASYNC110 - a bounded look
                    await asyncio.sleep(0.02)
        except TimeoutError:
            missing = sorted(set(codes) - set(self.codes))
            raise AssertionError(f"not told: {missing}; came: {self.codes}") from None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/alerts", self._alert)
        app.router.add_get("/ping/{name}", self._ping)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _alert(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await request.json()
        if self.mood == "hangs":
            await self._closing.wait()
        if self.mood != "well":
            return web.Response(status=503)
        self.got.append(body)
        return web.Response(status=200)

    async def _ping(self, _request: web.Request) -> web.Response:
        self.pings += 1
        return web.Response(status=200 if self.mood == "well" else 503)
