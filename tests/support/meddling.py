"""A proxy before a venue: shuffles pages, changes one bar for a while, and counts what passes.

The venue stays as it is; what ingestion sees is what a bad day of a real one looks like.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
import numpy as np
from aiohttp import web

from tests.support.candle_venue import run_app


@dataclass
class Meddler:
    """What the proxy does; change it at any time."""

    venue: str
    shuffle: bool = True
    wrong_open_ms: int | None = None  # this bar's close is served a tenth of a percent too high
    stamps_s: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    async def serve(self, request: web.Request) -> web.Response:
        self.stamps_s.append(asyncio.get_running_loop().time())
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.venue}{request.rel_url}") as reply,
        ):
            body, status = await reply.text(), reply.status
        self.statuses.append(status)
        if request.path.endswith("/kline"):
            body = self._meddle(body)
        return web.Response(text=body, status=status, content_type="application/json")

    def _meddle(self, body: str) -> str:
        try:
            whole = json.loads(body)
            rows = whole["result"]["list"]
        except (ValueError, KeyError):
            return body  # broken already
        for row in rows:
            if int(row[0]) == self.wrong_open_ms:
                row[4] = str(float(row[4]) * 1.001)
                row[2] = str(max(float(row[2]), float(row[4])))
        if self.shuffle:
            self.rng.shuffle(rows)
        return json.dumps(whole)

    def most_in_window(self, seconds: float) -> int:
        """The most requests in any window of so many seconds."""
        stamps = np.array(self.stamps_s)
        later = np.searchsorted(stamps, stamps + seconds)
        return int((later - np.arange(stamps.size)).max())


@contextmanager
def meddled(venue: str) -> Iterator[tuple[str, Meddler]]:
    """Serve the proxy on a free local port; yield its URL and what it does."""
    meddler = Meddler(venue)
    with run_app(meddler.serve) as url:
        yield url, meddler
