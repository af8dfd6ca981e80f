"""Journals of an older version are brought up to this one; of a newer one they are left alone."""

import sqlite3
from pathlib import Path

import pytest

from executor.core.contract import JOURNAL_SCHEMA_VERSION
from executor.journal.schema import STEPS
from executor.journal.store import Journal
from features.errors import InputError

# The tables as version 1 of this program wrote them, and rows of its own.
VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, market_ms INTEGER NOT NULL,
    recorded_ms INTEGER NOT NULL, lease_token INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE intents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL, kind TEXT NOT NULL,
    client_order_id TEXT NOT NULL, symbol TEXT NOT NULL, state TEXT NOT NULL,
    recorded_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE UNIQUE INDEX one_order ON intents (client_order_id) WHERE kind = 'order';
CREATE INDEX events_of_kind ON events (kind, market_ms);
CREATE INDEX open_intents ON intents (state) WHERE state = 'planned';
CREATE TABLE orders (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL,
    client_order_id TEXT NOT NULL, status TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE fills (
    fill_id TEXT PRIMARY KEY, event_seq INTEGER NOT NULL, symbol TEXT NOT NULL,
    time_ms INTEGER NOT NULL, client_order_id TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE trades (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL, symbol TEXT NOT NULL,
    opened_ms INTEGER NOT NULL, closed_ms INTEGER NOT NULL, pnl REAL NOT NULL, body TEXT NOT NULL);
CREATE TABLE decisions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL, close_ms INTEGER NOT NULL,
    symbol TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE equity (
    close_ms INTEGER PRIMARY KEY, equity REAL NOT NULL, balance REAL NOT NULL);
CREATE TABLE params (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE models (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, recorded_ms INTEGER NOT NULL, version TEXT NOT NULL,
    bundle_sha256 TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE notices (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL, code TEXT NOT NULL,
    symbol TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY CHECK (id = 1), event_seq INTEGER NOT NULL, body TEXT NOT NULL);
INSERT INTO meta VALUES ('schema_version', '1'), ('instance', 'abc');
INSERT INTO events (kind, market_ms, recorded_ms, lease_token, body) VALUES ('Tick', 5, 6, 7, '{}');
INSERT INTO equity VALUES (5, 100.0, 90.0);
"""


def written(path: Path, text: str = VERSION_1) -> Path:
    with sqlite3.connect(path) as db:
        db.executescript(text)
    db.close()
    return path


def tables(path: Path) -> dict[str, str]:
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL").fetchall()
    db.close()
    return {name: sql.replace("IF NOT EXISTS ", "") for name, sql in rows}


def test_a_journal_of_version_1_keeps_its_rows_and_gets_the_tables_of_today(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.db")
    with Journal(path) as journal:
        assert journal.meta("schema_version") == str(JOURNAL_SCHEMA_VERSION)
        assert journal.meta("instance") == "abc"
        assert [event.kind for event in journal.events()] == ["Tick"]
        assert journal.equity() == [(5, 100.0, 90.0)]
        assert journal.days() == []
    with Journal(tmp_path / "fresh.db"):
        pass
    assert tables(path) == tables(tmp_path / "fresh.db")


def test_the_file_is_kept_as_it_was(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.db")
    before = tables(path)
    with Journal(path):
        pass
    assert tables(tmp_path / "journal.db.schema-1") == before


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.db")
    for _ in range(2):
        with Journal(path) as journal:
            journal.set_meta("seen", "1")
    assert [p.name for p in tmp_path.iterdir() if "schema" in p.name] == ["journal.db.schema-1"]


def test_every_version_has_a_step_to_the_next() -> None:
    assert sorted(STEPS) == list(range(1, JOURNAL_SCHEMA_VERSION))


def test_a_newer_journal_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.db", VERSION_1.replace("'1'", "'99'"))
    before = tables(path)
    with pytest.raises(InputError, match=r"has schema 99, .* run the version that wrote it"):
        Journal(path)
    assert tables(path) == before


def test_a_reader_changes_nothing_and_says_what_to_do(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.db")
    with pytest.raises(InputError, match="start the executor once"):
        Journal(path, read_only=True)
    assert "days" not in tables(path)
