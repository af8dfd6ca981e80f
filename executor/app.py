"""Starts the process, waits for the end, and stops it in order.

Decides the frame around a session: signals, health, the file lock and the lease (a second instance
stands by here, visibly), the exit code and the summary. Stops stay at the exchange; nothing is
flattened by a shutdown. Never holds a rule of trading. Rule: whatever ends the process, the lease
is given back where that is possible, and one line says why it ended.
"""

import asyncio
import secrets
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from executor.clock import Clock
from executor.core.contract import Keys, Status
from executor.counters import Counters
from executor.errors import JournalError
from executor.health.overview import Overview
from executor.health.server import HealthServer
from executor.journal.backup import Backups, Plan, Sources
from executor.journal.codec import encode
from executor.journal.store import Journal
from executor.lease.lease import INSTANCE, FileLock, Lease
from executor.operations import Operations
from executor.session import Session
from executor.settings.settings import CONFIG_NAME, Settings
from executor.supervisor import Supervisor, heed_cancellation
from executor.vitals.hearts import BeatingClock, Hearts
from executor.vitals.process import Vitals
from features.errors import InputError

STANDBY_POLL_S: Final = 0.5
DRAIN_S: Final = 9.0
CONFIG: Final = "config_hash"
LEASE_KNOWN: Final = "lease_known"
JOURNAL_EXIT: Final = 74
UNASKED_EXIT: Final = 70

log = structlog.get_logger("app")


