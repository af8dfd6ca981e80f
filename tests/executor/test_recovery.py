"""What is rebuilt from the journal equals what was lost."""

from pathlib import Path

import numpy as np
import pytest

from executor.core.events import (
    BarClosed,
    Command,
    Event,
    FillReceived,
    FundingPaid,
    ModelSwapped,
    OrderUpdated,
    VenueSnapshot,
)
from executor.core.state import TradingState
from executor.core.step import step
from executor.core.types import Fill, FillKind, OrderStatus, Outcome
from executor.errors import JournalError
from executor.journal.recovery import read_event, rebuild, write_event, write_state
from executor.journal.rows import Entry
from executor.journal.store import Journal
from tests.support.trading import INTERVAL_MS, LONG_ROW, QUIET_ROW, SHORT_ROW, Desk, bar

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


class Life:
    """A core that lives through events, each journaled as the trader does."""

    def __init__(self, journal: Journal, seed: int) -> None:
        self.journal = journal
        self.desk = Desk(SYMBOLS)
        self.rng = np.random.default_rng(seed)
        self.waiting: list[Event] = []
        self.fills = 0
        model = self.desk.model.info.bundle_sha256
        journal.record_model("1", model, "{}", 0)
        self._write(ModelSwapped(model=self.desk.model, version="1", time_ms=0), Outcome())
        journal.save_snapshot(write_state(self.desk.state))

    def _write(self, event: Event, outcome: Outcome) -> None:
        self.journal.record(
            Entry(
                kind=type(event).__name__,
                market_ms=getattr(event, "close_ms", 0),
                body=write_event(event),
                outcome=outcome,
                fill=event.fill if isinstance(event, FillReceived) else None,
                order=event if isinstance(event, OrderUpdated) else None,
            ),
            recorded_ms=0,
            lease_token=1,
        )

    def take(self, event: Event) -> None:
        outcome = step(self.desk.state, event, self.desk.params)
        self._write(event, outcome)
        for intent in outcome.intents:
            self.waiting.append(
                OrderUpdated(
                    client_order_id=intent.client_order_id,
                    symbol=intent.symbol,
                    status=OrderStatus.ACCEPTED,
                    time_ms=intent.close_ms,
                )
            )
            self.fills += 1
            self.waiting.append(
                FillReceived(
                    fill=Fill(
                        fill_id=f"f{self.fills}",
                        symbol=intent.symbol,
                        side=intent.side,
                        quantity=intent.quantity,
                        price=intent.reference_price,
                        fee=0.01,
                        time_ms=intent.close_ms,
                        client_order_id=intent.client_order_id,
                        reduce_only=intent.reduce_only,
                    )
                )
            )

    def bar(self) -> None:
        """One close, and some of what may follow."""
        desk, rng = self.desk, self.rng
        desk.close_ms += INTERVAL_MS
        rows = [(QUIET_ROW, LONG_ROW, SHORT_ROW)[int(k)] for k in rng.integers(0, 3, len(SYMBOLS))]
        bars = tuple(
            bar(symbol, desk.close_ms, row, 100.0 + float(rng.normal()))
            for symbol, row in zip(SYMBOLS, rows, strict=True)
        )
        self.take(BarClosed(close_ms=desk.close_ms, bars=bars))
        while self.waiting:
            self.take(self.waiting.pop(0))
        held = sorted(desk.state.ledger.positions)
        if held and rng.random() < 0.5:
            self.close_by_stop(held[0])
        if held and rng.random() < 0.3:
            self.take(
                FundingPaid(symbol=held[-1], time_ms=desk.close_ms, amount=-0.02, rate=0.0001)
            )
        if rng.random() < 0.1:
            self.take(Command(name="pause", time_ms=desk.close_ms, who="me"))
            self.take(Command(name="resume", time_ms=desk.close_ms, who="me"))

    def close_by_stop(self, symbol: str) -> None:
        position = self.desk.state.ledger.positions[symbol]
        self.fills += 1
        fill = Fill(
            fill_id=f"f{self.fills}",
            symbol=symbol,
            side=-position.side,
            quantity=position.quantity,
            price=position.stop_price,
            fee=0.01,
            time_ms=self.desk.close_ms,
            client_order_id="",
            kind=FillKind.STOP,
            reduce_only=True,
        )
        self.take(FillReceived(fill=fill))


def again(life: Life) -> TradingState:
    """Return what a new process rebuilds, the model taken from its store."""
    known = {life.desk.model.info.bundle_sha256: life.desk.model}
    rebuilt = rebuild(Journal(life.journal.path), life.desk.params, known.get)
    assert rebuilt is not None
    return rebuilt


@pytest.mark.parametrize("seed", range(4))
def test_what_is_rebuilt_is_what_was_lost(tmp_path: Path, seed: int) -> None:
    """At any event, from a snapshot near or far: the same state, and the same next decision."""
    with Journal(tmp_path / "journal.db") as journal:
        life = Life(journal, seed)
        for number in range(40):
            life.bar()
            if number % 9 == 4:
                journal.save_snapshot(write_state(life.desk.state))
            if number % 7 == 0:
                rebuilt = again(life)
                assert write_state(rebuilt) == write_state(life.desk.state)
                assert len(rebuilt.recent) == len(life.desk.state.recent)
        assert life.fills > 10
        assert life.desk.state.trade_count > 2
        rebuilt = again(life)
        close_ms = life.desk.close_ms + INTERVAL_MS
        event = BarClosed(close_ms=close_ms, bars=(bar("ETHUSDT", close_ms, LONG_ROW, 101.0),))
        assert step(rebuilt, event, life.desk.params) == step(
            life.desk.state, event, life.desk.params
        )


def test_a_new_journal_has_no_state(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        assert rebuild(journal, Desk().params, lambda sha256: None) is None


def test_a_state_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        for damaged in ("", "{}", '{"format": 99}', "[1]"):
            journal.save_snapshot(damaged)
            with pytest.raises(JournalError, match="cannot be read"):
                rebuild(journal, Desk().params, lambda sha256: None)


def test_an_event_that_cannot_be_read_names_its_number(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        for kind in ("BarClosed", "Unheard", "ModelSwapped"):
            entry = Entry(kind=kind, market_ms=1, body='{"x": 1}', outcome=Outcome())
            journal.record(entry, recorded_ms=0, lease_token=0)
        for number, stored in enumerate(journal.events(), start=1):
            with pytest.raises(JournalError, match=f"event {number} "):
                read_event(stored, lambda sha256: None)


def test_a_snapshot_of_the_venue_reads_back(tmp_path: Path) -> None:
    event = VenueSnapshot(time_ms=3, wallet_balance=1.5, positions=(), orders=())
    with Journal(tmp_path / "journal.db") as journal:
        entry = Entry(kind="VenueSnapshot", market_ms=3, body=write_event(event), outcome=Outcome())
        journal.record(entry, recorded_ms=0, lease_token=0)
        (stored,) = journal.events()
        assert read_event(stored, lambda sha256: None) == event
