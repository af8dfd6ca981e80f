"""Where a record's result comes from: by symbol, side, hour, weekday, way out, month.

Decides the groups only. Never leaves a trade out: the groups of one kind sum to the record. Rule:
times are UTC, of the decision; a group without trades is absent.
"""

from datetime import UTC, datetime

import numpy as np

from flows.research.evidence import Trades

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SESSIONS = (
    (0, 8, "Asia 0-8 h"),
    (8, 13, "Europe 8-13 h"),
    (13, 21, "US 13-21 h"),
    (21, 24, "late 21-24 h"),
)
Table = dict[str, dict[str, float]]


def breakdown(trades: Trades) -> dict[str, Table]:
    """Return trades, win rate, mean and sum of net returns by group, for each kind of group."""
    moments = [datetime.fromtimestamp(ms / 1000, UTC) for ms in trades.start_ms]
    kinds = {
        "symbol": list(trades.symbol),
        "side": ["long" if side > 0 else "short" for side in trades.side],
        "way out": list(trades.reason),
        "session (UTC)": [_session(m.hour) for m in moments],
        "weekday": [WEEKDAYS[m.weekday()] for m in moments],
        "month": [f"{m:%Y-%m}" for m in moments],
    }
    order = {name: place for place, name in enumerate((*WEEKDAYS, *(s[2] for s in SESSIONS)))}
    net = np.array(trades.net)
    out: dict[str, Table] = {}
    for kind, keys in kinds.items():
        column = np.array(keys)
        names = sorted(set(keys), key=lambda name: (order.get(name, -1), name))
        out[kind] = {name: _figures(net[column == name]) for name in names}
    return out


def _figures(net: np.ndarray) -> dict[str, float]:
    return {
        "trades": float(net.size),
        "win_rate": float((net > 0).mean()),
        "mean_net": float(net.mean()),
        "sum_net": float(net.sum()),
    }


def _session(hour: int) -> str:
    return next(name for first, last, name in SESSIONS if first <= hour < last)
