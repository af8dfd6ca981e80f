"""What the executor's journal says of a run: bars, decisions, orders, trades and equity.

Decides how the figures of the demo are counted: each is a row that the executor wrote, none is an
estimate. Opens the database read-only, while the executor may still be writing to it.
Rule: the tables are those that `executor.core.contract.Table` names; nothing here writes.
"""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executor.core.contract import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalView:
    """The figures of one run."""

    equity: tuple[tuple[int, float], ...] = ()  # (close_ms, equity in quote currency)
    trades: tuple[Mapping[str, Any], ...] = ()
    decisions: int = 0
    approved: int = 0
    refused: Mapping[str, int]
    refused_ms: Mapping[str, tuple[int, int]]  # the first and the last time of each reason
    orders: int = 0
    fills: int = 0
    model_version: str = ""

    @property
    def bars(self) -> int:
        """Bar closes that were processed."""
        return len(self.equity)


NOTHING = JournalView(refused={}, refused_ms={})


def read_journal(path: Path) -> JournalView:
    """Return what the journal at ``path`` holds; nothing where there is none yet."""
    if not path.is_file():
        return NOTHING
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5.0)) as database:
        if not _has_tables(database):
            return NOTHING
        ask = database.execute
        verdicts = dict(ask("SELECT verdict, COUNT(*) FROM decisions GROUP BY 1").fetchall())
        refused = ask(
            "SELECT reason, COUNT(*), MIN(close_ms), MAX(close_ms) FROM decisions "
            "WHERE verdict = ? GROUP BY 1 ORDER BY 2 DESC",
            (str(Verdict.REFUSE),),
        ).fetchall()
        equity = ask("SELECT close_ms, equity FROM equity ORDER BY close_ms")
        trades = ask("SELECT body FROM trades ORDER BY seq")
        orders = ask("SELECT COUNT(DISTINCT client_order_id) FROM orders").fetchone()
        version = ask("SELECT version FROM models ORDER BY seq DESC LIMIT 1").fetchone()
        return JournalView(
            equity=tuple(equity.fetchall()),
            trades=tuple(json.loads(body) for (body,) in trades),
            decisions=sum(verdicts.values()),
            approved=verdicts.get(str(Verdict.ENTER), 0),
            refused={reason: count for reason, count, *_ in refused},
            refused_ms={reason: (first, last) for reason, _, first, last in refused},
            orders=int(orders[0]),
            fills=int(ask("SELECT COUNT(*) FROM fills").fetchone()[0]),
            model_version=str(version[0]) if version else "",
        )


def progress(path: Path) -> tuple[int, float, int]:
    """Return the bars processed, the equity now, and the trades closed; cheap enough to poll."""
    if not path.is_file():
        return 0, 0.0, 0
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5.0)) as database:
        if not _has_tables(database):
            return 0, 0.0, 0
        ask = database.execute
        equity = ask("SELECT equity FROM equity ORDER BY close_ms DESC LIMIT 1").fetchone()
        bars = ask("SELECT COUNT(*) FROM equity").fetchone()[0]
        trades = ask("SELECT COUNT(*) FROM trades").fetchone()[0]
        return int(bars), float(equity[0]) if equity else 0.0, int(trades)


def _has_tables(database: sqlite3.Connection) -> bool:
    """Whether the last table that the executor makes is there."""
    found = database.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'snapshots'")
    return bool(found.fetchone()[0])