class App:
    """One run of the executor."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        summary: Path | None,
        config: Path = Path(CONFIG_NAME),
    ) -> None:
        self._backups = Backups(
            Sources(journal=settings.journal.path, models=settings.model.store, config=config),
            Plan(
                folder=settings.backup.folder,
                interval_ms=settings.backup.interval_ms,
                kept=settings.backup.kept,
                url=settings.backup.url.get_secret_value(),
            ),
            clock,
            ready=lambda: self.overview.phase is Status.RUNNING,
        )
        hearts = Hearts()
        self._settings = settings
        self._clock = clock = BeatingClock(clock, hearts)
        self._summary = summary
        self._session: Session | None = None
        self._supervisor = Supervisor(clock, hearts)
        self.overview = Overview(
            settings=settings, clock=clock, counters=Counters(), vitals=Vitals(hearts=hearts)
        )

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit code."""
        stop = asyncio.Event()
        set_on_retry_hooks([_asked_again])
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        health = self._settings.health
        async with HealthServer(self.overview, health.host, health.port) as server:
            log.info(
                "starting",
                environment=self._settings.trading.environment,
                profile=self._settings.trading.profile,
                config=self._settings.config_hash(),
                health=server.url,
            )
            log.info("settings", **self._settings.model_dump(mode="json"))
            async with Operations(self._settings, self.overview, self._clock, self._supervisor):
                backups = asyncio.create_task(self._backups.run())
                code = await self._until(stop)
                backups.cancel()
            self._write_summary()
        return code

    async def _until(self, stop: asyncio.Event) -> int:
        """Live until asked to stop, or until something ends it."""
        life = asyncio.create_task(self._live())
        asked = asyncio.create_task(stop.wait())
        await asyncio.wait({life, asked}, return_when=asyncio.FIRST_COMPLETED)
        is_asked = stop.is_set()
        asked.cancel()
        self.overview.is_ending = True
        if not life.done():
            log.info("stopping")
            await self._drain()
            life.cancel()
        try:
            await life
        except asyncio.CancelledError:
            pass
        except (JournalError, InputError, ExceptionGroup) as error:
            return self._failed(_first(error))
        if not is_asked:
            self.overview.phase = Status.ERROR
            log.error("ended_unasked", step=self.overview.step)
            return UNASKED_EXIT
        self.overview.phase = Status.STOPPED
        return 0

    def _failed(self, error: BaseException) -> int:
        """Say in one line why the process ends; what nobody foresaw keeps its traceback."""
        self.overview.phase = Status.ERROR
        self.overview.problem = str(error)
        if not isinstance(error, JournalError):
            raise error
        log.error("journal_failed", problem=str(error))
        return JOURNAL_EXIT

    async def _drain(self) -> None:
        """Let the session settle; what takes too long is left to the next start."""
        if self._session is None:
            return
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._session.drain()
        except TimeoutError:
            log.warning("drain_timed_out")

    async def _live(self) -> None:
        """Hold lock and lease, and trade meanwhile."""
        settings, overview = self._settings, self.overview
        path = settings.journal.path
        began = self._clock.monotonic()
        async with AsyncExitStack() as stack:
            lock = stack.enter_context(FileLock(path.with_name(path.name + ".lock")))
            if not lock.try_lock():
                self._step(f"standing by: another instance uses the journal {path}")
                await lock.lock(self._clock)
            overview.step = "opening the journal"
            journal = stack.enter_context(Journal(path))
            self._note_settings(journal)
            redis = self._connect()
            stack.push_async_callback(redis.aclose)
            lease = self._lease(redis, journal)
            stack.push_async_callback(lease.release)
            overview.parts.lease, overview.redis_wanted = lease, True
            await self._take(lease, journal)
            overview.counters.waited_s = self._clock.monotonic() - began
            overview.commands.not_yet = "the start is not over"
            supervisor = self._supervisor
            self._session = Session(settings, self._clock, overview, journal, redis, lease)
            stack.push_async_callback(self._session.close)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(supervisor.supervise("lease", lambda: self._keep(lease)))
                await self._session.start(tasks, supervisor)

    def _note_settings(self, journal: Journal) -> None:
        """Keep the hash of the settings in the journal; say where it is not the last run's."""
        now, before = self._settings.config_hash(), journal.meta(CONFIG)
        if before not in (None, now):
            log.warning("settings_changed", before=before, now=now)
        journal.set_meta(CONFIG, now)

    def _connect(self) -> Redis:
        redis = self._settings.redis
        timeout_s = redis.timeout_ms / 1000
        return Redis.from_url(
            redis.url.get_secret_value(),
            decode_responses=True,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),
        )

    def _lease(self, redis: Redis, journal: Journal) -> Lease:
        """Return the lease, in the name of this journal whichever process holds it."""
        owner = journal.meta(INSTANCE)
        if owner is None:
            owner = f"{socket.gethostname()}-{secrets.token_hex(4)}"
            journal.set_meta(INSTANCE, owner)
        keys = Keys(self._settings.redis.prefix)
        return Lease(
            redis,
            self._clock,
            key=keys.lease,
            counter=keys.lease_token,
            owner=owner,
            ttl_ms=self._settings.lease.ttl_ms,
            known=int(journal.meta(LEASE_KNOWN) or 0),
        )

    async def _take(self, lease: Lease, journal: Journal) -> None:
        """Wait until the lease is ours: a standby waits here, and says for whom."""
        known = lease.known
        while True:
            held = await lease.keep()
            heed_cancellation()
            if lease.known > known:
                known = lease.known
                journal.set_meta(LEASE_KNOWN, str(known))
            if held:
                return
            who = (
                "standing by"
                if lease.reachable
                else "waiting for Redis, there is no lease without it"
            )
            self._step(f"{who}: {lease.absence()}")
            await self._clock.sleep(STANDBY_POLL_S)

    def _step(self, text: str) -> None:
        """Say what is waited for, once, in the log too: a silent process looks broken."""
        if text != self.overview.step:
            log.warning("start_waits", problem=text)
        self.overview.step = self.overview.commands.not_yet = text

    async def _keep(self, lease: Lease) -> None:
        """Renew the lease for as long as the process runs; say when it is lost or taken."""
        held = True
        while True:
            await self._clock.sleep(self._settings.lease.renew_ms / 1000)
            now = await lease.keep()
            heed_cancellation()
            if now != held:
                log.warning("lease_taken" if now else "lease_lost", holder=lease.holder)
                held = now

    def _write_summary(self) -> None:
        if self._summary is None:
            return
        try:
            self._summary.parent.mkdir(parents=True, exist_ok=True)
            self._summary.write_text(encode(self.overview.summary()) + "\n", encoding="utf-8")
        except OSError as error:
            log.warning("summary_not_written", file=str(self._summary), error=str(error))


def _asked_again(details: RetryDetails) -> None:
    """Say that a query failed and is asked again: what waits without a word looks broken."""
    pause_s, error = round(details.wait_for, 1), str(details.caused_by)
    log.warning("asked_again", error=error, tries=details.retry_num, pause_s=pause_s)


def _first(error: BaseException) -> BaseException:
    """Return the first error inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
