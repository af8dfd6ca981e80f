"""A process that stands still ends itself; one that was frozen as a whole goes on."""

import asyncio
import subprocess
import sys

import pytest

from executor.supervisor import Supervisor
from executor.vitals.hearts import BeatingClock, Hearts
from executor.vitals.process import Vitals
from executor.vitals.watchdog import STUCK_EXIT, Watchdog
from tests.support.clocks import FakeClock
from tests.support.executor_program import ROOT

STUCK = """
import asyncio, time
from executor.clock import SystemClock
from executor.vitals.process import Vitals
from executor.vitals.watchdog import Watchdog

async def main():
    dog = Watchdog(SystemClock(), Vitals(), limit_ms=400, backlog=lambda: (0, 0))
    with dog:
        pulse = asyncio.create_task(dog.pulse())
        await asyncio.sleep(0.8)
        print("alive", flush=True)
        time.sleep(50)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_loop_that_stands_still_ends_the_process_with_every_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUCK.replace("0.8", "1.6").replace("=400", "=1500")],
        cwd=ROOT, capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert done.stdout == "alive\n", "a loop that turns is left alone"
    assert done.returncode == STUCK_EXIT
    assert "the event loop stands still" in done.stderr
    assert "Current thread" in done.stderr
    assert "in main" in done.stderr, "it says where it stood"


def dog(clock: FakeClock, backlog: tuple[int, int] = (0, 0)) -> Watchdog:
    return Watchdog(clock, Vitals(), limit_ms=30_000, backlog=lambda: backlog)


def test_silence_counts_only_while_the_watching_thread_ran_itself() -> None:
    clock = FakeClock()
    watch = dog(clock)
    seen = watch.observe(-1, 1.0)
    clock.pass_s(3_600.0)
    watch.observe(seen, 1.0)
    assert watch.stuck() == "" or "trader" in watch.stuck()
    for _ in range(30):
        watch.observe(seen, 1.0)
    assert "event loop stands still for 31 s" in watch.stuck()


async def test_a_trader_with_work_that_handles_nothing_is_stuck() -> None:
    clock = FakeClock()
    waiting = [3, 7]
    watch = Watchdog(clock, Vitals(), limit_ms=30_000, backlog=lambda: (waiting[0], waiting[1]))
    pulse = asyncio.create_task(watch.pulse())
    await asyncio.sleep(0.01)
    clock.pass_s(59.0)
    assert watch.stuck() == ""
    clock.pass_s(2.0)
    assert "the trader handles nothing for 61 s" in watch.stuck()
    pulse.cancel()


async def test_a_task_that_waits_with_the_clock_is_expected_back() -> None:
    """The beat of a task needs no line in it: its clock beats for it."""
    clock, hearts = FakeClock(), Hearts()
    beating = BeatingClock(clock, hearts)
    supervisor = Supervisor(beating, hearts)
    stuck, turns = asyncio.Event(), []

    async def helper() -> None:
        for _ in range(3):
            turns.append(1)
            await beating.sleep(60.0)
        await stuck.wait()

    async def outside() -> None:
        await stuck.wait()

    tasks = [
        asyncio.create_task(supervisor.supervise(name, run))
        for name, run in (("loader", helper), ("candles", outside))
    ]
    while len(turns) < 3:  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert hearts.overdue_s(clock.monotonic()) == {"loader": 0.0}, "sockets are not expected"
    clock.pass_s(31.0)
    assert hearts.overdue_s(clock.monotonic())["loader"] >= 31.0
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
