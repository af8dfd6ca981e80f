"""The journal: one event and its consequences are one transaction, and nothing is done twice."""

import sqlite3
from pathlib import Path

import pytest

from executor.core.events import FillReceived, FundingPaid, OrderUpdated
from executor.core.types import (
    CancelIntent,
    Fill,
    Leg,
    Notice,
    OrderIntent,
    OrderStatus,
    Outcome,
    Protect,
)
from executor.errors import JournalError
from executor.journal.recovery import write_event
from executor.journal.rows import Entry
from executor.journal.store import Journal
from features.errors import InputError

NAME = "tb-BTCUSDT-1735689600000-e"


def intent(name: str = NAME) -> OrderIntent:
    return OrderIntent(
        client_order_id=name,
        symbol="BTCUSDT",
        side=1,
        quantity=0.1,
        reduce_only=False,
        reason="entry",
        leg=Leg.ENTRY,
        close_ms=1_735_689_600_000,
        reference_price=100.0,
        stop_price=99.0,
    )


def update(status: OrderStatus) -> OrderUpdated:
    return OrderUpdated(client_order_id=NAME, symbol="BTCUSDT", status=status, time_ms=5)


def fill(name: str = "f1", time_ms: int = 7) -> Fill:
    return Fill(
        fill_id=name,
        symbol="BTCUSDT",
        side=1,
        quantity=0.1,
        price=100.0,
        fee=0.01,
        time_ms=time_ms,
        client_order_id=NAME,
    )


def entry(kind: str = "Tick", market_ms: int = 1, **parts: object) -> Entry:
    outcome = parts.pop("outcome", Outcome())
    return Entry(kind=kind, market_ms=market_ms, body="{}", outcome=outcome, **parts)  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "deep" / "journal.db")


def record(journal: Journal, written: Entry) -> int:
    return journal.record(written, recorded_ms=99, lease_token=3)


def test_an_intent_is_planned_until_the_venues_word_is_known(journal: Journal) -> None:
    record(journal, entry(outcome=Outcome(intents=(intent(),))))
    assert [planned.action for planned in journal.planned()] == [intent()]
    assert journal.planned()[0].recorded_ms == 99
    for unsettled in (OrderStatus.SUBMITTED, OrderStatus.UNKNOWN):
        record(journal, entry("OrderUpdated", order=update(unsettled)))
        assert len(journal.planned()) == 1
    record(journal, entry("OrderUpdated", order=update(OrderStatus.ACCEPTED)))
    assert journal.planned() == []


def test_an_order_is_planned_once_or_not_at_all(journal: Journal) -> None:
    """The third barrier against a double order, behind the state and the venue."""
    record(journal, entry(outcome=Outcome(intents=(intent(),))))
    with pytest.raises(JournalError, match="UNIQUE"):
        record(journal, entry(outcome=Outcome(intents=(intent("other"), intent()))))
    assert len(journal.planned()) == 1, "the whole event was rolled back"
    assert len(list(journal.events())) == 1


def test_protections_and_cancels_may_repeat_and_are_done_by_name(journal: Journal) -> None:
    protect = Protect(
        client_order_id="tb-BTCUSDT-1-s",
        symbol="BTCUSDT",
        side=1,
        stop_price=99.0,
        take_price=0.0,
        reason="x",
    )
    cancel = CancelIntent(symbol="BTCUSDT", client_order_id="c", venue_order_id="9", reason="x")
    for _ in range(2):
        record(journal, entry(outcome=Outcome(protections=(protect,), cancels=(cancel,))))
    assert len(journal.planned()) == 4
    journal.done("protect", ["tb-BTCUSDT-1-s"])
    assert {planned.action for planned in journal.planned()} == {cancel}
    journal.done("cancel", ["c"])
    journal.done("cancel", [])
    assert journal.planned() == []


