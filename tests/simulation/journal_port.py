"""The journal's disk: SQLite on a memory file system, with the ways in which a disk fails.

Decides when a write or a commit finds the disk full or broken, and that a process may end right
before or right after a commit. What was committed survives the process, as in life. Rule: the
executor's own `Journal` runs unchanged on it; only its connection is wrapped.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any

from executor.clock import Clock
from executor.journal.rows import Entry
from executor.journal.store import Journal
from executor.lease.lease import FileLock
from tests.simulation.loop import PROCESS

POLL_S = 2.0


class Disk:
    """The connection as the journal sees it; ``broken`` says which disks are, and until when.

    A disk that is broken until 0 fails one commit.
    """

    def __init__(self, connection: sqlite3.Connection, process: Any, path: Path) -> None:
        self._connection = connection
        self._process = process
        self._path = path
        self._broken: dict[Path, float] = process.world.broken_disks
        self.hit = False

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Run a statement, if the process lives and the disk takes it."""
        process, touch = self._process, self._process.faults.touch
        until = self._broken.get(self._path) if self._broken else None
        if sql == "COMMIT":
            touch(process, "journal")
            if until == 0.0:
                del self._broken[self._path]
                self._refuse("disk I/O error")
            cursor = self._connection.execute(sql)
            touch(process, "written")
            return cursor
        if until is not None and sql.startswith("INSERT") and process.loop.time() < until:
            self._refuse("database or disk is full")
        return self._connection.execute(sql, *values)

    def _refuse(self, why: str) -> None:
        """Fail as SQLite does; the process may end of it."""
        self._process.faults.count("disk_full_hit")
        self.hit = True
        raise sqlite3.OperationalError(why)

    def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
        """Run a statement for every row."""
        return self._connection.executemany(sql, rows)

    @property
    def in_transaction(self) -> bool:
        """Say whether something waits for its commit."""
        return self._connection.in_transaction

    def close(self) -> None:
        """Close; what was not committed is gone."""
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class SimulatedJournal(Journal):
    """The journal of a simulated process."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        process: Any = PROCESS.get()
        disk = Disk(self._db, process, path)
        process.resources.append(disk)
        self._db = disk  # type: ignore[assignment]  # a stand-in with the same methods
        self._process = process

    def record(self, entry: Entry, *, recorded_ms: int, lease_token: int) -> int:
        seq = super().record(entry, recorded_ms=recorded_ms, lease_token=lease_token)
        for intent in entry.outcome.intents:
            if not intent.reduce_only:
                self._process.world.monitors.decided(self._process, intent.client_order_id)
        return seq


class SimulatedFileLock(FileLock):
    """The file lock: real, but given back when the simulated process dies, and asked for less."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._open = True
        self.held = False
        process: Any = PROCESS.get()
        process.resources.append(self)

    def close(self) -> None:
        """Give the lock back."""
        if self._open:
            self._open = False
            os.close(self._file)

    def __exit__(self, *_: object) -> None:
        self.close()

    def try_lock(self) -> bool:
        self.held = super().try_lock()
        return self.held

    async def lock(self, clock: Clock, poll_s: float = POLL_S) -> None:
        await super().lock(clock, POLL_S)
