"""Checks of a machine and a configuration: what is there, what is missing, what to do about it.

Decides what counts as a problem: bad where the demo could not run, a note where something is only
not there yet. Never starts a server and never changes a setting.
Rule: a finding that is not good names the next step.
"""

import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import httpx

from features.errors import InputError
from flows.clock import now_ms
from flows.settings import CONFIG_NAME, Settings, load_settings
from flows.system.processes import checked_port, running
from flows.system.programs import LEAN_PYTHON
from flows.system.services import NAMES, TITLES, answers, known

FREE_GB_BAD: Final = 1.0
FREE_GB_NOTE: Final = 5.0
CLOCK_S_MAX: Final = 2.0
VENUE_TIME_URL: Final = "https://api.bybit.com/v5/market/time"
PYTHON_OLDEST: Final = (3, 11)
PYTHON_TOO_NEW: Final = (3, 14)
PROBE_S: Final = 20.0


class Level(StrEnum):
    """How a finding is."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    level: Level
    found: str
    next_step: str = ""


def examine() -> list[Finding]:
    """Return what was found, in the order in which it should be repaired."""
    findings = [_python()]
    try:
        settings = load_settings()
    except InputError as error:
        step = f"correct it; every key is explained in {CONFIG_NAME}"
        return [*findings, _bad("configuration", str(error), step)]
    findings.append(_configuration(settings))
    findings.append(_executor_environment(settings))
    findings.append(_disk(settings))
    findings += [_server(settings, name) for name in NAMES]
    findings.append(_port(settings, "paper_port", "paper exchange"))
    findings.append(_lake(settings))
    findings.append(_clock(settings))
    return findings


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if PYTHON_OLDEST <= sys.version_info[:2] < PYTHON_TOO_NEW:
        return _good("Python", f"{version} ({sys.executable})")
    return _bad("Python", version, "Tribar needs Python 3.11 to 3.13: make PYTHON=python3.12 demo")


def _configuration(settings: Settings) -> Finding:
    home = settings.paths.home
    if (home / CONFIG_NAME).is_file():
        return _good("configuration", f"{home / CONFIG_NAME}")
    return _note(
        "configuration",
        f"{home} has no {CONFIG_NAME}: the defaults are used",
        "run tribar in the project's folder, or set TRIBAR_HOME to it",
    )


def _executor_environment(settings: Settings) -> Finding:
    python = settings.paths.home / LEAN_PYTHON
    if not python.is_file():
        step = "make demo creates it; without it the executor shares this environment"
        return _note("executor environment", f"{python} is missing", step)
    heavy = "import sys, importlib.util as u; sys.exit(bool(u.find_spec('pandas')))"
    try:
        probe = subprocess.run(  # noqa: S603 - our own interpreter and our own line
            [str(python), "-c", f"import executor.core.contract; {heavy}"],
            capture_output=True,
            timeout=PROBE_S,
            check=False,
            cwd=settings.paths.home,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _bad("executor environment", str(error), "delete .venv-executor and run make demo")
    if probe.returncode == 0:
        return _good("executor environment", str(python.parent.parent))
    return _bad(
        "executor environment",
        "it cannot import the executor, or holds packages of the pipeline",
        "delete .venv-executor and run make demo: it is made anew",
    )


def _disk(settings: Settings) -> Finding:
    free_gb = shutil.disk_usage(settings.paths.home).free / 1e9
    found = f"{free_gb:,.1f} GB free"
    if free_gb < FREE_GB_BAD:
        return _bad("disk", found, f"free some: a demo writes up to {FREE_GB_BAD:g} GB")
    if free_gb < FREE_GB_NOTE:
        return _note("disk", found, "enough for the demo; a lake of many symbols needs more")
    return _good("disk", found)


def _server(settings: Settings, name: str) -> Finding:
    title = TITLES[name]
    found = [service for service in known(settings) if service.name == name]
    if not found:
        return _port(settings, f"{name}_port", title)
    service = found[0]
    if answers(service, settings.services.check_timeout_s):
        return _good(title, f"answers at {service.page} ({service.origin})")
    unset = "start it, or unset its URL to have a local one"
    step = unset if service.origin == "external" else f"look into {settings.paths.logs}"
    return _bad(title, f"does not answer at {service.page}", step)


def _port(settings: Settings, setting: str, title: str) -> Finding:
    """Return whether a local server could be started there."""
    port: int = getattr(settings.services, setting)
    paper = running(settings.paths.run, "paper")
    if setting == "paper_port" and paper is not None:
        return _good(title, f"runs at {paper.url}")
    try:
        checked_port(port, title, setting)
    except InputError as error:
        problem, _, step = str(error).partition("; ")
        return _bad(title, problem, step)
    return _good(title, f"not running; port {port} is free for it")


def _lake(settings: Settings) -> Finding:
    if "://" in settings.paths.lake:
        return _good("lake", f"{settings.paths.lake} (tribar coverage looks into it)")
    lake = Path(settings.paths.lake)
    tables = sorted(path.name for path in lake.glob("*") if (path / "_delta_log").is_dir())
    if tables:
        return _good("lake", f"{lake}: {', '.join(tables)}")
    return _note(
        "lake", f"{lake} is empty", "tribar ingest fetches candles (tribar demo has its own)"
    )


def _clock(settings: Settings) -> Finding:
    """Return how far this clock is from the venue's; a venue signs with it."""
    url = f"{settings.venue.url}/v5/market/time" if settings.venue.url else VENUE_TIME_URL
    try:
        reply = httpx.get(url, timeout=settings.services.check_timeout_s)
        told = parsedate_to_datetime(reply.headers["date"]).timestamp()
    except (httpx.HTTPError, KeyError, ValueError, socket.gaierror):
        now = datetime.fromtimestamp(now_ms() / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        step = "without a network the demo works all the same; live trading needs a right clock"
        return _note("clock", f"{now}, not compared: {url} does not answer", step)
    off_s = abs(now_ms() / 1000 - told)
    if off_s <= CLOCK_S_MAX:
        return _good("clock", f"within {CLOCK_S_MAX:g} s of the venue's")
    return _bad(
        "clock", f"{off_s:.0f} s off the venue's", "switch on NTP (timedatectl set-ntp true)"
    )


def _good(subject: str, found: str) -> Finding:
    return Finding(subject=subject, level=Level.GOOD, found=found)


def _note(subject: str, found: str, next_step: str) -> Finding:
    return Finding(subject=subject, level=Level.NOTE, found=found, next_step=next_step)


def _bad(subject: str, found: str, next_step: str) -> Finding:
    return Finding(subject=subject, level=Level.BAD, found=found, next_step=next_step)
