"""The local servers: they answer, end with their owner whatever ends it, and say a taken port.

The programs here are small and made for the case; the real servers run in tests/e2e/test_demo.py.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from features.errors import InputError
from flows.settings_source import process_environment
from flows.system.processes import (
    Program,
    ProgramError,
    checked_port,
    free_port,
    records,
    running,
    spawn,
)
from flows.system.services import NAMES, Service, Services, answers, known
from tests.support.servers import settings_at

ROOT = Path(__file__).resolve().parents[3]
SLEEPER = "import time, sys; print('up', flush=True); time.sleep(600)"
# A program with a child in a session of its own, that ignores a polite request.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""
OWNER = """
import os, sys, time
from pathlib import Path
from flows.system.processes import spawn
home = Path(sys.argv[1])
program = spawn("sleeper", [sys.executable, "-c", sys.argv[2]], environment=dict(os.environ),
                logs=home / "logs", run=home / "run")
while not program.output():
    time.sleep(0.02)
print(program.output().split()[0], flush=True)
time.sleep(600)
"""


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for ``condition``, with a bound."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def start(home: Path, code: str, name: str = "sleeper") -> Program:
    return spawn(
        name,
        [sys.executable, "-c", code],
        environment=process_environment(),
        logs=home / "logs",
        run=home / "run",
    )


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that runs a sleeper; its first line is the sleeper's word."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), SLEEPER],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def test_a_program_runs_until_it_is_stopped_and_leaves_no_record(tmp_path: Path) -> None:
    with start(tmp_path, SLEEPER) as program:
        until(lambda: "up" in program.output())
        record = running(tmp_path / "run", "sleeper")
        assert record is not None
        assert alive(record.child)
    assert not alive(record.child)
    assert records(tmp_path / "run") == []


@pytest.mark.slow
def test_a_program_that_ignores_requests_is_ended_with_its_children(tmp_path: Path) -> None:
    """Also a child in a session of its own, as Prefect starts flow runs."""
    program = start(tmp_path, STUBBORN)
    until(lambda: program.output().strip().isdigit())
    grandchild = int(program.output())
    assert alive(grandchild)
    program.stop()
    assert not alive(grandchild)


def test_a_program_that_ends_by_itself_is_seen_with_its_code_and_last_words(tmp_path: Path) -> None:
    with start(tmp_path, "import sys; print('no luck'); sys.exit(3)") as program:
        assert program.wait(20.0) == 3
        assert "no luck" in program.last_words()


def test_only_the_words_of_this_start_are_heard(tmp_path: Path) -> None:
    with start(tmp_path, "print('first')") as program:
        program.wait(20.0)
    with start(tmp_path, "print('second')") as program:
        program.wait(20.0)
        assert program.output() == "second\n"
    assert (tmp_path / "logs" / "sleeper.log").read_text() == "first\nsecond\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_however_the_owner_dies_nothing_is_left(
    tmp_path: Path, owner: subprocess.Popen[str], number: signal.Signals
) -> None:
    record = running(tmp_path / "run", "sleeper")
    assert record is not None
    owner.send_signal(number)
    owner.wait(20)
    until(lambda: not alive(record.child) and not alive(record.watchdog))
    assert records(tmp_path / "run") == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends it")
def test_a_killed_watchdog_takes_its_program_along(
    tmp_path: Path, owner: subprocess.Popen[str]
) -> None:
    record = running(tmp_path / "run", "sleeper")
    assert record is not None
    os.kill(record.watchdog, signal.SIGKILL)
    until(lambda: not alive(record.child))


def test_what_a_crash_left_is_ended_before_the_next_start(tmp_path: Path) -> None:
    """Watchdog gone, program alive, as after a kill on a system without parent-death signals."""
    with subprocess.Popen([sys.executable, "-c", SLEEPER], process_group=0) as orphan:
        (tmp_path / "run").mkdir()
        record = {
            "name": "sleeper",
            "url": "",
            "watchdog": 2**22 + 1,
            "watchdog_created": 1.0,
            "child": orphan.pid,
            "child_created": psutil.Process(orphan.pid).create_time(),
        }
        (tmp_path / "run" / "sleeper.json").write_text(json.dumps(record))
        with start(tmp_path, SLEEPER):
            until(lambda: orphan.poll() is not None)


def test_a_number_that_now_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], process_group=0) as stranger:
        (tmp_path / "run").mkdir()
        record = {
            "name": "sleeper",
            "url": "",
            "watchdog": 2**22 + 1,
            "watchdog_created": 1.0,
            "child": stranger.pid,
            "child_created": 1.0,
        }
        (tmp_path / "run" / "sleeper.json").write_text(json.dumps(record))
        assert running(tmp_path / "run", "sleeper") is None
        assert stranger.poll() is None
        stranger.kill()


def test_a_torn_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "sleeper.json").write_text('{"name": "slee')
    assert running(tmp_path, "sleeper") is None


def test_the_same_program_is_not_started_twice(tmp_path: Path) -> None:
    with start(tmp_path, SLEEPER):
        until(lambda: running(tmp_path / "run", "sleeper") is not None)
        with pytest.raises(ProgramError, match="already run by process"):
            start(tmp_path, SLEEPER)


def test_who_starts_again_at_once_after_a_kill_waits_for_the_end_of_the_old_one(
    tmp_path: Path,
) -> None:
    slow = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: time.sleep(2) or exit())"
    killed = start(tmp_path, f"{slow}; print('up', flush=True); time.sleep(600)")
    until(lambda: "up" in killed.output())
    record = running(tmp_path / "run", "sleeper")
    assert record is not None
    killed.let_go()  # what the kill of an owner does
    until(lambda: '"ending": true' in (tmp_path / "run" / "sleeper.json").read_text())
    assert alive(record.child)
    with start(tmp_path, SLEEPER):
        assert not alive(record.child)
    killed.stop()


def test_a_long_log_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "sleeper.log").write_bytes(b"x" * 10_000_001)
    with start(tmp_path, "print('new')") as program:
        program.wait(20.0)
    assert (tmp_path / "logs" / "sleeper.log").read_text() == "new\n"
    assert (tmp_path / "logs" / "sleeper.log.1").stat().st_size == 10_000_001


def test_a_taken_port_names_the_setting_and_who_has_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = settings_at(tmp_path, TRIBAR_SERVICES__MLFLOW_PORT=str(port))
        with Services(settings) as services, pytest.raises(InputError) as raised:
            services.start(("mlflow",), lambda _: None)
    told = str(raised.value)
    assert f"port {port} (MLflow) is taken" in told
    assert "TRIBAR_SERVICES__MLFLOW_PORT" in told
    assert "configs/flows.toml" in told
    assert "\n" not in told


def test_a_free_port_is_free() -> None:
    port = free_port()
    assert checked_port(port, "x", "x_port") == port
    assert checked_port(0, "x", "x_port") > 0


@pytest.mark.parametrize("name", NAMES)
def test_an_external_server_that_does_not_answer_is_said_in_one_line(
    tmp_path: Path, name: str
) -> None:
    dead = free_port()
    scheme = "redis" if name == "redis" else "http"
    settings = settings_at(
        tmp_path,
        TRIBAR_SERVICES__CHECK_TIMEOUT_S="0.5",
        **{f"TRIBAR_SERVICES__{name.upper()}_URL": f"{scheme}://user:secret@127.0.0.1:{dead}"},
    )
    with Services(settings) as services, pytest.raises(ProgramError) as raised:
        services.start((name,), lambda _: None)
    told = str(raised.value)
    assert f"does not answer at {scheme}://127.0.0.1:{dead}" in told
    assert "secret" not in told
    assert records(settings.paths.run) == []


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    settings.paths.redis.parent.mkdir(parents=True)
    settings.paths.redis.write_text("a file where the folder should be")
    with Services(settings) as services, pytest.raises((ProgramError, OSError)):
        services.start(("redis",), lambda _: None)
    assert records(settings.paths.run) == []


@pytest.mark.servers
def test_valkey_keeps_its_data_over_a_restart_and_is_shared(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    with Services(settings) as mine:
        mine.start(("redis",), lambda _: None)
        with redis.Redis.from_url(mine["redis"].url) as client:
            client.set("kept", "yes")
        with Services(settings) as other:
            other.start(("redis",), lambda _: None)
            assert other["redis"] == Service(name="redis", url=mine["redis"].url, origin="shared")
        assert answers(mine["redis"], 1.0), "leaving a shared server must not end it"
        assert [s.name for s in known(settings)] == ["redis"]
    assert known(settings) == []
    with Services(settings) as again:
        again.start(("redis",), lambda _: None)
        with redis.Redis.from_url(again["redis"].url) as client:
            assert client.get("kept") == b"yes"


@pytest.mark.servers
def test_a_server_that_dies_is_started_again_at_the_same_address(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    with Services(settings) as services:
        services.start(("redis",), lambda _: None)
        record = running(settings.paths.run, "redis")
        assert record is not None
        os.kill(record.child, signal.SIGKILL)
        until(lambda: services.revive() == ["redis"])
        until(lambda: answers(services["redis"], 1.0))
