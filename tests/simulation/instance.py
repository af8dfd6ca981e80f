"""One run of the executor as a simulated process: the real `App` on simulated ports.

Decides what is put in the place of what: the clock, Redis, the journal's disk, the registry, ccxt's
network. Never changes what the executor does. Rule: everything that is replaced is named in
:data:`REPLACED`, once; the idle polls are made slower there too, for speed and nothing else.
"""

import asyncio
import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import stamina.instrumentation
import tenacity
from ccxt.async_support.base import throttler

from executor import app, assembly, session
from executor.app import App
from executor.control import stream as commands
from executor.journal.recovery import rebuild
from executor.journal.store import Journal
from executor.model_changes import kept_model
from executor.models import loader, quarantine
from executor.models.registry import RegistryError, Version
from executor.models.store import ModelStore
from executor.settings.settings import Settings
from executor.venue import lean_ccxt
from tests.simulation import client, market
from tests.simulation.journal_port import SimulatedFileLock, SimulatedJournal
from tests.simulation.loop import PROCESS, Dead, Process
from tests.simulation.redis_port import RedisPort

IDLE_POLL_S = 2.0
MONOTONIC_START_S = 1_000.0


class SimulatedClock:
    """The clock of one process: wall time with the step of its machine, and virtual time."""

    def __init__(self, process: "Instance") -> None:
        self._process = process
        self._loop = process.loop

    def now_ms(self) -> int:
        """Return the machine's wall time; the process may be paused right before."""
        self._process.faults.touch(self._process, "time")
        step_ms = self._process.host.clock_step_ms
        return market.START_MS + int(self._loop.time() * 1000) + step_ms

    def monotonic(self) -> float:
        """Return virtual seconds; the process may be paused right before."""
        self._process.faults.touch(self._process, "clock")
        return MONOTONIC_START_S + self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        if self._process.dead:
            raise Dead
        await asyncio.sleep(seconds)


class SimulatedRegistry:
    """The registry of models, as the loader asks it."""

    def __init__(self, _url: str, _timeout_ms: int, **_login: str) -> None:
        process = PROCESS.get()
        assert isinstance(process, Instance)
        self._process = process

    async def close(self) -> None:
        """Nothing is open."""

    async def by_alias(self, name: str, alias: str) -> Version:
        """Return the version that is promoted."""
        await self._ask()
        number, tags, _ = self._process.world.registry.current
        return Version(name=name, version=number, source=alias, tags=tags)

    async def set_tag(self, name: str, version: str, key: str, value: str) -> bool:
        """Take a tag; nobody reads it here."""
        await self._process.clock.sleep(0.01)
        return version in self._process.world.registry.versions

    async def bundle_path(self, version: Version) -> str:
        """Return where a version lies."""
        return version.version

    async def file(self, path: str) -> bytes:
        """Return one file of a version."""
        await self._ask()
        number, _, name = path.partition("/")
        files: dict[str, bytes] = self._process.world.registry.versions[number]
        if name not in files:
            raise RegistryError(f"no {name}")
        return files[name]

    async def _ask(self) -> None:
        """Let a request reach the registry, or fail."""
        process = self._process
        process.faults.touch(process, "registry")
        await process.clock.sleep(0.01)
        away = process.loop.time() < process.world.registry.out_until
        if away or process.faults.happens(process.faults.rates.registry):
            process.faults.count("registry_error")
            raise RegistryError("the registry does not answer")


class SimulatedApp(App):
    """The executor with another Redis."""

    def _connect(self) -> Any:
        process = PROCESS.get()
        assert isinstance(process, Instance)
        port = RedisPort(process.world.redis, process, process.faults)
        port.read = process.world.monitors.command_read
        return port


