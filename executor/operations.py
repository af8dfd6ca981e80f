"""What runs beside trading from the first second to the last: alerts, watchdog, reports, the ping.

Decides that these live longer than a session (a standby and a start that waits are watched and
told of too) and in which order they end. Never touches trading. Rule: each is supervised on its
own; whatever fails here is said, counted and started again, and trading never notices.
"""

import asyncio
import socket
from types import TracebackType
from typing import Final, Self

import structlog

from executor.alerting.desk import Alert, Alerts, Deliver, Level
from executor.alerting.process import AlertProcess, addresses
from executor.clock import Clock
from executor.core.contract import Status
from executor.health.alert_rules import AlertRules
from executor.health.dead_man import DeadMan
from executor.health.overview import Overview
from executor.health.report import HealthReports
from executor.settings.settings import Settings
from executor.supervisor import Supervisor
from executor.vitals.watchdog import Watchdog

FLUSH_S: Final = 3.0

log = structlog.get_logger("operations")


class Operations:
    """Use as an async context manager around the life of the process.

    ``deliver`` stands in for the alert services where a test wants to see what is sent.
    """

    def __init__(
        self,
        settings: Settings,
        overview: Overview,
        clock: Clock,
        supervisor: Supervisor,
        deliver: Deliver | None = None,
    ) -> None:
        self._settings = settings
        self._overview = overview
        self._clock = clock
        self._supervisor = supervisor
        self._tasks: list[asyncio.Task[None]] = []
        urls = addresses(settings.alerts.urls.get_secret_value())
        self._process = AlertProcess(urls) if urls and deliver is None else None
        if self._process is not None:
            deliver = self._process.deliver
        self.alerts = Alerts(settings.alerts, clock, deliver, name="tribar")
        self.rules = AlertRules(settings.alerts, overview, self.alerts, clock)
        self.reports = HealthReports(overview, clock, settings.health.report_interval_ms)
        self.watchdog = Watchdog(
            clock,
            overview.vitals,
            limit_ms=settings.health.watchdog_ms,
            backlog=self._backlog,
        )
        ping = settings.alerts.ping_url.get_secret_value()
        self.dead_man = (
            DeadMan(ping, settings.alerts.ping_interval_ms, overview, clock) if ping else None
        )
        overview.alerts, overview.reports = self.alerts, self.reports.kept
        overview.listeners.append(self.rules.after)
        overview.vitals.started = clock.monotonic()

    def _backlog(self) -> tuple[int, int]:
        return self._overview.parts.backlog()

    async def __aenter__(self) -> Self:
        self.watchdog.__enter__()
        helpers = [
            ("alerts", self.alerts.run),
            ("alert_rules", self.rules.run),
            ("health_report", self.reports.run),
            ("watchdog", self.watchdog.pulse),
        ]
        if self.dead_man is not None:
            helpers.append(("dead_man", self.dead_man.run))
        self._tasks = [
            asyncio.create_task(self._supervisor.supervise(name, run), name=name)
            for name, run in helpers
        ]
        trading = self._settings.trading
        count = f"{len(trading.symbols)} symbols"
        if self._settings.universe.mode == "auto":
            count = f"an automatic universe of {self._settings.universe.count_max} at most"
        health = self._settings.health
        where = f"on {socket.gethostname()}, health on {health.host}:{health.port}"
        text = f"{trading.environment}, {trading.profile}, {count}, {where}"
        self.alerts.tell(Alert(level=Level.INFO, code="started", text=text))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.reports.report("shutdown")
        if self._overview.phase is Status.ERROR or error is not None:
            text = self._overview.problem or repr(error)
            self.alerts.tell(Alert(level=Level.CRITICAL, code="died", text=text))
        else:
            held = len(self._overview.positions())
            left = f"; {held} positions stay, their stops rest at the exchange" if held else ""
            text = f"stopped by request{left}"
            said = Alert(level=Level.INFO, code="stopped", text=text)
            self.alerts.tell(said)
        if self.alerts.configured and not await self.alerts.flush(FLUSH_S):
            log.warning("alerts_not_sent", waiting=self.alerts.waiting)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._process is not None:
            await self._process.close()
        self.watchdog.__exit__(kind, error, trace)
