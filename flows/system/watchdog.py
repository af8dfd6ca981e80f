"""A small parent that ends a program together with the one who asked for it.

Run as `python -m flows.system.watchdog --name N --record FILE --log FILE -- COMMAND`. Standard
input is a life line: as soon as its other end is closed (by a stop, a crash or `kill -9`, all the
same) the whole tree of the program is ended, politely first. Decides nothing else, restarts
nothing. Rule: it must outlive any way to die of its owner, so it imports little and waits on one
`select`.
"""

import argparse
import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

GRACE_S: Final = 10.0
PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
ON_LINUX: Final = sys.platform == "linux"


def main() -> None:
    """Run the command given on the command line until it ends or the life line breaks."""
    parser = argparse.ArgumentParser(prog="flows.system.watchdog")
    parser.add_argument("--name", required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    sys.exit(watch(asked.name, asked.url, asked.record, asked.log, asked.command))


def watch(name: str, url: str, record: Path, log: Path, command: list[str]) -> int:
    """Start ``command``, wait for its end or for the owner's, and return its exit code."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _noted)
    if ON_LINUX:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 - the command is the project's own
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=_die_with_parent if ON_LINUX else None,  # noqa: PLW1509 - one thread here
        )
    who = _who(name, url, child.pid)
    _write_record(record, who)
    code = _wait(child, wake_read)
    with contextlib.suppress(OSError):  # a full disk keeps nothing running
        _write_record(record, {**who, "ending": True})
    end_tree(child.pid, GRACE_S, psutil.Process())
    record.unlink(missing_ok=True)
    return code


def end_tree(group: int, grace_s: float, parent: psutil.Process | None = None) -> None:
    """End the process group ``group``, its descendants and those of ``parent``: first politely."""
    members = _members(group, parent)
    for process in members:
        _send(process, signal.SIGTERM)
    psutil.wait_procs(members, timeout=grace_s)
    for _ in range(3):  # a dying process may have started another
        left = [p for p in members | _members(group, parent) if p.is_running()]
        for process in left:
            _send(process, signal.SIGKILL)
        psutil.wait_procs(left, timeout=2.0)


def _wait(child: subprocess.Popen[bytes], wake: int) -> int:
    """Return the child's exit code, or 143 where the owner or a signal ended the wait."""
    life_line = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([life_line, wake], [], [])
        signals = os.read(wake, 512) if wake in ready else b""
        _reap_orphans(child.pid)
        code = child.poll()
        if code is not None:
            return code
        if life_line in ready and not os.read(life_line, 512):
            return 128 + signal.SIGTERM
        if any(number != signal.SIGCHLD for number in signals):
            return 128 + signal.SIGTERM


def _members(group: int, parent: psutil.Process | None) -> set[psutil.Process]:
    """Return the group's processes with their descendants, and the descendants of ``parent``."""
    found = set(parent.children(recursive=True)) if parent else set()
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group:
                found |= {process, *process.children(recursive=True)}
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            continue
    return found


def _reap_orphans(child: int) -> None:
    """Collect descendants that were left to us; the child itself is collected by its handle."""
    for process in psutil.Process().children():
        try:
            if process.pid != child and process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)
        except (psutil.NoSuchProcess, ChildProcessError):
            continue


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return


def _who(name: str, url: str, child: int) -> dict[str, str | int | float]:
    """Return who runs what."""
    return {
        "name": name,
        "url": url,
        "watchdog": os.getpid(),
        "watchdog_created": psutil.Process().create_time(),
        "child": child,
        "child_created": psutil.Process(child).create_time(),
    }


def _write_record(path: Path, record: Mapping[str, str | int | float]) -> None:
    """Write it down, so that the next start can end what a crash left, or wait for its end."""
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(record), encoding="utf-8")
    partial.replace(path)


def _die_with_parent() -> None:
    _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _noted(_number: int, _frame: object) -> None:
    """Do nothing: the wake-up pipe has the signal's number."""


if __name__ == "__main__":
    main()
