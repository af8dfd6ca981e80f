"""The memory: an append-only SQLite database of everything that happened and was decided.

Decides the tables and that one event and all its consequences are one transaction, on disk before
anything is sent (WAL, synchronous=FULL). Never decides anything about trading and never sends.
Rule: single writer; a row is never changed, but for ``meta``, ``snapshots`` and an intent's state;
a disk that is full or broken raises :class:`JournalError`, and the caller stops entering.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from executor.codec import decode, encode
from executor.core.contract import JOURNAL_SCHEMA_VERSION
from executor.core.types import (
    CancelIntent,
    Decision,
    Fill,
    Notice,
    OrderIntent,
    Outcome,
    Protect,
    Trade,
)
from executor.errors import JournalError
from features.errors import InputError

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, market_ms INTEGER NOT NULL,
    recorded_ms INTEGER NOT NULL, lease_token INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS intents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL, kind TEXT NOT NULL,
    client_order_id TEXT NOT NULL, symbol TEXT NOT NULL, state TEXT NOT NULL,
    recorded_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS one_order ON intents (client_order_id) WHERE kind = 'order';
CREATE INDEX IF NOT EXISTS open_intents ON intents (state) WHERE state = 'planned';
CREATE TABLE IF NOT EXISTS orders (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL,
    client_order_id TEXT NOT NULL, status TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fills (
    fill_id TEXT PRIMARY KEY, event_seq INTEGER NOT NULL, symbol TEXT NOT NULL,
    time_ms INTEGER NOT NULL, client_order_id TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS trades (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL, symbol TEXT NOT NULL,
    opened_ms INTEGER NOT NULL, closed_ms INTEGER NOT NULL, pnl REAL NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS decisions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL, close_ms INTEGER NOT NULL,
    symbol TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS equity (
    close_ms INTEGER PRIMARY KEY, equity REAL NOT NULL, balance REAL NOT NULL);
CREATE TABLE IF NOT EXISTS params (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS models (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, recorded_ms INTEGER NOT NULL, version TEXT NOT NULL,
    bundle_sha256 TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notices (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL, code TEXT NOT NULL,
    symbol TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS snapshots (
    id INTEGER PRIMARY KEY CHECK (id = 1), event_seq INTEGER NOT NULL, body TEXT NOT NULL);
"""
PLANNED: Final = "planned"
DONE: Final = "done"
Action = OrderIntent | Protect | CancelIntent
KINDS: Final[dict[str, type[Any]]] = {
    "order": OrderIntent,
    "protect": Protect,
    "cancel": CancelIntent,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """One event as it was written."""

    seq: int
    kind: str
    market_ms: int
    recorded_ms: int
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAction:
    """Something that was decided and of which nobody yet said that it was done."""

    seq: int
    recorded_ms: int
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event with all that goes into the same transaction."""

    kind: str
    market_ms: int
    body: str
    outcome: Outcome
    fill: Fill | None = None
    order: tuple[str, str, str] | None = None
    equity: tuple[int, float, float] | None = None
    params: str | None = None
    snapshot: str | None = None


class Journal:
    """The open database. Use as a context manager; one instance, one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"cannot open the journal at {path}: {error}") from error
        self._check_version()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def _check_version(self) -> None:
        found = self.meta("schema_version")
        if found is None:
            self.set_meta("schema_version", str(JOURNAL_SCHEMA_VERSION))
        elif int(found) != JOURNAL_SCHEMA_VERSION:
            raise InputError(
                f"{self.path} has schema {found}, this program writes {JOURNAL_SCHEMA_VERSION}; "
                "run the version that wrote it, or move the file away"
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise JournalError(f"the journal cannot be written: {error}") from error

    def meta(self, key: str) -> str | None:
        """Return the value kept under ``key``."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Keep ``value`` under ``key``."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def record(self, entry: Entry, *, recorded_ms: int, lease_token: int) -> int:
        """Write one event and everything that follows from it; return its sequence number.

        Raises
        ------
        JournalError
            Where the disk does not take it, or an order of this id was already planned.
        """
        outcome = entry.outcome
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO events (kind, market_ms, recorded_ms, lease_token, body) "
                "VALUES (?, ?, ?, ?, ?)",
                (entry.kind, entry.market_ms, recorded_ms, lease_token, entry.body),
            )
            seq = int(cursor.lastrowid or 0)
            for kind, actions in (
                ("order", outcome.intents),
                ("protect", outcome.protections),
                ("cancel", outcome.cancels),
            ):
                _insert_actions(db, seq, kind, actions, recorded_ms)
            _insert_records(db, seq, outcome.decisions, outcome.trades, outcome.notices)
            if entry.fill is not None:
                _insert_fill(db, seq, entry.fill)
            if entry.order is not None:
                db.execute(
                    "INSERT INTO orders (event_seq, client_order_id, status, body) "
                    "VALUES (?, ?, ?, ?)",
                    (seq, *entry.order),
                )
            if entry.equity is not None:
                db.execute("INSERT OR REPLACE INTO equity VALUES (?, ?, ?)", entry.equity)
            if entry.params is not None:
                row = (seq, entry.params)
                db.execute("INSERT INTO params (event_seq, body) VALUES (?, ?)", row)
            if entry.snapshot is not None:
                row = (seq, entry.snapshot)
                db.execute("INSERT OR REPLACE INTO snapshots VALUES (1, ?, ?)", row)
        return seq

    def done(self, kind: str, client_order_ids: Sequence[str]) -> None:
        """Mark planned actions as carried out, or as given up."""
        if not client_order_ids:
            return
        with self._transaction() as db:
            db.executemany(
                "UPDATE intents SET state = ? WHERE kind = ? AND client_order_id = ? AND state = ?",
                [(DONE, kind, name, PLANNED) for name in client_order_ids],
            )

    def record_model(self, version: str, bundle_sha256: str, body: str, recorded_ms: int) -> None:
        """Write that a model was taken into use."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO models (recorded_ms, version, bundle_sha256, body) "
                "VALUES (?, ?, ?, ?)",
                (recorded_ms, version, bundle_sha256, body),
            )

    def planned(self) -> list[PlannedAction]:
        """Return what was decided and not confirmed as done, oldest first."""
        rows = self._db.execute(
            "SELECT seq, kind, recorded_ms, body FROM intents WHERE state = ? ORDER BY seq",
            (PLANNED,),
        ).fetchall()
        return [
            PlannedAction(seq=seq, recorded_ms=at, action=decode(KINDS[kind], body))
            for seq, kind, at, body in rows
        ]

    def snapshot(self) -> tuple[int, str] | None:
        """Return the last state and the sequence number of the event it includes."""
        row = self._db.execute("SELECT event_seq, body FROM snapshots WHERE id = 1").fetchone()
        return None if row is None else (int(row[0]), str(row[1]))

    def events(self, after: int = 0, kind: str | None = None) -> Iterator[StoredEvent]:
        """Yield the events after sequence number ``after``, in order."""
        query = "SELECT seq, kind, market_ms, recorded_ms, body FROM events WHERE seq > ?"
        values: tuple[object, ...] = (after,)
        if kind is not None:
            query, values = query + " AND kind = ?", (after, kind)
        for seq, name, market_ms, recorded_ms, body in self._db.execute(
            query + " ORDER BY seq", values
        ):
            yield StoredEvent(
                seq=seq, kind=name, market_ms=market_ms, recorded_ms=recorded_ms, body=body
            )

    def has_fill(self, fill_id: str) -> bool:
        """Say whether this execution was already booked."""
        row = self._db.execute("SELECT 1 FROM fills WHERE fill_id = ?", (fill_id,)).fetchone()
        return row is not None

    def last_fill_ms(self) -> int:
        """Return the time of the newest booked execution, 0 where there is none."""
        return self._number("SELECT COALESCE(MAX(time_ms), 0) FROM fills")

    def last_close_ms(self) -> int:
        """Return the newest bar close that was processed, 0 where there is none."""
        query = "SELECT COALESCE(MAX(market_ms), 0) FROM events WHERE kind = 'BarClosed'"
        return self._number(query)

    def recent_trades(self, count: int) -> list[Trade]:
        """Return the newest round trips, newest first."""
        query = "SELECT body FROM trades ORDER BY seq DESC LIMIT ?"
        return [decode(Trade, row[0]) for row in self._db.execute(query, (count,))]

    def counts(self) -> dict[str, int]:
        """Return how many rows each table of the run holds."""
        tables = ("decisions", "intents", "fills", "trades", "equity", "notices")
        return {name: self._number(f"SELECT COUNT(*) FROM {name}") for name in tables}  # noqa: S608

    def equity(self, count: int) -> list[tuple[int, float, float]]:
        """Return the newest (close_ms, equity, balance), oldest first."""
        query = "SELECT close_ms, equity, balance FROM equity ORDER BY close_ms DESC LIMIT ?"
        return list(reversed(self._db.execute(query, (count,)).fetchall()))

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])