class Instance(Process):
    """One process from its start to its end. ``host`` is its machine and disk."""

    def __init__(self, world: Any, host: Any, number: int) -> None:
        super().__init__(world.loop, f"{host.name}{number}")
        self.world = world
        self.host = host
        self.faults = world.faults
        self.clock = SimulatedClock(self)
        self.resources: list[Any] = []
        self.stop = asyncio.Event()
        self.app: SimulatedApp | None = None
        self.started_at = world.loop.time()
        self.life: asyncio.Task[int] = world.loop.create_task(self._live(), context=self.context)

    async def _live(self) -> int:
        self.app = SimulatedApp(self.host.settings, self.clock, None)
        return await self.app._until(self.stop)

    @property
    def running(self) -> bool:
        """Say whether it trades, by its own account: for people and for timing, not for proof."""
        return self.app is not None and self.app.overview.step == "trading" and not self.dead

    @property
    def has_journal(self) -> bool:
        """Say whether the journal's lock is ours."""
        return any(getattr(resource, "held", False) for resource in self.resources)

    @property
    def disk_broke(self) -> bool:
        """Say whether a write of this process failed."""
        return any(getattr(resource, "hit", False) for resource in self.resources)

    def believed(self) -> dict[str, float]:
        """Return the signed positions that a start from this journal would believe in."""
        assert self.app is not None
        parts = self.app.overview.parts
        store = ModelStore(self.host.settings.model.store)
        with Journal(self.host.journal) as journal:
            state = rebuild(journal, parts.params, partial(kept_model, store))
        held = state.ledger.positions.values() if state is not None else ()
        return {p.symbol: p.side * p.quantity for p in held}

    def crash(self) -> None:
        """Kill -9: the disk and the locks are given back by the kernel, nothing else happens."""
        if self.dead:
            return
        for resource in self.resources:
            resource.close()
        self.kill()


class SimulatedLog:
    """Takes the executor's log lines into the trace."""

    def __init__(self, name: str, say: Callable[[str, str, dict[str, Any]], None]) -> None:
        self._name = name
        self._say = say

    def __getattr__(self, level: str) -> Callable[..., None]:
        def line(*words: Any, **fields: Any) -> None:
            self._say(level, f"{self._name}.{words[-1]}", fields)

        return line


REPLACED: tuple[tuple[Any, str, Any], ...] = (
    (app, "Journal", SimulatedJournal),
    (app, "FileLock", SimulatedFileLock),
    (app, "STANDBY_POLL_S", IDLE_POLL_S),
    (commands, "POLL_S", IDLE_POLL_S),
    (quarantine, "PAUSE_FIRST_S", 60.0),  # it has nothing to tell: every third sleep was its look
    (assembly, "Registry", SimulatedRegistry),
    (assembly, "default_catalog", market.catalog),
    (session, "process_age_s", lambda: 0.0),
    (loader, "default_catalog", market.catalog),
    (lean_ccxt, "exchange_class", client.exchange_class),
)


@contextlib.contextmanager
def installed(world: Any) -> Iterator[None]:
    """Put the simulated ports in place while one run lasts."""
    loop = world.loop
    replaced = [*REPLACED]
    replaced.append((throttler, "time", loop.time))
    replaced.append((tenacity, "time", SimpleNamespace(monotonic=loop.time, sleep=None)))
    for name, module in sorted(sys.modules.items()):
        if name.startswith("executor.") and hasattr(module, "log"):
            replaced.append((module, "log", SimulatedLog(name.split(".")[-1], world.log)))
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    hooks = stamina.instrumentation.get_on_retry_hooks()
    chance = random.getstate()
    stamina.instrumentation.set_on_retry_hooks(())
    random.seed(world.seed)
    for owner, name, value in replaced:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
        random.setstate(chance)
        stamina.instrumentation.set_on_retry_hooks(hooks)


class Host:
    """One machine: its disk (a journal, a model store), its wall clock, and what runs on it."""

    def __init__(self, name: str, folder: Path, journal: str, limits: market.Limits) -> None:
        self.name = name
        self.name_of_journal = journal
        self.journal = folder / f"{journal}.db"
        models = folder / f"{name}-models"
        self.settings: Settings = market.executor_settings(self.journal, models, limits)
        self.clock_step_ms = 0
        self.instance: Instance | None = None
        self.starts = 0
