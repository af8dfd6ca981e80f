"""What is rebuilt from the journal equals what was lost."""

from dataclasses import replace
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
    VenuePosition,
    VenueSnapshot,
)
from executor.core.params import Params, with_profile
from executor.core.state import TradingState, save
from executor.core.step import step
from executor.core.types import Fill, FillKind, OrderStatus, Outcome
from executor.errors import JournalError
from executor.journal.codec import encode
from executor.journal.recovery import read_event, rebuild, relive, write_event, write_state
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
        self.looks = 0
        model = self.desk.model.info.bundle_sha256
        journal.record_model("1", model, "{}", 0)
        self._write(ModelSwapped(model=self.desk.model, version="1", time_ms=0), Outcome())
        journal.begin_session(encode(self.desk.params), write_state(self.desk.state))

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
        if rng.random() < 0.6:
            self.look()
        if rng.random() < 0.1:
            self.take(Command(name="pause", time_ms=desk.close_ms, who="me"))
            self.take(Command(name="resume", time_ms=desk.close_ms, who="me"))

    def look(self) -> None:
        """See the account as it is, or otherwise: another quantity, no stop, nothing at all."""
        shown = []
        for one in self.desk.state.ledger.positions.values():
            what = self.rng.integers(0, 6)
            if what == 0:
                continue
            shown.append(
                VenuePosition(
                    symbol=one.symbol,
                    side=one.side,
                    quantity=one.quantity * (2.0 if what == 1 else 1.0),
                    entry_price=one.entry_price,
                    stop_price=0.0 if what == 2 else one.stop_price,
                    take_price=one.take_price,
                    mark_price=one.entry_price,
                )
            )
        self.looks += 1
        cash = self.desk.state.ledger.cash
        time_ms = self.desk.close_ms + 20_000 * self.looks
        self.take(
            VenueSnapshot(time_ms=time_ms, wallet_balance=cash, positions=tuple(shown), orders=())
        )

    def restart(self, params: Params) -> None:
        """Die, and go on as a new process does."""
        known = {self.desk.model.info.bundle_sha256: self.desk.model}
        rebuilt = rebuild(self.journal, params, known.get)
        assert rebuilt is not None
        assert save(rebuilt) == save(self.desk.state), "it was decided by the parameters of then"
        self.desk.state, self.desk.params = rebuilt, params
        self.journal.begin_session(encode(params), write_state(rebuilt))

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
    """Return what the journal says that the process had, the model taken from its store."""
    known = {life.desk.model.info.bundle_sha256: life.desk.model}
    rebuilt = relive(Journal(life.journal.path), Desk(SYMBOLS).params, known.get)
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


@pytest.mark.parametrize("seed", range(4))
def test_what_a_process_decided_is_derived_by_its_own_parameters(tmp_path: Path, seed: int) -> None:
    """A crash, other parameters, and another crash: the orders are those that were sent."""
    with Journal(tmp_path / "journal.db") as journal:
        life = Life(journal, seed)
        usual = life.desk.params
        bolder = with_profile(usual, "aggressive")
        for number in range(40):
            life.bar()
            assert write_state(again(life)) == write_state(life.desk.state)
            if number % 6 == 3:
                life.restart(bolder if life.desk.params is usual else usual)
        assert life.desk.state.trade_count > 2
        assert life.looks > 10


def test_the_first_look_after_a_start_counts_at_once_and_a_later_one_does_not(
    tmp_path: Path,
) -> None:
    """And whoever derives them again knows which was which."""
    with Journal(tmp_path / "journal.db") as journal:
        life = Life(journal, 1)
        stranger = VenuePosition(
            symbol="ETHUSDT",
            side=1,
            quantity=1.0,
            entry_price=100.0,
            stop_price=99.0,
            take_price=102.0,
            mark_price=100.0,
        )
        empty = VenueSnapshot(time_ms=1_000, wallet_balance=1.0, positions=(), orders=())
        seen = replace(empty, time_ms=2_000, positions=(stranger,))
        life.take(empty)
        journal.save_snapshot(write_state(life.desk.state))
        life.take(seen)
        assert not life.desk.state.ledger.positions, "it must be seen twice"
        assert not again(life).ledger.positions
        life.restart(life.desk.params)
        life.take(replace(seen, time_ms=3_000))
        assert list(life.desk.state.ledger.positions) == ["ETHUSDT"]
        assert write_state(again(life)) == write_state(life.desk.state)


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
