"""A lockstep market that walks: bars in small portions, for tests that wait for something else.

In lockstep a market goes as fast as its client, so a test that waits for an alert or a registry
burns a core of bars meanwhile. Nothing of the lockstep changes: a portion is let through only once
the one before was done.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.support.paper import Paper

PORTION_BARS = 2
PORTION_S = 0.1


@asynccontextmanager
async def walking(paper: Paper) -> AsyncIterator[None]:
    """Let at most ``PORTION_BARS`` bars come in ``PORTION_S``."""
    task = asyncio.create_task(_walk(paper))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _walk(paper: Paper) -> None:
    address = paper.acknowledge_url.removesuffix("acknowledge")
    released = 0
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(address + "state") as reply:
                done = int((await reply.json())["step"])
            if done >= released:
                released = done + PORTION_BARS
                body = {"step": PORTION_BARS}
                async with session.post(address + "market", json=body) as reply:
                    assert reply.status == 200, await reply.text()
            await asyncio.sleep(PORTION_S)
