"""One run: the market, the machines, the faults and those who watch.

Decides when the market moves, when what is drawn from the seed happens, and when a process that
ended is started again. Never judges (monitors do). Rule: everything here runs outside of any
process; after the faults are over the market stands still, so that everything can come to rest.
"""

import asyncio
import hashlib
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from executor.app import INSTANCE
from executor.core.contract import Keys
from executor.journal.store import Journal
from tests.simulation import chaos, market
from tests.simulation.faults import Faults
from tests.simulation.instance import Host, Instance
from tests.simulation.loop import PROCESS, VirtualLoop
from tests.simulation.monitors import Monitors
from tests.simulation.redis_port import RedisServer
from tests.simulation.registry import ModelRegistry
from tests.simulation.venue_port import VenuePort

TICKS_A_BAR = 8
OPENING_S = 1.0
REST_S = 150.0
AGREE_TRIES = 12
STARTS_MOST = 100
MEMORY_DISK = Path("/dev/shm")


@dataclass(slots=True)
class Result:
    """What one run brought."""

    seed: int
    violations: list[str]
    faults: dict[str, int]
    entries: int
    fills: int
    starts: int
    handles: int
    sha256: str
    trace: list[str] = field(default_factory=list)


class World:
    """Everything of one run. Call :meth:`run` once, inside of the loop."""

    def __init__(
        self,
        seed: int,
        loop: VirtualLoop,
        faults: Faults,
        *,
        hours: float,
        trace: bool = False,
        until_seen: bool = False,
    ) -> None:
        self.seed = seed
        self.loop = loop
        self.faults = faults
        self.seconds = hours * 3600.0
        self.keys = Keys("bot:")
        self._trace = trace
        self._until_seen = until_seen
        self._digest = hashlib.sha256()
        self.lines: list[str] = []
        self.folder = Path(
            tempfile.mkdtemp(prefix="sim-", dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None)
        )
        bars = int(self.seconds * 1000) // market.INTERVAL_MS + 2
        self.venue = VenuePort(loop, faults, seed, bars)
        self.redis = RedisServer(lambda: market.START_MS + loop.time() * 1000)
        self.registry = ModelRegistry()
        self.broken_disks: dict[Path, float] = {}
        self.limits = market.limits(seed)
        self.hosts = self._hosts()
        self.monitors = Monitors(self)
        faults.struck = lambda name, detail: self.say("fault", f"{name} {detail}")
        faults.killer = self.crashed
        self.starts = 0

    def _hosts(self) -> list[Host]:
        second = self.faults.rates.second
        hosts = [Host("a", self.folder, "a", self.limits)]
        if second:
            hosts.append(Host("b", self.folder, "a" if second == "same" else "b", self.limits))
        for host in hosts:
            with Journal(host.journal) as journal:
                journal.set_meta(INSTANCE, f"journal-{host.name_of_journal}")
        return hosts

    def say(self, kind: str, text: str) -> None:
        """Add a line to the trace."""
        line = f"{self.loop.time():11.3f} {kind:9} {text}"
        self._digest.update(line.encode())
        if self._trace:
            self.lines.append(line)

    def log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """Take a log line of an executor."""
        if level == "debug":
            return
        self.monitors.logged(level, event, fields)
        if self._trace:
            words = " ".join(f"{name}={value}" for name, value in fields.items())
            process = PROCESS.get()
            who = "" if process is None else process.name
            self.lines.append(f"{self.loop.time():11.3f} log       {who} {event} {words[:300]}")

    @property
    def instances(self) -> list[Instance]:
        """Return the processes that live."""
        return [h.instance for h in self.hosts if h.instance is not None and not h.instance.dead]

    def command(self, name: str) -> None:
        """Give an executor a command, as a person does."""
        if self.faults.on:
            body = orjson.dumps({"name": name, "who": "simulation"}).decode()
            entry = self.redis.add(self.keys.commands, {"command": body})
            self.say("command", name)
            self.monitors.commanded(name, entry)

    def later(self, seconds: float, what: Callable[..., Any], *arguments: Any) -> None:
        """Do something in a while, outside of any process."""
        self.loop.call_later(max(0.0, seconds), what, *arguments)

    def start(self, host: Host) -> None:
        """Start the executor on a machine where it does not run."""
        if (host.instance is not None and not host.instance.dead) or host.starts > STARTS_MOST:
            return
        host.starts += 1
        host.instance = instance = Instance(self, host, host.starts)
        instance.life.add_done_callback(lambda _: self._ended(instance))
        self.say("start", instance.name)

    def crashed(self, instance: Any) -> None:
        """Kill a process; something starts it again."""
        if instance.dead:
            return
        self.say("crash", instance.name)
        instance.crash()
        self._again(instance.host)

    def _ended(self, instance: Instance) -> None:
        """See how a process ended that was not killed; start it again."""
        self.monitors.ended(instance)
        if instance.dead:
            return
        problem = "" if instance.life.cancelled() else repr(instance.life.exception() or "")
        self.say("end", f"{instance.name} {problem}")
        instance.crash()
        self._again(instance.host)

    def _again(self, host: Host) -> None:
        delay = 1.0 + 14.0 * self.faults.rng.random() if self.faults.on else 1.0
        self.later(delay, self.start, host)

    async def run(self) -> Result:
        """Live through the whole run and return what the monitors saw."""
        try:
            for number, host in enumerate(self.hosts):
                self.later(0.5 * number, self.start, host)
            chaos.plan(self)
            await self._market()
            chaos.calm(self)
            await asyncio.sleep(REST_S)
            for _ in range(AGREE_TRIES):
                if not self.monitors.differences():
                    break
                await asyncio.sleep(10.0)
            self.monitors.finish()
            for instance in self.instances:
                instance.crash()
            await asyncio.sleep(1.0)
        finally:
            self.monitors.close()
            shutil.rmtree(self.folder, ignore_errors=True)
        return self._result()

    async def _market(self) -> None:
        """Move the market bar by bar, at its own time, and open one more bar.

        Whoever asks for candles after a close knows that it is one by the bar that follows.
        """
        mover = self.venue.parts.mover
        step_s = market.INTERVAL_MS / 1000 / TICKS_A_BAR
        at = 0.0
        while at < self.seconds and not (self._until_seen and self.monitors.violations):
            mover.begin(TICKS_A_BAR)
            for _ in range(TICKS_A_BAR):
                at += step_s
                await asyncio.sleep(at - self.loop.time())
                mover.tick()
                deque(mover.news(), maxlen=0)
            mover.close()
            deque(mover.news(), maxlen=0)
        mover.begin(TICKS_A_BAR)
        await asyncio.sleep(OPENING_S)
        mover.tick()
        deque(mover.news(), maxlen=0)

    def _result(self) -> Result:
        monitors = self.monitors
        return Result(
            seed=self.seed,
            violations=monitors.violations,
            faults=dict(self.faults.counts),
            entries=monitors.entries,
            fills=monitors.fills,
            starts=sum(host.starts for host in self.hosts),
            handles=self.loop.handles,
            sha256=self._digest.hexdigest(),
            trace=self.lines,
        )
