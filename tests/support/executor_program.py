"""The executor as a program, in its own lean environment where there is one.

`ExecutorProgram` writes a configuration, starts `python -m executor run`, asks it for its status,
kills it as often as a test likes, and always stops it. Every wait is bounded.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.support.paper import Paper

ROOT = Path(__file__).resolve().parents[2]
LEAN = ROOT / ".venv-executor" / "bin" / "python"
WAIT_S = 120.0


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Return sections as TOML; JSON's literals are TOML's too."""
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


class ExecutorProgram:
    """One executor; `start` it again after `kill` and it goes on from its journal."""

    def __init__(
        self,
        folder: Path,
        paper: Paper,
        *,
        redis_url: str,
        registry_url: str,
        symbols: tuple[str, ...],
        name: str = "executor",
        prefix: str = "bot:",
        lockstep: bool = True,
        changes: Mapping[str, Mapping[str, object]] | None = None,
        without: tuple[tuple[str, str], ...] = (),
        env: Mapping[str, str] | None = None,
        token: str = "",
    ) -> None:
        """`changes` adds to the configuration, `without` leaves keys out; `env` is added."""
        self.folder = folder
        self.port = free_port()
        self.journal = folder / f"{name}.db"
        self.summary = folder / f"{name}-summary.json"
        self.log = folder / f"{name}.log"
        self.config = folder / f"{name}.toml"
        self._process: subprocess.Popen[bytes] | None = None
        sections: dict[str, dict[str, object]] = {
            "trading": {"symbols": list(symbols)},
            "venue": {
                "url": paper.url,
                "ws_url": paper.ws,
                "api_key": paper.api_key,
                "api_secret": paper.secret,
            },
            "feed": {"acknowledge_url": paper.acknowledge_url if lockstep else ""},
            "redis": {"url": redis_url, "prefix": prefix, "heartbeat_interval_ms": 500},
            "model": {"registry_url": registry_url, "store": str(folder / f"{name}-models")},
            "journal": {"path": str(self.journal)},
            "backup": {"folder": str(folder / "backups")},
            "health": {"port": self.port},
            "recovery": {
                "backoff_first_ms": 200,
                "backoff_most_ms": 2_000,
                "rate_limit_ms": 1_000,
                "open_ms": 1_000,
                "open_reads_ms": 500,
                "calls_second": 1_000,
            },
            "log": {"file": str(folder / f"{name}.jsonl")},
            "limits": {"model_age_days_max": 100_000},
        }
        for section, values in (changes or {}).items():
            sections.setdefault(section, {}).update(values)
        for section, key in without:
            sections[section].pop(key, None)
        self.env = dict(env or {})
        token = token or sections.get("control", {}).get("token", "")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.config.write_text(toml(sections))

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the program; its output goes to the log."""
        python = LEAN if LEAN.exists() else Path(sys.executable)
        command = [str(python), "-m", "executor", "run", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--summary", str(self.summary)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=self._environment(),
            )

    def _environment(self) -> dict[str, str]:
        """Return this process's environment without what is meant for another executor."""
        foreign = ("TRIBAR_", "REDIS_", "MLFLOW_", "PYTHONDONTWRITEBYTECODE")
        own = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        return own | self.env

    def signal(self, number: int) -> None:
        """Send a signal."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill -9, and see it gone."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait(10)

    async def stopped(self, seconds: float = 10.0) -> int:
        """Wait for the end; return the exit code."""
        assert self._process is not None
        code = await asyncio.to_thread(self._process.wait, seconds)
        return int(code)

    def words(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-6_000:] if self.log.exists() else ""

    async def told(self, *arguments: str) -> tuple[int, str]:
        """Run a command of the command line against this program; return exit code and words."""
        python = LEAN if LEAN.exists() else Path(sys.executable)
        command = [str(python), "-m", "executor", *arguments, "--config", str(self.config)]
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment(),
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    async def get(self, path: str = "/status") -> tuple[int, dict[str, Any]]:
        """Ask the program; (0, {}) where it does not answer."""
        timeout = aiohttp.ClientTimeout(total=2.0)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session,
                session.get(self.url + path) as reply,
            ):
                return reply.status, await reply.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, {}

    async def until(
        self, wanted: Callable[[dict[str, Any]], bool], what: str, seconds: float = WAIT_S
    ) -> dict[str, Any]:
        """Wait until the status is as wanted, and return it."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    _, status = await self.get()
                    if status and wanted(status):
                        return status
                    assert self._process is not None
                    assert self._process.poll() is None, f"it ended:\n{self.words()}"
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not {what} after {seconds} s:\n{self.words()}") from None

    async def until_running(self) -> dict[str, Any]:
        """Wait until it trades."""
        return await self.until(lambda s: s["status"] in {"RUNNING", "DEGRADED"}, "running")

    async def until_finished(self, seconds: float = WAIT_S) -> dict[str, Any]:
        """Wait until an accelerated market has no more bars."""
        return await self.until(lambda s: bool(s["market_finished"]), "finished", seconds)
