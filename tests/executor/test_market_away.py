"""An accelerated market that is away keeps the trader from nothing else."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from executor.market.lockstep import Lockstep
from tests.support.clocks import FakeClock


class Market:
    """Takes acknowledgements, or answers 503."""

    def __init__(self) -> None:
        self.away = False
        self.taken: list[int] = []

    async def acknowledge(self, request: web.Request) -> web.Response:
        if self.away:
            return web.Response(status=503, text="away")
        self.taken.append((await request.json())["close_ms"])
        return web.json_response({"finished": len(self.taken) > 1})


@pytest.fixture
async def server() -> AsyncIterator[tuple[Market, str]]:
    market, app = Market(), web.Application()
    app.router.add_post("/", market.acknowledge)
    async with TestServer(app) as made:
        yield market, str(made.make_url("/"))


async def test_it_returns_where_the_trader_is_wanted_and_is_asked_again(
    server: tuple[Market, str],
) -> None:
    market, url = server
    waiting = False
    lockstep = Lockstep(url, "me", FakeClock(), is_wanted=lambda: waiting)
    market.away, waiting = True, True
    async with asyncio.timeout(5.0):
        await lockstep.acknowledge(1_000, 0)  # a kill waits: it comes first
    assert market.taken == []
    market.away, waiting = False, False
    await lockstep.acknowledge(1_000, 0)
    await lockstep.acknowledge(1_000, 0)
    assert (market.taken, lockstep.finished) == ([1_000], False)
    await lockstep.acknowledge(2_000, 0)
    assert lockstep.finished
    await lockstep.close()
