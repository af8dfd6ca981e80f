"""A cancellation that a library loses must not keep the process alive.

`asyncio.wait_for` of Python 3.11 may return in spite of a cancellation, and redis-py writes through
it; the fakes here lose every one.
"""

import asyncio
from typing import Any

import pytest

from executor.control.stream import Commands
from executor.core.contract import Keys
from executor.counters import Counters
from executor.errors import RetryableError
from executor.health.overview import Overview
from executor.health.publisher import Publisher
from executor.settings.settings import Settings
from executor.startup import insist
from executor.supervisor import heed_cancellation
from tests.support.clocks import FakeClock


class Deaf:
    """A Redis whose every answer swallows a cancellation."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def pipeline(self, transaction: bool) -> "Deaf":
        return self

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None

    async def execute(self) -> list[object]:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return []
        raise AssertionError

    async def xrevrange(self, *args: object, **kwargs: object) -> list[object]:
        return await self.execute()

    async def xread(self, *args: object, **kwargs: object) -> list[object]:
        return []


class Notes:
    """The journal as the commands see it."""

    def meta(self, key: str) -> str | None:
        return None


async def ends(task: "asyncio.Task[None]", redis: Deaf) -> None:
    """Cancel a task that waits for Redis; it must be gone in a moment."""
    await asyncio.wait_for(redis.asked.wait(), 5.0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5.0)
    task.cancel()
    assert done, "the helper outlived its cancellation"
    assert task.cancelled()


async def test_the_publisher_ends() -> None:
    redis, clock = Deaf(), FakeClock()
    publisher = Publisher(
        redis,  # type: ignore[arg-type]
        Keys("x:"),
        Overview(settings=Settings(), clock=clock, counters=Counters()),
        clock,
        interval_ms=60_000,
        holds_lease=lambda: True,
    )
    await ends(asyncio.create_task(publisher.run()), redis)


async def test_the_commands_end() -> None:
    redis = Deaf()
    commands = Commands(
        redis,  # type: ignore[arg-type]
        Keys("x:"),
        Notes(),  # type: ignore[arg-type]
        FakeClock(),
        desk=None,  # type: ignore[arg-type]  # nothing comes
        answer=lambda _: None,
    )
    await ends(asyncio.create_task(commands.run()), redis)


async def test_who_was_not_cancelled_goes_on() -> None:
    heed_cancellation()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.0):
            await asyncio.Event().wait()
    heed_cancellation()


async def test_a_step_of_the_start_that_fails_in_a_group_leaves_no_cancellation() -> None:
    """Before Python 3.13 it did, and the next look for lost cancellations ended the process."""
    tries: list[int] = []

    async def fails_once() -> None:
        await asyncio.sleep(0)
        tries.append(1)
        if len(tries) == 1:
            raise RetryableError("not yet")

    async def step() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails_once())

    clock = FakeClock()
    overview = Overview(settings=Settings(), clock=clock, counters=Counters())
    await insist("loading", step, overview, clock)
    assert len(tries) == 2
    heed_cancellation()
