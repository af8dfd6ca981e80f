"""Derives every decision of a past day again, from the journal alone.

Decides which state a day begins with, where a process went on from another, and what counts as a
difference. Never writes, never asks the venue, and never trades. Rule: the journal is opened for
reading only, so a running executor is not disturbed; the core that is run is the one that trades,
so a difference means that the code, the model's file or the journal is no longer what decided.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from executor.core.events import BarClosed
from executor.core.model import Model
from executor.core.step import step
from executor.core.types import Decision, Outcome, Trade
from executor.errors import JournalError
from executor.journal.codec import CodecError, decode, encode
from executor.journal.recovery import (
    begin_anew,
    put_back,
    read_event,
    read_params,
    restore_whole,
)
from executor.journal.rows import KINDS
from executor.journal.store import Journal, StoredDay, StoredEvent
from features.errors import InputError

SHOWN: Final = 40
QUERIES: Final = (
    "SELECT event_seq, 'decision', body FROM decisions WHERE event_seq BETWEEN ? AND ?",
    "SELECT event_seq, kind, body FROM intents WHERE event_seq BETWEEN ? AND ?",
    "SELECT event_seq, 'trade', body FROM trades WHERE event_seq BETWEEN ? AND ?",
)
TYPES: Final[dict[str, type[Any]]] = {"decision": Decision, "trade": Trade, **KINDS}

ModelOf = Callable[[str], Model | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One thing that the journal holds otherwise than it was derived now."""

    event_seq: int
    what: str
    symbol: str
    field: str
    journal: str
    derived: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReplayed:
    """What was derived again, and what differs."""

    day: str
    events: int
    closes: int
    decisions: int
    orders: int
    mismatches: tuple[Mismatch, ...]

    def lines(self) -> list[str]:
        """Return the result for a person: a sentence, and a table where something differs."""
        text = (
            f"{self.day}: {self.closes} closes, {self.events} events, {self.decisions} decisions, "
            f"{self.orders} orders derived again, {len(self.mismatches)} differences"
        )
        if not self.mismatches:
            return [text]
        rows = [("event", "what", "symbol", "field", "in the journal", "derived now")]
        rows += [
            (str(m.event_seq), m.what, m.symbol, m.field, m.journal[:60], m.derived[:60])
            for m in self.mismatches[:SHOWN]
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        table = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
        more = len(self.mismatches) - SHOWN
        return [text, *table, *([f"... and {more} more"] if more > 0 else [])]


def replay_day(journal: Journal, day: str, model_of: ModelOf) -> DayReplayed:
    """Derive a day again.

    Raises
    ------
    InputError
        Where the journal keeps no state for that day.
    JournalError
        Where a row cannot be read, or a model that decided is no longer kept.
    """
    kept = journal.day(day)
    if kept is None:
        days = journal.days()
        known = f"it keeps {days[0]} to {days[-1]}" if days else "it keeps none yet"
        raise InputError(f"{journal.path} keeps no state for {day}; {known}")
    past = _Past(journal, kept, model_of)
    found: list[Mismatch] = []
    counts = {"closes": 0, "events": 0, "decisions": 0, "orders": 0}
    written = _written(journal, kept)
    for stored, outcome in past.outcomes():
        if stored.seq < kept.first_seq:
            continue
        counts["events"] += 1
        counts["closes"] += stored.kind == BarClosed.__name__
        counts["decisions"] += len(outcome.decisions)
        counts["orders"] += len(outcome.intents)
        found += _compared(stored.seq, written.get(stored.seq, []), _derived(outcome))
    return DayReplayed(day=day, mismatches=tuple(found), **counts)


class _Past:
    """The core, living through the events of the journal once more."""

    def __init__(self, journal: Journal, kept: StoredDay, model_of: ModelOf) -> None:
        self._journal = journal
        self._kept = kept
        self._model_of = model_of
        sessions = journal.sessions()
        if not sessions:
            raise JournalError("the journal does not say with which parameters the day began")
        before = [body for seq, body in sessions if seq < kept.state_seq]
        self._params = read_params(before[-1] if before else sessions[0][1])
        self._later = [(seq, body) for seq, body in sessions if seq >= kept.state_seq]
        self._state = restore_whole(json.loads(kept.state), self._params)
        put_back(journal, self._state, self._params, kept.state_seq, self._needed)

    def outcomes(self) -> Iterator[tuple[StoredEvent, Outcome]]:
        """Yield every event since the kept state with what follows from it."""
        for stored in self._journal.events(after=self._kept.state_seq):
            if stored.seq > self._kept.last_seq:
                return
            while self._later and self._later[0][0] < stored.seq:
                self._restart(self._later.pop(0)[1])
            event = read_event(stored, self._needed)
            yield stored, step(self._state, event, self._params)

    def _restart(self, params: str) -> None:
        """Go on as a new process did: from the saved state, nothing reconciled yet."""
        self._params = read_params(params)
        self._state = begin_anew(self._state, self._params)

    def _needed(self, sha256: str) -> Model:
        model = self._model_of(sha256)
        if model is None:
            raise JournalError(
                f"the model {sha256[:12]} that decided is no longer in the model store; "
                "restore a backup that holds it"
            )
        return model


def _written(journal: Journal, kept: StoredDay) -> dict[int, list[tuple[str, str]]]:
    """Return (kind, body) of everything that the day's events brought, by event."""
    found: dict[int, list[tuple[str, str]]] = {}
    for query in QUERIES:
        for seq, kind, body in journal.written(query, kept.first_seq, kept.last_seq):
            found.setdefault(seq, []).append((kind, body))
    return found


def _derived(outcome: Outcome) -> list[tuple[str, Any]]:
    """Return what an event brings now, in the order in which the journal holds it."""
    return [
        *(("decision", one) for one in outcome.decisions),
        *(("order", one) for one in outcome.intents),
        *(("protect", one) for one in outcome.protections),
        *(("cancel", one) for one in outcome.cancels),
        *(("trade", one) for one in outcome.trades),
    ]


def _compared(
    seq: int, written: Sequence[tuple[str, str]], derived: Sequence[tuple[str, Any]]
) -> Iterator[Mismatch]:
    """Yield what differs; rows of one kind are compared in their order."""
    for kind, read in TYPES.items():
        then = [_again(read, body) for name, body in written if name == kind]
        now = [json.loads(encode(one)) for name, one in derived if name == kind]
        for place in range(max(len(then), len(now))):
            old = then[place] if place < len(then) else None
            new = now[place] if place < len(now) else None
            if old == new:
                continue
            symbol = str((old or new or {}).get("symbol", ""))
            row = Mismatch(
                event_seq=seq, what=kind, symbol=symbol, field="", journal="-", derived="-"
            )
            if old is None or new is None:
                yield replace(
                    row,
                    journal="absent" if old is None else "present",
                    derived="absent" if new is None else "present",
                )
                continue
            name = next(name for name in new if old.get(name) != new[name])
            yield replace(row, field=name, journal=str(old.get(name)), derived=str(new[name]))


def _again(read: type[Any], body: str) -> dict[str, Any]:
    """Return a row as this version would write it."""
    try:
        row: dict[str, Any] = json.loads(encode(decode(read, body)))
    except CodecError as error:
        raise JournalError(f"a row of the day cannot be read: {error}") from error
    return row
