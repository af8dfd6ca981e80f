"""How one event and its consequences become rows.

Decides which table each part of an event goes to. Never opens a database and never commits
(`journal` does). Rule: :func:`insert_entry` writes everything of one event, so that one
transaction around it is all that atomicity needs.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

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
from executor.journal.codec import encode

UNSETTLED: Final = frozenset({OrderStatus.INTENDED, OrderStatus.SUBMITTED, OrderStatus.UNKNOWN})
DAYS_KEPT: Final = 120
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
    """One event with all that goes into the same transaction.

    ``ended`` names the order that ``fill`` ended: no other word on it may ever come.
    ``day`` (YYYY-MM-DD) is set where it is the first close of a day: the state kept last then
    becomes the one from which that day can be derived again.
    """

    kind: str
    market_ms: int
    body: str
    outcome: Outcome
    fill: Fill | None = None
    ended: str = ""
    order: OrderUpdated | None = None
    equity: tuple[int, float, float] | None = None
    day: str | None = None


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
    if entry.ended:
        _settle(db, entry.ended)
    if entry.order is not None:
        _insert_order(db, seq, entry.order)
    if entry.equity is not None:
        db.execute("INSERT OR REPLACE INTO equity VALUES (?, ?, ?)", entry.equity)
    if entry.day is not None:
        _begin_day(db, entry.day, seq)
    return seq


def _begin_day(db: sqlite3.Connection, day: str, seq: int) -> None:
    """Keep the state from which ``day`` can be derived again; the oldest days are forgotten."""
    db.execute(
        "INSERT OR IGNORE INTO days SELECT ?, ?, event_seq, body FROM snapshots WHERE id = 1",
        (day, seq),
    )
    db.execute(
        "DELETE FROM days WHERE day NOT IN (SELECT day FROM days ORDER BY day DESC LIMIT ?)",
        (DAYS_KEPT,),
    )


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
        _settle(db, order.client_order_id)


def _settle(db: sqlite3.Connection, client_order_id: str) -> None:
    """Write that an order is as it will be: the next process need not ask what became of it."""
    db.execute(
        "UPDATE intents SET state = ? WHERE kind = 'order' AND client_order_id = ?",
        (DONE, client_order_id),
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