def test_fills_are_known_by_id_and_funding_by_symbol_and_time(journal: Journal) -> None:
    assert journal.traded_until_ms() == 0
    record(journal, entry(market_ms=5, outcome=Outcome(intents=(intent(),))))
    assert journal.traded_until_ms() == 5
    record(journal, entry("FillReceived", fill=fill()))
    assert journal.has_fill("f1")
    assert not journal.has_fill("f2")
    assert journal.traded_until_ms() == 7
    with pytest.raises(JournalError):
        record(journal, entry("FillReceived", fill=fill()))
    paid = FundingPaid(symbol="BTCUSDT", time_ms=8, amount=-0.1, rate=0.0001)
    journal.record(
        Entry(kind="FundingPaid", market_ms=8, body=write_event(paid), outcome=Outcome()),
        recorded_ms=1,
        lease_token=1,
    )
    assert journal.has_funding("BTCUSDT", 8)
    assert not journal.has_funding("ETHUSDT", 8)
    assert not journal.has_funding("BTCUSDT", 9)


def test_what_was_committed_survives_without_a_close(journal: Journal, tmp_path: Path) -> None:
    record(journal, entry("BarClosed", 900, equity=(900, 10_000.0, 10_000.0)))
    journal.save_snapshot("{}")
    record(journal, entry("BarClosed", 1_800, equity=(1_800, 10_001.0, 10_000.0)))
    journal.set_meta("instance", "abc")
    again = Journal(journal.path)
    assert again.last_close_ms() == 1_800
    assert again.equity() == [(900, 10_000.0, 10_000.0), (1_800, 10_001.0, 10_000.0)]
    assert again.snapshot() == (1, "{}")
    assert [stored.market_ms for stored in again.events(after=1)] == [1_800]
    assert [stored.seq for stored in again.newest_events("BarClosed", 2, 1)] == [2]
    assert again.meta("instance") == "abc"
    again.save_snapshot('{"later": 1}')
    assert journal.snapshot() == (2, '{"later": 1}')


def test_it_is_durable_by_its_settings(journal: Journal) -> None:
    with sqlite3.connect(journal.path) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_journal_of_another_schema_is_refused(journal: Journal) -> None:
    journal.set_meta("schema_version", "99")
    with pytest.raises(InputError, match="schema 99"):
        Journal(journal.path)


def test_what_is_no_database_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"not a database, but long enough to look like a file of something" * 20)
    with pytest.raises(JournalError, match="cannot open the journal"):
        Journal(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot open the journal"):
        Journal(tmp_path / "file" / "journal.db")


def test_a_full_disk_is_an_error_and_loses_nothing_written(journal: Journal) -> None:
    record(journal, entry("BarClosed", 900))
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    long = Notice(code="x", symbol="", text="x" * 1_000_000, time_ms=1)
    with pytest.raises(JournalError, match="full"):
        record(journal, entry("BarClosed", 1_800, outcome=Outcome(notices=(long,))))
    (kept,) = Journal(journal.path).events()
    assert kept.market_ms == 900


def test_counts_are_of_what_was_written(journal: Journal) -> None:
    record(journal, entry(outcome=Outcome(intents=(intent(),))))
    record(journal, entry("FillReceived", fill=fill()))
    notice = Notice(code="paused", symbol="", text="x", time_ms=1)
    record(journal, entry(outcome=Outcome(notices=(notice,))))
    assert journal.counts() == {"fills": 1, "trades": 0, "orders": 1, "equity": 0}
    journal.record_model("7", "sha", "seven", 1)
    journal.record_model("8", "shb", "eight", 2)
    assert journal.models() == ["eight", "seven"]
    assert journal.decision_counts() == []
    assert journal.recent_trades(5) == []


def test_the_event_that_was_a_fill_reads_back(journal: Journal) -> None:
    event = FillReceived(fill=fill())
    written = Entry(
        kind="FillReceived",
        market_ms=7,
        body=write_event(event),
        outcome=Outcome(),
        fill=event.fill,
    )
    record(journal, written)
    (stored,) = journal.events()
    assert stored.kind == "FillReceived"
    assert stored.body == write_event(event)
