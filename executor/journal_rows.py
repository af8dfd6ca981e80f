"""The journal's tables, and how one event and its consequences become rows.

Decides the schema and which table each part of an event goes to. Never opens a database and never
commits (`journal` does). Rule: :func:`insert_entry` writes everything of one event, so that one
transaction around it is all that atomicity needs.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from executor.codec import encode
from executor.core.events import OrderUpdated
from executor.core.types import (
    CancelIntent,
    Decision,
    Fill,
    Notice,
    OrderIntent,
    OrderStatus,
    Outcome,
    Protect,
    Trade,
)

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
"""
UNSETTLED: Final = frozenset({OrderStatus.INTENDED, OrderStatus.SUBMITTED, OrderStatus.UNKNOWN})
PLANNED: Final = "planned"
DONE: Final = "done"
Action = OrderIntent | Protect | CancelIntent
KINDS: Final[dict[str, type[Any]]] = {
    "order": OrderIntent,
    "protect": Protect,
    "cancel": CancelIntent,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event with all that goes into the same transaction."""

    kind: str
    market_ms: int
    body: str
    outcome: Outcome
    fill: Fill | None = None
    order: OrderUpdated | None = None
    equity: tuple[int, float, float] | None = None
    params: str | None = None
    snapshot: str | None = None


def insert_entry(
    db: sqlite3.Connection, entry: Entry, *, recorded_ms: int, lease_token: int
) -> int:
    """Write one event with all its consequences; return its sequence number."""
    outcome = entry.outcome
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
        _insert_order(db, seq, entry.order)
    if entry.equity is not None:
        db.execute("INSERT OR REPLACE INTO equity VALUES (?, ?, ?)", entry.equity)
    if entry.params is not None:
        row = (seq, entry.params)
        db.execute("INSERT INTO params (event_seq, body) VALUES (?, ?)", row)
    if entry.snapshot is not None:
        row = (seq, entry.snapshot)
        db.execute("INSERT OR REPLACE INTO snapshots VALUES (1, ?, ?)", row)
    return seq


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


def _insert_order(db: sqlite3.Connection, seq: int, order: OrderUpdated) -> None:
    """Write what is known of an order; once the venue's word is known, the intent is done."""
    db.execute(
        "INSERT INTO orders (event_seq, client_order_id, status, body) VALUES (?, ?, ?, ?)",
        (seq, order.client_order_id, order.status, encode(order)),
    )
    if order.status not in UNSETTLED:
        db.execute(
            "UPDATE intents SET state = ? WHERE kind = 'order' AND client_order_id = ?",
            (DONE, order.client_order_id),
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
