"""What shall go wrong.

Decides which planned fault meets a request, a message or the market, and records every one that
did with what it hit. Never carries one out (``server``, ``hub``, ``mischief`` do). Rule: a fault is
used up by what it hits; without a plan nothing here changes anything; all chance comes from the
seed, so the same requests meet the same faults.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from executor.paper.params import Params
from features.errors import InputError
from features.suggest import unknown_name

# What happens to a request.
REQUEST = {
    "http": "answer with an HTTP status and a body, unseen by the venue",
    "retcode": "answer with a retCode, unseen by the venue",
    "rate_limit": "answer 10006 with headers that say nothing is left",
    "disconnect": "reset the connection before the venue sees the request",
    "hang_before": "never answer and never pass the request on",
    "hang_after": "pass the request on and never answer: the acknowledgement is lost",
    "late": "pass the request on only after some seconds",
    "slow": "pass the request on and answer after some seconds: events come before the reply",
}
# What happens to a message on a websocket; ``match`` is part of its topic.
STREAM = {
    "ws_drop": "lose the message",
    "ws_duplicate": "send the message twice",
    "ws_delay": "send the message after some seconds",
    "ws_reorder": "send the message after the next one of its topic",
}
# What happens to an order; ``match`` is part of its symbol.
ORDER = {
    "partial_fill": "fill only a fraction of a taking order",
    "reject": "reject an order after it was acknowledged",
    "stop_rejected": "reject the stop-loss that came with a position",
}
# What happens to the market or to everybody, at once or at a given bar.
MARKET = {
    "skew": "set the server's clock off by some milliseconds",
    "ws_close": "close all websockets",
    "ws_half_open": "stop reading and writing on all websockets without closing them",
    "stale_klines": "publish no klines for some bars; pings are answered",
    "missing_bar": "leave the running bar out of the history and the stream",
    "close_by_hand": "close an account's position as its owner would on the website",
    "liquidate": "liquidate an account's position at the last price",
    "adl": "deleverage an account's position at the last price",
    "delist": "end a contract: its orders cancelled, its positions settled at the last price",
    "instrument": "change an instrument's tick, lot, limits or status",
    "maintenance": "close for some seconds: 503, sockets closed, status page says so",
    "ban": "ban every address for some seconds",
}
# Those that change what the venue holds: a journal replays them.
VENUE_KINDS = frozenset(
    {
        *ORDER,
        *("stale_klines", "missing_bar", "close_by_hand", "liquidate", "adl", "delist"),
        "instrument",
    }
)
KINDS: Mapping[str, str] = {**REQUEST, **STREAM, **ORDER, **MARKET}
RANDOM_KINDS = ("http", "retcode", "disconnect", "hang_after", "slow", "ws_drop", "ws_duplicate")
HITS_KEPT = 10_000
WORDS_MAX = 300
# Arguments that are numbers, with their least and greatest value.
NUMBERS = {
    "status": (200, 599),
    "code": (0, 1e9),
    "seconds": (0, 1e6),
    "ms": (-1e12, 1e12),
    "fraction": (0, 1),
    "bars": (0, 1e9),
}
# Other arguments that some kind takes.
WORDS = (
    "body",
    "content_type",
    "message",
    "account",
    "tick",
    "lot",
    "quantity_min",
    "notional_min",
)
COUNT_MAX = 1_000_000
HANG_SECONDS = 60.0
SERVER_ERROR = 10016


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One planned fault.

    ``match`` is part of the path, topic or symbol it waits for, ``count`` how often it acts and
    ``bar`` the streamed bar before which a fault of the market acts (0: at once).
    """

    kind: str
    match: str = ""
    count: int = 1
    bar: int = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(unknown_name("fault", self.kind, KINDS))
        for name in self.arguments:
            if name not in (*NUMBERS, *WORDS):
                problem = unknown_name("argument", name, (*NUMBERS, *WORDS))
                raise InputError(f"fault {self.kind}: {problem}")
        for name, (least, most) in NUMBERS.items():
            if name not in self.arguments or (name == "status" and self.kind == "instrument"):
                continue
            if not least <= self.number(name, 0.0) <= most:
                given = self.arguments[name]
                raise InputError(f"fault {self.kind}: {name} is {given!r}; {least:g} to {most:g}")

    def as_values(self) -> dict[str, Any]:
        """Return the fault as ``fault_of`` reads it."""
        return {
            "kind": self.kind,
            "match": self.match,
            "count": self.count,
            "bar": self.bar,
            "arguments": dict(self.arguments),
        }

    def number(self, name: str, default: float) -> float:
        """Return a number among the arguments."""
        value = self.arguments.get(name, default)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise InputError(f"fault {self.kind}: {name} is {value!r}, not a number") from None

    def text(self, name: str, default: str) -> str:
        """Return a text among the arguments."""
        return str(self.arguments.get(name, default))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One fault that acted: what it hit, with the request's own words."""

    number: int
    kind: str
    where: str
    what: str
    market_ms: int


class Faults:
    """The faults still to come, those that were, and a seeded stream of random ones."""

    def __init__(self, seed: int = 0, rate: float = 0.0) -> None:
        self.planned: list[Fault] = []
        self.hits: list[Hit] = []
        self._rate = rate
        self._rng = np.random.default_rng(seed)
        self._count = 0

    def plan(self, fault: Fault) -> None:
        """Add a fault."""
        self.planned.append(fault)

    @property
    def armed(self) -> bool:
        """Whether there is any fault to come."""
        return bool(self.planned) or self._rate > 0.0

    def take(self, kinds: Mapping[str, str], where: str, what: str, market_ms: int) -> Fault | None:
        """Return and use up the first fault of one of ``kinds`` that waits for ``where``."""
        for index, fault in enumerate(self.planned):
            if fault.kind in kinds and fault.match in where and not fault.bar:
                self._use_up(index)
                return self.record(fault, where, what, market_ms)
        if self._rate and self._rng.random() < self._rate:
            chosen = [kind for kind in RANDOM_KINDS if kind in kinds]
            if chosen:
                kind = chosen[int(self._rng.integers(len(chosen)))]
                return self.record(Fault(kind=kind), where, what, market_ms)
        return None

    def due(self, bar: int) -> list[Fault]:
        """Return and use up the faults planned for a bar."""
        due = [fault for fault in self.planned if fault.bar == bar and fault.bar]
        self.planned = [fault for fault in self.planned if fault not in due]
        return due

    def record(self, fault: Fault, where: str, what: str, market_ms: int) -> Fault:
        """Write down that ``fault`` acted and return it."""
        self._count += 1
        hit = Hit(number=self._count, kind=fault.kind, where=where, what=what, market_ms=market_ms)
        self.hits.append(hit)
        del self.hits[:-HITS_KEPT]
        return fault

    def _use_up(self, index: int) -> None:
        fault = self.planned[index]
        if fault.count > 1:
            self.planned[index] = replace(fault, count=fault.count - 1)
        else:
            del self.planned[index]


def fault_of(params: Params) -> Fault:
    """Return the fault that ``params`` describe."""
    return Fault(
        kind=params.needed("kind"),
        match=params.text("match"),
        count=max(1, min(COUNT_MAX, params.integer("count", 1))),
        bar=max(0, params.integer("bar", 0)),
        arguments=params.mapping("arguments"),
    )
