"""Programs that the pipeline starts: each under a watchdog, with a log and a record of its own.

Decides that a program never outlives its owner, and that what a crash left behind is ended before
the next start. Never starts a program twice: one that another `tribar` runs is found and shared.
Rule: every long-lived child of the project is started by `spawn`, never by a bare `Popen`.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final, Self

import psutil

from features.errors import InputError
from flows.clock import monotonic_s
from flows.system.watchdog import GRACE_S, end_tree

HOST: Final = "127.0.0.1"
LOG_BYTES_MAX: Final = 10_000_000
LOG_LINES_SHOWN: Final = 5
LOOK_S: Final = 0.05


class ProgramError(RuntimeError):
    """A program that did not start, or ended by itself: the message is one line for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a watchdog wrote about the program it runs."""

    name: str
    url: str
    watchdog: int
    watchdog_created: float
    child: int
    child_created: float
    ending: bool = False

    @property
    def is_running(self) -> bool:
        """Whether the watchdog lives: then its owner does, and the program is in use."""
        return _is_alive(self.watchdog, self.watchdog_created)


class Program:
    """A program under its watchdog; closing the life line ends it."""

    def __init__(self, name: str, watchdog: subprocess.Popen[bytes], log: Path, start: int) -> None:
        self.name = name
        self.log = log
        self._watchdog = watchdog
        self._log_start = start

    @property
    def exit_code(self) -> int | None:
        """The program's exit code, or None while it runs."""
        return self._watchdog.poll()

    def output(self) -> str:
        """Return what the program has printed since it was started."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode("utf-8", errors="replace")

    def last_words(self) -> str:
        """Return the last lines of the log, for a message about a failure."""
        lines = [line.strip() for line in self.output().splitlines() if line.strip()]
        return " | ".join(lines[-LOG_LINES_SHOWN:]) or "it printed nothing"

    def wait(self, timeout_s: float) -> int | None:
        """Wait for the program's own end; None where it still runs after ``timeout_s``."""
        try:
            return self._watchdog.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def let_go(self) -> None:
        """Ask the program to end, without waiting for it."""
        if self._watchdog.stdin and not self._watchdog.stdin.closed:
            self._watchdog.stdin.close()

    def stop(self) -> None:
        """End the program and everything it started; returns when nothing of it is left."""
        self.let_go()
        if self.wait(GRACE_S + 10.0) is None:
            self._watchdog.kill()
            self._watchdog.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def spawn(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    logs: Path,
    run: Path,
    url: str = "",
    cwd: Path | None = None,
) -> Program:
    """Start ``command`` under a watchdog, its output appended to `<logs>/<name>.log`.

    Raises
    ------
    ProgramError
        Where another `tribar` already runs a program of this name.
    """
    logs.mkdir(parents=True, exist_ok=True)
    run.mkdir(parents=True, exist_ok=True)
    record = run / f"{name}.json"
    if (found := running(run, name)) is not None:
        raise ProgramError(
            f"{name} is already run by process {found.watchdog}; stop that one first"
        )
    log = logs / f"{name}.log"
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".log.1"))
    start = log.stat().st_size if log.exists() else 0
    watchdog = [sys.executable, "-m", "flows.system.watchdog", "--name", name, "--url", url]
    places = ["--record", str(record), "--log", str(log), "--"]
    handle = subprocess.Popen(  # noqa: S603 - the command is the project's own
        [*watchdog, *places, *command],
        stdin=subprocess.PIPE,
        env=dict(environment),
        cwd=cwd,
        start_new_session=True,
    )
    log.touch()
    return Program(name, handle, log, start)


def running(run: Path, name: str) -> Record | None:
    """Return the record of the program ``name`` where one runs; end what is left of a dead one.

    One that is being ended is waited for: its owner was killed a moment ago.
    """
    record = _read(run / f"{name}.json")
    pause, until_s = Event(), monotonic_s() + GRACE_S + 10.0
    while record is not None and record.ending and record.is_running and monotonic_s() < until_s:
        pause.wait(LOOK_S)
        record = _read(run / f"{name}.json")
    if record is None or record.is_running:
        return record
    if not psutil.pid_exists(record.child) or _is_alive(record.child, record.child_created):
        end_tree(record.child, GRACE_S)  # else the number now belongs to somebody else
    (run / f"{name}.json").unlink(missing_ok=True)
    return None


def records(run: Path) -> list[Record]:
    """Return the records of all programs that run now; end what is left of dead ones."""
    names = sorted(path.stem for path in run.glob("*.json"))
    return [found for name in names if (found := running(run, name)) is not None]


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def checked_port(port: int, title: str, setting: str) -> int:
    """Return ``port``, or a free one for 0.

    Raises
    ------
    InputError
        Where somebody listens there: one line that names the setting to change.
    """
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            reason = "needs more rights than this user has"
        except OSError:
            reason = f"is taken{_listener(port)}"
        else:
            return port
    variable = f"TRIBAR_SERVICES__{setting.upper()}"
    raise InputError(
        f"port {port} ({title}) {reason}; choose another with {variable}=… "
        f"or {setting} in configs/flows.toml [services]"
    )


def _listener(port: int) -> str:
    """Return who listens on ``port``, where the system lets us see it."""
    try:
        connections = psutil.net_connections(kind="tcp4")
        for connection in connections:
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port:
                name = psutil.Process(connection.pid).name() if connection.pid else "another user"
                return f" by {name} (process {connection.pid})" if connection.pid else f" by {name}"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return ""
    return ""


def _read(path: Path) -> Record | None:
    """Return the record in ``path``; a missing or torn one is none."""
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError, TypeError, UnicodeDecodeError):
        return None


def _is_alive(pid: int, created: float) -> bool:
    """Whether process ``pid`` runs and is the one that was recorded, not a later one."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
