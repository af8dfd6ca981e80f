"""Copies of everything that cannot be made again: journal, verified models, configuration.

Decides what a copy holds, when the next one is due, and how many are kept. Never stops trading:
SQLite's online backup reads beside the writer, in a thread. Rule: a copy appears whole or not at
all, its journal was checked, and it names the sha256 of everything in it; `restore` believes
nothing else. A copy may hold the configuration's secrets: it is readable by its owner alone.
"""

import asyncio
import hashlib
import io
import json
import os
import re
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp
import structlog

from executor.clock import Clock
from executor.errors import JournalError

JOURNAL: Final = "journal.db"
CONFIG: Final = "executor.toml"
MODELS: Final = "models"
MANIFEST: Final = "manifest.json"
NAME: Final = "tribar-%Y%m%dT%H%M%SZ.tar.gz"
PATTERN: Final = re.compile(r"tribar-\d{8}T\d{6}Z\.tar\.gz")
FIRST_S: Final = 60.0
RETRY_S: Final = 300.0
SEND_S: Final = 600.0

log = structlog.get_logger("backup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the things lie that a copy is made of; ``config`` may be absent."""

    journal: Path
    models: Path
    config: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often, where to, how many; ``kept`` 0 means none at all.

    With ``url`` (WebDAV, the gateway of an object store) each copy is put there too, and how many
    are kept there is that server's affair.
    """

    folder: Path
    interval_ms: int
    kept: int
    url: str = ""


def make(sources: Sources, plan: Plan, now_ms: int) -> Path:
    """Make one copy, forget the oldest beyond what is kept, and return the new one.

    Raises
    ------
    JournalError
        Where the disk does not take it, or the journal is damaged.
    """
    target = plan.folder / datetime.fromtimestamp(now_ms / 1000, UTC).strftime(NAME)
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=plan.folder) as place:
            copy = Path(place) / JOURNAL
            _copy_journal(sources.journal, copy)
            packed = Path(place) / target.name
            _pack(packed, {JOURNAL: copy, **dict(_files(sources))}, now_ms)
            packed.replace(target)
    except (OSError, sqlite3.Error, tarfile.TarError) as error:
        raise JournalError(f"no backup in {plan.folder}: {error}") from error
    for old in kept(plan.folder)[: -plan.kept]:
        old.unlink(missing_ok=True)
    return target


def kept(folder: Path) -> list[Path]:
    """Return the copies in a folder, oldest first."""
    return sorted(path for path in folder.glob("*") if PATTERN.fullmatch(path.name))


async def send(copy: Path, url: str) -> None:
    """Put a copy at a web address; the address may hold a secret, so it is never said."""
    timeout = aiohttp.ClientTimeout(total=SEND_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            with copy.open("rb") as file:
                async with session.put(f"{url.rstrip('/')}/{copy.name}", data=file) as reply:
                    status = reply.status
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        what = type(error).__name__
        raise JournalError(f"{copy.name} stays on this machine only: {what}") from None
    if status >= 300:
        raise JournalError(f"{copy.name} stays on this machine only: the server says {status}")


def check_database(path: Path) -> None:
    """Refuse a damaged database."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        (word,) = db.execute("PRAGMA quick_check").fetchone()
    if word != "ok":
        raise JournalError(f"{path} is damaged: {word}")


def _copy_journal(source: Path, target: Path) -> None:
    """Copy the journal as it is at one moment, while somebody writes to it."""
    address = f"{source.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as db, closing(sqlite3.connect(target)) as to:
        db.backup(to)
        to.execute("PRAGMA journal_mode=DELETE")
    check_database(target)


def _files(sources: Sources) -> Iterator[tuple[str, Path]]:
    if sources.config.is_file():
        yield CONFIG, sources.config
    for path in sorted(sources.models.rglob("*")):
        inside = path.relative_to(sources.models)
        if path.is_file() and not inside.parts[0].startswith("."):
            yield f"{MODELS}/{inside.as_posix()}", path


def _pack(target: Path, files: dict[str, Path], now_ms: int) -> None:
    """Write the archive, the sums of its files first, and see it on the disk."""
    sums = {name: _sum(path) for name, path in files.items()}
    manifest = json.dumps({"made_ms": now_ms, "sha256": sums}, sort_keys=True).encode()
    with target.open("xb") as file:
        os.fchmod(file.fileno(), 0o600)
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
            head = tarfile.TarInfo(MANIFEST)
            head.size, head.mtime = len(manifest), now_ms // 1000
            archive.addfile(head, io.BytesIO(manifest))
            for name, path in files.items():
                archive.add(path, name, recursive=False)
        file.flush()
        os.fsync(file.fileno())


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Backups:
    """Makes copies on time. ``problem`` is "" after one that worked; ``made_ms`` is its time."""

    def __init__(
        self, sources: Sources, plan: Plan, clock: Clock, ready: Callable[[], bool]
    ) -> None:
        self._sources = sources
        self._plan = plan
        self._clock = clock
        self._ready = ready
        self.problem = ""
        self.made_ms = 0

    async def run(self) -> None:
        """Make copies for as long as the process runs; a failure is said and tried again."""
        if not self._plan.kept:
            return
        await self._clock.sleep(max(FIRST_S, self._due_s()))
        while True:
            if self._ready():
                await self._once()
            await self._clock.sleep(RETRY_S if self.problem else self._plan.interval_ms / 1000)

    def _due_s(self) -> float:
        """Return how long the newest copy is still good for."""
        copies = kept(self._plan.folder)
        if not copies:
            return 0.0
        made = datetime.strptime(copies[-1].name, NAME).replace(tzinfo=UTC).timestamp()
        return made + (self._plan.interval_ms - self._clock.now_ms()) / 1000

    async def _once(self) -> None:
        began, now_ms = self._clock.monotonic(), self._clock.now_ms()
        try:
            made = await asyncio.to_thread(make, self._sources, self._plan, now_ms)
            if self._plan.url:
                await send(made, self._plan.url)
        except JournalError as error:
            self.problem = str(error)
            log.warning("backup_failed", problem=self.problem)
            return
        self.problem, self.made_ms = "", now_ms
        took_s = round(self._clock.monotonic() - began, 2)
        log.info("backup_made", file=made.name, bytes=made.stat().st_size, took_s=took_s)