def _insert_actions(
    db: sqlite3.Connection, seq: int, kind: str, actions: Sequence[Action], recorded_ms: int
) -> None:
    db.executemany(
        "INSERT INTO intents (event_seq, kind, client_order_id, symbol, state, recorded_ms, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (seq, kind, a.client_order_id, a.symbol, PLANNED, recorded_ms, encode(a))
            for a in actions
        ],
    )


def _insert_fill(db: sqlite3.Connection, seq: int, fill: Fill) -> None:
    row = (fill.fill_id, seq, fill.symbol, fill.time_ms, fill.client_order_id, encode(fill))
    db.execute("INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?)", row)


def _insert_records(
    db: sqlite3.Connection,
    seq: int,
    decisions: Sequence[Decision],
    trades: Sequence[Trade],
    notices: Sequence[Notice],
) -> None:
    db.executemany(
        "INSERT INTO decisions (event_seq, close_ms, symbol, verdict, reason, body) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [(seq, d.close_ms, d.symbol, d.verdict, d.reason, encode(d)) for d in decisions],
    )
    db.executemany(
        "INSERT INTO trades (event_seq, symbol, opened_ms, closed_ms, pnl, body) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [(seq, t.symbol, t.opened_ms, t.closed_ms, t.pnl, encode(t)) for t in trades],
    )
    db.executemany(
        "INSERT INTO notices (event_seq, code, symbol, body) VALUES (?, ?, ?, ?)",
        [(seq, n.code, n.symbol, encode(n)) for n in notices],
    )
