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
from typing import Final, Self

from executor.core.contract import JOURNAL_SCHEMA_VERSION
from executor.core.events import FundingPaid
from executor.core.types import Trade
from executor.errors import JournalError
from executor.journal.codec import decode
from executor.journal.rows import DONE, KINDS, PLANNED, Action, Entry, insert_entry
from executor.journal.schema import check_not_newer, prepare, version
from features.errors import InputError

ACCOUNT_SINCE: Final = "account_since_ms"


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
class StoredDay:
    """From which state a day can be derived again, and which events it consists of."""

    first_seq: int
    last_seq: int
    state_seq: int
    state: str


class Journal:
    """The open database. Use as a context manager; one instance, one thread."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        try:
            if read_only:
                self._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
                self._check_readable()
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            prepare(self._db, path)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"cannot open the journal at {path}: {error}") from error

    def _check_readable(self) -> None:
        """Refuse what this version cannot read without changing it."""
        found = version(self._db) or 0
        check_not_newer(found, self.path)
        if found < JOURNAL_SCHEMA_VERSION:
            raise InputError(
                f"{self.path} has schema {found}; start the executor once: it migrates"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

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
        with self._transaction() as db:
            return insert_entry(db, entry, recorded_ms=recorded_ms, lease_token=lease_token)

    def save_snapshot(self, body: str) -> None:
        """Keep a state that includes every event written so far."""
        seq = self._number("SELECT COALESCE(MAX(seq), 0) FROM events")
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO snapshots VALUES (1, ?, ?)", (seq, body))

    def done(self, kind: str, client_order_ids: Sequence[str]) -> None:
        """Mark planned actions as carried out, or as given up."""
        if not client_order_ids:
            return
        with self._transaction() as db:
            db.executemany(
                "UPDATE intents SET state = ? WHERE kind = ? AND client_order_id = ? AND state = ?",
                [(DONE, kind, name, PLANNED) for name in client_order_ids],
            )

    def begin_session(self, params: str, state: str) -> None:
        """Write what a process begins with: its parameters, and its state as a snapshot."""
        seq = self._number("SELECT COALESCE(MAX(seq), 0) FROM events")
        with self._transaction() as db:
            db.execute("INSERT INTO params (event_seq, body) VALUES (?, ?)", (seq, params))
            db.execute("INSERT OR REPLACE INTO snapshots VALUES (1, ?, ?)", (seq, state))

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

    def newest_events(self, kind: str, until_seq: int, count: int) -> list[StoredEvent]:
        """Return the newest ``count`` events of a kind up to a sequence number, oldest first."""
        rows = self._db.execute(
            "SELECT seq, kind, market_ms, recorded_ms, body FROM events "
            "WHERE kind = ? AND seq <= ? ORDER BY seq DESC LIMIT ?",
            (kind, until_seq, count),
        ).fetchall()
        names = ("seq", "kind", "market_ms", "recorded_ms", "body")
        return [StoredEvent(**dict(zip(names, row, strict=True))) for row in reversed(rows)]

    def models(self) -> list[str]:
        """Return the records of the models that were taken into use, newest first."""
        return [
            str(row[0]) for row in self._db.execute("SELECT body FROM models ORDER BY seq DESC")
        ]

    def has_funding(self, symbol: str, time_ms: int) -> bool:
        """Say whether this settlement was already booked."""
        query = "SELECT body FROM events WHERE kind = 'FundingPaid' AND market_ms = ?"
        rows = self._db.execute(query, (time_ms,)).fetchall()
        return any(decode(FundingPaid, row[0]).symbol == symbol for row in rows)

    def decision_counts(self) -> list[tuple[str, str, int]]:
        """Return (verdict, reason, count) of all decisions."""
        query = "SELECT verdict, reason, COUNT(*) FROM decisions GROUP BY verdict, reason"
        return [(str(v), str(r), int(n)) for v, r, n in self._db.execute(query)]

    def has_fill(self, fill_id: str) -> bool:
        """Say whether this execution was already booked."""
        row = self._db.execute("SELECT 1 FROM fills WHERE fill_id = ?", (fill_id,)).fetchone()
        return row is not None

    def traded_until_ms(self) -> int:
        """Return the market time of the newest fill, else of the first order, 0 without any."""
        newest = self._number("SELECT COALESCE(MAX(time_ms), 0) FROM fills")
        return newest or self._number(
            "SELECT COALESCE(MIN(e.market_ms), 0) FROM intents i JOIN events e "
            "ON e.seq = i.event_seq WHERE i.kind = 'order'"
        )

    def begin_account(self, time_ms: int) -> None:
        """Keep the market time before which nothing of the account is in this journal."""
        self.set_meta(ACCOUNT_SINCE, str(time_ms))

    def account_since_ms(self) -> int:
        """Return what :meth:`begin_account` kept, 0 where nothing was."""
        return int(self.meta(ACCOUNT_SINCE) or 0)

    def last_close_ms(self) -> int:
        """Return the newest bar close that was processed, 0 where there is none."""
        query = "SELECT COALESCE(MAX(market_ms), 0) FROM events WHERE kind = 'BarClosed'"
        return self._number(query)

    def recent_trades(self, count: int) -> list[Trade]:
        """Return the newest round trips, newest first."""
        query = "SELECT body FROM trades ORDER BY seq DESC LIMIT ?"
        return [decode(Trade, row[0]) for row in self._db.execute(query, (count,))]

    def counts(self) -> dict[str, int]:
        """Return how many fills, trades, orders and closes there were."""
        return {
            "fills": self._number("SELECT COUNT(*) FROM fills"),
            "trades": self._number("SELECT COUNT(*) FROM trades"),
            "orders": self._number("SELECT COUNT(*) FROM intents WHERE kind = 'order'"),
            "equity": self._number("SELECT COUNT(*) FROM equity"),
        }

    def equity(self, count: int = 20_000) -> list[tuple[int, float, float]]:
        """Return the newest (close_ms, equity, balance), oldest first."""
        query = "SELECT close_ms, equity, balance FROM equity ORDER BY close_ms DESC LIMIT ?"
        return list(reversed(self._db.execute(query, (count,)).fetchall()))

    def equity_curve(self) -> Iterator[float]:
        """Yield the equity at every close since the journal began, oldest first."""
        for (value,) in self._db.execute("SELECT equity FROM equity ORDER BY close_ms"):
            yield float(value)

    def days(self) -> list[str]:
        """Return the days that can be derived again, ascending."""
        return [str(day) for (day,) in self._db.execute("SELECT day FROM days ORDER BY day")]

    def day(self, day: str) -> StoredDay | None:
        """Return where a day begins and ends, None where no state was kept for it."""
        query = "SELECT first_seq, state_seq, state FROM days WHERE day = ?"
        row = self._db.execute(query, (day,)).fetchone()
        if row is None:
            return None
        after = self._db.execute("SELECT MIN(first_seq) FROM days WHERE day > ?", (day,)).fetchone()
        last = after[0] - 1 if after[0] is not None else self._number("SELECT MAX(seq) FROM events")
        return StoredDay(first_seq=row[0], last_seq=last, state_seq=row[1], state=row[2])

    def sessions(self) -> list[tuple[int, str]]:
        """Return (sequence number of the last event before it, parameters) of every process."""
        return list(self._db.execute("SELECT event_seq, body FROM params ORDER BY seq"))

    def written(self, query: str, first_seq: int, last_seq: int) -> list[tuple[int, str, str]]:
        """Return (event, kind, body) rows of a query with two bounds on the event's number."""
        return list(self._db.execute(query + " ORDER BY seq", (first_seq, last_seq)))

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])
