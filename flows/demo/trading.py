"""The trading part of a demo: the executor against the paper exchange, watched from outside.

Decides the executor's configuration for the run, when it is done, and that one that dies in the
middle is started again (the exchange waits for it, its journal knows where it was). Never looks
into the process: figures come from Redis, the journal and the operating system.
Rule: every figure is one that was measured in this run.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from typing import Final, Self

import psutil
import redis

from executor.core.contract import Keys, Status
from features.errors import InputError
from flows.clock import monotonic_s
from flows.demo.journal import JournalView, progress, read_journal
from flows.demo.plan import MODEL_NAME, REDIS_PREFIX, Plan
from flows.settings import Settings
from flows.shown.terminal import Stage
from flows.system.processes import Program, ProgramError, free_port, running, spawn
from flows.system.programs import PaperExchange, executor_environment, executor_python
from flows.system.services import Services

POLL_S: Final = 0.25
START_POLL_S: Final = 0.02
START_TIMEOUT_S: Final = 90.0
STALL_TIMEOUT_S: Final = 120.0
RESTARTS_MAX: Final = 5
BAD_INPUT_CODE: Final = 2
HEARTBEAT_INTERVAL_MS: Final = 1_000
PAPER_KEY: Final = "paper"  # of the paper exchange on this machine; it opens nothing else
NAME: Final = "executor-demo"


@dataclass(slots=True, kw_only=True)
class Vitals:
    """Signs of life, as seen from outside."""

    cold_start_s: float = 0.0
    rss_mb: float = 0.0
    heartbeats: int = 0
    heartbeat_gap_s_max: float = 0.0
    restarts: int = 0
    last_beat: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """What the trading part found."""

    journal: JournalView
    vitals: Vitals
    is_lean: bool


class Trader:
    """The executor of a demo, under a watchdog; it is started again where it dies."""

    def __init__(
        self, settings: Settings, services: Services, plan: Plan, paper: PaperExchange
    ) -> None:
        self._settings = settings
        self._services = services
        self._plan = plan
        self._paper = paper
        self._program: Program | None = None
        self._keys = Keys(REDIS_PREFIX)
        self._redis = redis.Redis.from_url(
            services["redis"].url, decode_responses=True, socket_timeout=5.0
        )
        self.python, self.is_lean = executor_python(settings)
        self.health_port = free_port()
        self.config_path = plan.folder / "executor.toml"
        self.journal_path = plan.folder / "journal.db"
        self.vitals = Vitals()

    def __enter__(self) -> Self:
        """Forget what an earlier demo published."""
        for key in self._redis.scan_iter(f"{REDIS_PREFIX}*"):
            self._redis.delete(key)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._redis.close()

    def stop(self) -> None:
        """End the executor in order."""
        if self._program is not None:
            self._program.stop()

    @property
    def url(self) -> str:
        """Where the executor tells about its health."""
        return f"http://127.0.0.1:{self.health_port}"

    def start(self, stage: Stage) -> None:
        """Start the executor and wait until it says that it runs.

        Raises
        ------
        ProgramError
            Where it ended or does not run in time.
        """
        self.config_path.parent.mkdir(parents=True, exist_ok=True)
        self.config_path.write_text(_toml(self._configuration()), encoding="utf-8")
        started_s, pause = monotonic_s(), Event()
        self._spawn()
        while self._status() not in {Status.RUNNING, Status.DEGRADED, Status.OPTIMIZING}:
            stage.say(f"{self.python.parent.parent.name} {(self._status() or 'starting').lower()}")
            if self._exit_code() is not None:
                raise ProgramError(f"the executor did not start: {self._last_words()}")
            if monotonic_s() - started_s > START_TIMEOUT_S:
                raise ProgramError(f"the executor did not run in time: {self._last_words()}")
            pause.wait(START_POLL_S)
        self.vitals.cold_start_s = monotonic_s() - started_s

    def trade(self, stage: Stage) -> Traded:
        """Watch until the last bar is done, and return what was found.

        Raises
        ------
        ProgramError
            Where the executor keeps dying, or no bar is done for a long time.
        """
        pause, moved_s, seen = Event(), monotonic_s(), -1
        while True:
            market = self._paper.state()
            bars, equity, trades = progress(self.journal_path)
            if bars != seen:
                seen, moved_s = bars, monotonic_s()
            stage.advance(bars, self._plan.bars, f"equity {equity:,.2f} USDT · {trades} trades")
            self._feel()
            if market.get("finished") and (bars >= self._plan.bars or monotonic_s() - moved_s > 2):
                return self.found()
            self._keep_alive(stage)
            if monotonic_s() - moved_s > STALL_TIMEOUT_S:
                raise ProgramError(
                    f"no bar was done for {STALL_TIMEOUT_S:.0f} s: {self._last_words()}"
                )
            pause.wait(POLL_S)

    def found(self) -> Traded:
        """Return the figures as they are now."""
        journal = read_journal(self.journal_path)
        return Traded(journal=journal, vitals=self.vitals, is_lean=self.is_lean)

    def _spawn(self) -> None:
        paths = self._settings.paths
        self._program = spawn(
            NAME,
            [str(self.python), "-m", "executor", "run", "--config", str(self.config_path)],
            environment=executor_environment(self._settings, self._services),
            logs=paths.logs,
            run=paths.run,
            url=self.url,
        )

    def _keep_alive(self, stage: Stage) -> None:
        """Start the executor again where it has died; a wrong configuration is not retried."""
        code = self._exit_code()
        if code is None:
            return
        words = self._last_words()
        if code == BAD_INPUT_CODE:
            raise InputError(f"the executor refused its configuration: {words}")
        if self.vitals.restarts >= RESTARTS_MAX:
            raise ProgramError(
                f"the executor died {RESTARTS_MAX + 1} times, last with {code}: {words}"
            )
        self.vitals.restarts += 1
        stage.say(f"the executor ended with code {code}; starting it again")
        self.stop()
        self._spawn()

    def _feel(self) -> None:
        """Note the memory and the heartbeat."""
        record = running(self._settings.paths.run, NAME)
        if record is not None:
            try:
                rss_mb = psutil.Process(record.child).memory_info().rss / 1e6
                self.vitals.rss_mb = max(self.vitals.rss_mb, rss_mb)
            except psutil.NoSuchProcess:
                pass  # it ends just now; the next look starts it again
        beat = self._get(self._keys.heartbeat)
        if beat and beat != self.vitals.last_beat:
            self.vitals.heartbeats += 1
            if self.vitals.last_beat:
                gap = datetime.fromisoformat(beat) - datetime.fromisoformat(self.vitals.last_beat)
                self.vitals.heartbeat_gap_s_max = max(
                    self.vitals.heartbeat_gap_s_max, gap.total_seconds()
                )
            self.vitals.last_beat = beat

    def _status(self) -> str:
        return self._get(self._keys.status)

    def _get(self, key: str) -> str:
        try:
            return str(self._redis.get(key) or "")
        except (redis.RedisError, OSError):
            return ""  # the executor works without Redis; a missing beat is what is reported

    def _exit_code(self) -> int | None:
        return self._program.exit_code if self._program else None

    def _last_words(self) -> str:
        return self._program.last_words() if self._program else "it was not started"

    def _configuration(self) -> dict[str, dict[str, object]]:
        plan, folder = self._plan, self._plan.folder
        return {
            "trading": {
                "environment": "paper",
                "symbols": list(plan.symbols),
                "interval": plan.interval,
            },
            "venue": {
                "id": "bybit",
                "url": self._paper.url,
                "ws_url": self._paper.ws_url,
                "api_key": PAPER_KEY,
                "api_secret": PAPER_KEY,
            },
            "feed": {"acknowledge_url": self._paper.acknowledge_url},
            "redis": {
                "url": self._services["redis"].url,
                "prefix": REDIS_PREFIX,
                "heartbeat_interval_ms": HEARTBEAT_INTERVAL_MS,
            },
            "model": {
                "registry_url": self._services["mlflow"].url,
                "name": MODEL_NAME,
                "store": str(folder / "models"),
            },
            "journal": {"path": str(self.journal_path)},
            "health": {"port": self.health_port},
        }


def _toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Return sections of text, numbers and lists as TOML; JSON's literals are TOML's too."""
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
