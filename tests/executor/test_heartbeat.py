"""The heart beats on: through Redis and MLflow that restart, and an alert service that hangs.

The real publisher, alerts, rules and loader in virtual time; Redis, the registry and the alert
service are ports that fail on a seeded plan.
"""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import TimeoutError as RedisSlow

from executor.alerting.desk import Alert, Alerts, Level, Message
from executor.core.contract import Keys, Status
from executor.counters import Counters
from executor.health.alert_rules import AlertRules
from executor.health.overview import Overview
from executor.health.publisher import Publisher
from executor.models.loader import Loader
from executor.models.quarantine import Quarantine
from executor.models.registry import RegistryError
from executor.models.store import ModelStore
from executor.settings.sections import Alerts as AlertSettings
from executor.settings.settings import Settings
from executor.supervisor import Supervisor
from tests.executor.test_loader import POLICY
from tests.simulation.loop import VirtualLoop
from tests.support.mlflow_fake import Notes
from tests.support.trading import Desk

DAY_S = 86_400.0
GAP_S_MAX = 10.0


class LoopClock:
    """The clock of the running loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return 1_735_689_600_000 + int(self._loop.time() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Window:
    """A Redis that restarts; `beats` are the times at which it took a heartbeat."""

    def __init__(self, clock: LoopClock, rng: random.Random) -> None:
        self.clock, self.rng = clock, rng
        self.down_until = -1.0
        self.hangs = False
        self.beats: list[float] = []
        self.restarts = 0

    def restart(self) -> None:
        """Be away for up to four seconds: refusing connections, or not answering at all."""
        self.restarts += 1
        self.hangs = self.rng.random() < 0.5
        self.down_until = self.clock.monotonic() + self.rng.uniform(0.2, 4.0)

    def pipeline(self, transaction: bool = True) -> "Window":
        return self

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kw: self

    async def execute(self) -> None:
        await self.clock.sleep(self.rng.uniform(0.001, 0.02))
        if self.clock.monotonic() < self.down_until:
            if self.hangs:
                await self.clock.sleep(2.0)
                raise RedisSlow("no answer")
            raise RedisGone("restarting")
        self.beats.append(self.clock.monotonic())


class Away:
    """A registry that is away half of the time, and slow to say so."""

    def __init__(self, clock: LoopClock, rng: random.Random) -> None:
        self.clock, self.rng = clock, rng
        self.asked = 0

    async def by_alias(self, name: str, alias: str) -> Any:
        self.asked += 1
        if self.rng.random() < 0.5:
            await self.clock.sleep(10.0)
        raise RegistryError("MLflow restarts")


async def live(loop: VirtualLoop, days: float, folder: Path) -> tuple[Window, Alerts, Overview]:
    rng = random.Random(8)
    clock = LoopClock(loop)
    window, registry = Window(clock, rng), Away(clock, rng)
    overview = Overview(settings=Settings(), clock=clock, counters=Counters())
    desk = Desk()
    overview.parts.state, overview.parts.params = desk.state, desk.params
    overview.phase, overview.redis_wanted = Status.RUNNING, True
    supervisor = Supervisor(clock)
    publisher = Publisher(
        window,  # type: ignore[arg-type]  # a port
        Keys("h:"), overview, clock, interval_ms=5_000, holds_lease=lambda: True,
    )  # fmt: skip

    async def hang(_: Message) -> bool:
        await asyncio.Event().wait()
        return False

    alerts = Alerts(AlertSettings(), clock, hang, name="t")
    rules = AlertRules(AlertSettings(), overview, alerts, clock)
    quarantine = Quarantine(registry, "tribar", Notes(), clock)  # type: ignore[arg-type]  # a port
    loader = Loader(registry, ModelStore(folder), POLICY, clock, quarantine)  # type: ignore[arg-type]  # a port
    overview.parts.loader = loader

    async def nobody(_: Any) -> None:
        raise AssertionError("there is no model")

    helpers = {
        "publisher": publisher.run,
        "alerts": alerts.run,
        "alert_rules": rules.run,
        "loader": lambda: loader.run(nobody),
    }
    tasks = [loop.create_task(supervisor.supervise(name, run)) for name, run in helpers.items()]
    while loop.time() < days * DAY_S:
        await clock.sleep(30.0 + rng.expovariate(1 / 870.0))
        window.restart()
        for number in range(20):
            alerts.tell(Alert(level=Level.WARNING, code="error", about=str(number), text="x"))
        if rng.random() < 0.3:
            publisher.wake()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not supervisor.failures
    assert registry.asked > 100
    return window, alerts, overview


def beat_for(days: float, folder: Path) -> None:
    """Live so many days; look at every gap between two heartbeats that Redis took."""
    loop = VirtualLoop(random.Random(8))
    try:
        window, alerts, overview = loop.run_until_complete(live(loop, days, folder))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    gaps = [b - a for a, b in zip(window.beats, window.beats[1:], strict=False)]
    assert window.restarts > 50 * days
    assert len(window.beats) > days * DAY_S / 5.1 * 0.95
    assert max(gaps) <= GAP_S_MAX, max(gaps)
    assert overview.counters.max_heartbeat_gap_s == pytest.approx(max(gaps), abs=0.1)
    assert alerts.told.problem == "the alert service hangs"
    assert alerts.waiting <= AlertSettings().queue_max


@pytest.mark.slow
def test_no_gap_of_ten_seconds_in_three_hours_of_trouble(tmp_path: Path) -> None:
    beat_for(1 / 8, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_no_gap_of_ten_seconds_in_ten_days(tmp_path: Path) -> None:
    beat_for(10.0, tmp_path)
