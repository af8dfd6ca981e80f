"""Telling people: a bounded queue, and what of it is sent how often.

Decides that the same alert is not sent twice within ``repeat_ms`` (what came between is counted and
told; an event is never the same as another), that no more than ``hourly_max`` messages leave in an
hour (half is kept for warnings, a quarter for critical ones; the rest is summed up in one), and
that a service which is away or hangs delays alerts and nothing else. Never decides what is worth
telling (`alert_rules` does) and never sends (`deliver` is an argument). Rule: :meth:`Alerts.tell`
returns at once, whatever happens.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import structlog

from executor.clock import Clock
from executor.settings.sections import Alerts as AlertSettings

HOUR_S: Final = 3_600.0
TRIES: Final = 5
PAUSE_FIRST_S: Final = 1.0
PAUSE_MOST_S: Final = 60.0
SUBJECTS_KEPT: Final = 1_000

log = structlog.get_logger("alerts")


class Level(IntEnum):
    """How bad it is."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2


# Of an hour's messages, what is kept for levels above this one.
KEPT_FOR_WORSE: Final = {Level.INFO: 0.5, Level.WARNING: 0.25, Level.CRITICAL: 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing to tell. ``code`` and ``about`` say which alerts are the same.

    ``is_event`` says that it happened now and is no repetition of anything: a second kill is told
    however soon it follows the first.
    """

    level: Level
    code: str
    text: str
    about: str = ""
    is_event: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What leaves the house."""

    level: Level
    title: str
    body: str


Deliver = Callable[[Message], Awaitable[bool]]


@dataclass(slots=True)
class _Seen:
    """An alert that was sent: when, and how often it came again since."""

    sent_at: float
    again: int = 0


@dataclass(slots=True, kw_only=True)
class Told:
    """What became of alerts, for metrics and `/status`."""

    raised: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    failed: int = 0
    repeated: int = 0
    dropped: int = 0
    problem: str = ""


class Alerts:
    """Takes alerts and sends them from :meth:`run`, a task of its own."""

    def __init__(
        self, settings: AlertSettings, clock: Clock, deliver: Deliver | None, *, name: str
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._deliver = deliver
        self._name = name
        self._queue: deque[Alert] = deque()
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._sent_at: deque[float] = deque()
        self._withheld: Counter[str] = Counter()
        self.told = Told()

    @property
    def configured(self) -> bool:
        """Say whether anybody is told."""
        return self._deliver is not None

    @property
    def waiting(self) -> int:
        """Return how many alerts wait."""
        return len(self._queue)

    def tell(self, alert: Alert) -> None:
        """Take an alert; at once, and without ever failing."""
        self.told.raised[alert.code] += 1
        key = (alert.code, alert.about)
        seen, now = self._seen.get(key), self._clock.monotonic()
        is_repeated = seen is not None and now - seen.sent_at < self._settings.repeat_ms / 1000
        if seen is not None and is_repeated and not alert.is_event:
            seen.again += 1
            self.told.repeated += 1
            return
        log.log(20 + 10 * alert.level, "alert", code=alert.code, about=alert.about, text=alert.text)
        if seen is not None and seen.again and not alert.is_event:
            text = f"{alert.text} (and {seen.again} more like it since the last message)"
            alert = Alert(level=alert.level, code=alert.code, about=alert.about, text=text)
        self._seen.pop(key, None)
        self._seen[key] = _Seen(sent_at=now)
        while len(self._seen) > SUBJECTS_KEPT:
            del self._seen[next(iter(self._seen))]
        if self._deliver is not None and alert.level >= Level[self._settings.level.upper()]:
            self._put(alert)

    def forget(self, code: str, about: str = "") -> None:
        """Let the next alert of this kind be told at once: what it was about has passed."""
        self._seen.pop((code, about), None)

    def _put(self, alert: Alert) -> None:
        """Queue an alert; where the queue is full, the oldest of the lowest level gives way."""
        self._queue.append(alert)
        if len(self._queue) > self._settings.queue_max:
            lowest = min(waiting.level for waiting in self._queue)
            victim = next(waiting for waiting in self._queue if waiting.level == lowest)
            self._queue.remove(victim)
            self._withhold(victim)
        self._idle.clear()
        self._filled.set()

    def _withhold(self, alert: Alert) -> None:
        self._withheld[alert.code] += 1
        self.told.dropped += 1

    async def run(self) -> None:
        """Send what comes, for as long as the process runs."""
        while True:
            await self._filled.wait()
            while self._queue:
                await self._send(self._queue.popleft())
            self._filled.clear()
            self._idle.set()

    async def flush(self, timeout_s: float) -> bool:
        """Wait until everything was sent or given up, at most so long; say whether it was."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _send(self, alert: Alert) -> None:
        """Send one alert, a few times where the service does not take it."""
        if not self._within_budget(alert.level):
            self._withhold(alert)
            return
        message = self._message(alert)
        pause_s = PAUSE_FIRST_S
        for number in range(TRIES):
            if await self._once(message):
                self._sent_at.append(self._clock.monotonic())
                self._withheld.clear()
                self.told.sent += 1
                self.told.problem = ""
                return
            if number + 1 < TRIES:
                await self._clock.sleep(pause_s)
                pause_s = min(4 * pause_s, PAUSE_MOST_S)
        self.told.failed += 1
        self._withhold(alert)

    async def _once(self, message: Message) -> bool:
        """Hand a message over; a service that hangs is left after ``timeout_ms``."""
        if self._deliver is None:
            return False
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1000):
                taken = await self._deliver(message)
        except TimeoutError:
            self._unwell("the alert service hangs")
            return False
        if not taken:
            self._unwell("the alert service does not take it")
        return taken

    def _unwell(self, problem: str) -> None:
        if problem != self.told.problem:
            log.warning("alert_not_sent", problem=problem)
        self.told.problem = problem

    def _within_budget(self, level: Level) -> bool:
        """Say whether one more message may leave within the hour."""
        now = self._clock.monotonic()
        while self._sent_at and now - self._sent_at[0] > HOUR_S:
            self._sent_at.popleft()
        most = self._settings.hourly_max
        return len(self._sent_at) < most - int(KEPT_FOR_WORSE[level] * most)

    def _message(self, alert: Alert) -> Message:
        about = f" {alert.about}" if alert.about else ""
        body = alert.text
        if self._withheld:
            counts = ", ".join(f"{code} {count}" for code, count in self._withheld.most_common(5))
            body += f"\n\nNot sent before this, to keep the number of messages down: {counts}"
        return Message(
            level=alert.level,
            title=f"{self._name}: {alert.level.name.lower()}: {alert.code}{about}",
            body=body,
        )
