"""The journal's tables, their version, and how a file of an older version becomes one of this.

Decides the schema and each step from one version to the next. Never reads a row for anybody. Rule:
a step is one transaction and is tested on a file as that version wrote it; the old file is copied
aside first; a file of a newer version is left alone.
"""

import sqlite3
from pathlib import Path
from typing import Final

from executor.core.contract import JOURNAL_SCHEMA_VERSION
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
CREATE INDEX IF NOT EXISTS events_of_kind ON events (kind, market_ms);
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
CREATE TABLE IF NOT EXISTS days (
    day TEXT PRIMARY KEY, first_seq INTEGER NOT NULL, state_seq INTEGER NOT NULL,
    state TEXT NOT NULL);
"""
# What makes a file of version n one of version n + 1. History: never changed afterwards.
STEPS: Final = {
    1: """
BEGIN IMMEDIATE;
CREATE TABLE days (
    day TEXT PRIMARY KEY, first_seq INTEGER NOT NULL, state_seq INTEGER NOT NULL,
    state TEXT NOT NULL);
UPDATE meta SET value = '2' WHERE key = 'schema_version';
COMMIT;
"""
}
VERSION_KEY: Final = "schema_version"


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Bring a journal, new or old, to this version's tables."""
    found = version(db)
    if found is None:
        db.executescript(SCHEMA)
        _note(db, JOURNAL_SCHEMA_VERSION)
        return
    check_not_newer(found, path)
    if found < JOURNAL_SCHEMA_VERSION:
        _copy_aside(db, path.with_name(f"{path.name}.schema-{found}"))
    for step in range(found, JOURNAL_SCHEMA_VERSION):
        db.executescript(STEPS[step])


def version(db: sqlite3.Connection) -> int | None:
    """Return the version of the tables, None where there are none."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return None
    row = db.execute("SELECT value FROM meta WHERE key = ?", (VERSION_KEY,)).fetchone()
    return None if row is None else int(row[0])


def check_not_newer(found: int, path: Path) -> None:
    """Refuse a file that a newer program wrote."""
    if found > JOURNAL_SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema {found}, this program writes {JOURNAL_SCHEMA_VERSION}; "
            "run the version that wrote it, or move the file away"
        )


def _copy_aside(db: sqlite3.Connection, target: Path) -> None:
    """Keep the file as it was, whole or not at all."""
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
        with sqlite3.connect(part) as copy:
            db.backup(copy)
        copy.close()
        part.rename(target)
    except OSError as error:
        raise JournalError(f"cannot copy the journal to {target}: {error}") from error


def _note(db: sqlite3.Connection, number: int) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (VERSION_KEY, str(number)))
