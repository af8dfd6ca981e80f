"""Puts a backup back in its place.

Decides that nothing is replaced before every file of the backup has proven whole, and that nothing
is lost by it: what stood in the way is moved aside. Never runs beside an executor that uses the
journal. Rule: the next start reconciles with the exchange, so an old journal is safe to trade from;
the configuration that is there stays, the backup's is put beside it.
"""

import gzip
import hashlib
import json
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from contextlib import closing
from pathlib import Path
from typing import Final

import aiohttp

from executor.errors import JournalError
from executor.journal.backup import CONFIG, JOURNAL, MANIFEST, MODELS, Sources, check_database, kept
from executor.lease.lease import INSTANCE, FileLock
from features.errors import InputError

SIDES: Final = ("", "-wal", "-shm")


def newest(folder: Path) -> Path:
    """Return the newest backup of a folder."""
    found = kept(folder)
    if not found:
        raise InputError(f"no backup in {folder}; name a file")
    return found[-1]


async def fetch(url: str, folder: Path) -> Path:
    """Get a backup from a web address."""
    target = folder / "fetched.tar.gz"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            if reply.status != 200:
                raise InputError(f"no backup there: the server says {reply.status}")
            with target.open("wb") as file:
                async for part in reply.content.iter_chunked(1 << 20):
                    file.write(part)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise InputError(f"no backup there: {type(error).__name__}") from None
    return target


def restore(backup: Path, target: Sources, *, force: bool = False) -> list[str]:
    """Put a backup back; return what was done, a line each.

    Raises
    ------
    InputError
        Where an executor runs, a journal stands there already, or the backup is none.
    JournalError
        Where the backup is damaged, or the disk does not take it.
    """
    if not backup.is_file():
        raise InputError(f"there is no backup {backup}")
    journal = target.journal
    with FileLock(journal.with_name(journal.name + ".lock")) as lock:
        if not lock.try_lock():
            raise InputError(f"an executor uses {journal}; stop it first")
        if journal.exists() and not force:
            raise InputError(f"{journal} exists; --force moves it aside and puts the backup there")
        try:
            with tempfile.TemporaryDirectory(prefix=".restore-", dir=journal.parent) as place:
                made_ms = _unpack(backup, Path(place))
                _rename(Path(place) / JOURNAL)
                return _put(Path(place), target, made_ms)
        except (
            OSError,
            EOFError,
            zlib.error,
            tarfile.TarError,
            sqlite3.Error,
            ValueError,
            KeyError,
        ) as error:
            raise JournalError(f"{backup} cannot be restored: {error}") from error


def _unpack(backup: Path, place: Path) -> int:
    """Unpack into a folder and check every byte; return when the backup was made."""
    with gzip.open(backup) as whole:
        while whole.read(1 << 20):
            pass  # tar stops at its end mark; the check sum stands behind it
    with tarfile.open(backup, "r:gz") as archive:
        archive.extractall(place, filter="data")
    manifest = json.loads((place / MANIFEST).read_bytes())
    for name, wanted in manifest["sha256"].items():
        with (place / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != wanted:
                raise JournalError(f"{backup}: {name} is damaged")
    check_database(place / JOURNAL)
    return int(manifest["made_ms"])


def _rename(journal: Path) -> None:
    """Let the copy take a name of its own, lest it takes the lease from an original that lives."""
    with closing(sqlite3.connect(journal)) as db, db:
        db.execute("DELETE FROM meta WHERE key = ?", (INSTANCE,))


def _put(place: Path, target: Sources, made_ms: int) -> list[str]:
    """Move what was unpacked to where it belongs."""
    lines = []
    for side in SIDES:
        standing = target.journal.with_name(target.journal.name + side)
        if standing.exists():
            aside = standing.with_name(f"{target.journal.name}.before-{made_ms}{side}")
            standing.rename(aside)
            lines.append(f"moved aside: {aside}")
    (place / JOURNAL).replace(target.journal)
    lines.append(f"journal: {target.journal}")
    bundles = sorted((place / MODELS).iterdir()) if (place / MODELS).is_dir() else []
    for bundle in bundles:
        standing = target.models / bundle.name
        standing.parent.mkdir(parents=True, exist_ok=True)
        if bundle.is_dir() and not standing.exists():
            shutil.copytree(bundle, standing)
            lines.append(f"model: {standing}")
        elif bundle.is_file():
            shutil.copy2(bundle, standing)
    if (place / CONFIG).is_file():
        lines.append(_put_config(place / CONFIG, target.config))
    return lines


def _put_config(found: Path, target: Path) -> str:
    """Put the configuration back where none is, beside it where another one is."""
    if target.exists() and target.read_bytes() == found.read_bytes():
        return f"configuration: {target} is the same"
    if target.exists():
        target = target.with_name(target.name + ".restored")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(found, target)
    return f"configuration: {target}"
