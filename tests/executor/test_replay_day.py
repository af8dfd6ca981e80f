"""A day is derived again from the journal alone; what was tampered with is found and named."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from executor.core.events import Command, VenueSnapshot
from executor.core.model import Model
from executor.core.params import LearnedRegime
from executor.errors import JournalError
from executor.journal.recovery import write_state
from executor.journal.store import Journal
from executor.replay_day import DayReplayed, replay_day
from features.errors import InputError
from tests.support.journaled import Journaled
from tests.support.trading import LONG_ROW, QUIET_ROW, SHORT_ROW

pytestmark = pytest.mark.slow

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
BARS = 3 * 96 - 2


class Trading(Journaled):
    """Trades for some days: entries that fill at once, stops and takes by the dice."""

    def __init__(self, path: Path, seed: int = 1) -> None:
        super().__init__(path)
        self.rng = np.random.default_rng(seed)

    def bars(self, count: int) -> None:
        for _ in range(count):
            rows = {
                symbol: (LONG_ROW, SHORT_ROW, QUIET_ROW)[int(self.rng.choice(3, p=(0.1, 0.1, 0.8)))]
                for symbol in self.desk.symbols
            }
            steps = 0.004 * self.rng.standard_normal(len(rows))
            prices = {s: 100.0 * float(np.exp(x)) for s, x in zip(rows, steps, strict=True)}
            for intent in self.close(rows, prices).intents:
                self.fill(intent)
            self.touch_stops()


@pytest.fixture
def life(tmp_path: Path) -> Trading:
    life = Trading(tmp_path / "journal.db")
    life.bars(BARS)
    return life


def derived(life: Journaled, day: str, model: Model | None = None) -> DayReplayed:
    with Journal(life.journal.path, read_only=True) as journal:
        return replay_day(journal, day, lambda _: model or life.desk.model)


def change(life: Journaled, query: str) -> None:
    with sqlite3.connect(life.journal.path) as db:
        assert db.execute(query).rowcount == 1
    db.close()


def test_every_day_is_derived_again_without_a_difference(life: Trading) -> None:
    found = [derived(life, day) for day in DAYS]
    assert [one.mismatches for one in found] == [(), (), ()]
    assert sum(one.closes for one in found) == BARS
    counts = life.journal.counts()
    assert sum(one.orders for one in found) == counts["orders"] > 20
    assert counts["trades"] > 10
    total = sum(count for _, _, count in life.journal.decision_counts())
    assert sum(one.decisions for one in found) == total
    (line,) = found[1].lines()
    assert line.startswith("2024-01-02: 96 closes, ")
    assert line.endswith(f"{found[1].orders} orders derived again, 0 differences")


def test_what_the_learned_regime_took_off_sizes_is_derived_again(tmp_path: Path) -> None:
    """Prices that return to the same place each bar: every window is forecast by the last one."""
    life = Trading(tmp_path / "journal.db")
    life.restart(replace(life.desk.params, learned_regime=LearnedRegime(window_bars=1)))
    life.bars(BARS)
    life.restart(life.desk.params)
    life.bars(96)
    written = [json.loads(body) for (body,) in life_rows(life, "SELECT body FROM decisions")]
    shares = {row["size_share"] for row in written if row["verdict"] == "enter"}
    assert 1.0 in shares
    assert min(shares) == 0.8
    assert [derived(life, day).mismatches for day in (*DAYS, "2024-01-04")] == [()] * 4


def life_rows(life: Journaled, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(life.journal.path) as db:
        found = db.execute(query).fetchall()
    db.close()
    return found


def test_a_day_with_restarts_and_changed_parameters_is_derived_again(tmp_path: Path) -> None:
    life = Trading(tmp_path / "journal.db")
    life.bars(130)
    life.do(snapshot(life))
    life.restart(life.desk.params)
    life.do(snapshot(life))
    life.bars(10)
    careful = replace(life.desk.params.sizing, risk_per_trade=0.001)
    life.restart(replace(life.desk.params, sizing=careful))
    life.bars(40)
    life.do(Command(name="pause", time_ms=life.desk.close_ms))
    life.bars(5)
    life.do(snapshot(life))
    life.journal.save_snapshot(write_state(life.desk.state))  # as a stop in order does
    life.restart(life.desk.params)
    life.do(snapshot(life))
    life.bars(70)
    assert [derived(life, day).mismatches for day in DAYS] == [(), (), ()]


def test_a_decision_that_was_changed_is_named(life: Trading) -> None:
    change(
        life,
        "UPDATE decisions SET body = json_set(body, '$.quantity', 7.5) WHERE seq = "
        "(SELECT MIN(seq) FROM decisions WHERE event_seq > "
        "(SELECT first_seq FROM days WHERE day = '2024-01-02'))",
    )
    assert derived(life, DAYS[0]).mismatches == ()
    (one,) = derived(life, DAYS[1]).mismatches
    assert (one.what, one.field, one.journal) == ("decision", "quantity", "7.5")
    lines = derived(life, DAYS[1]).lines()
    assert lines[0].endswith("1 differences")
    assert lines[1].split()[:4] == ["event", "what", "symbol", "field"]


def test_an_order_that_was_removed_is_named(life: Trading) -> None:
    change(
        life, "DELETE FROM intents WHERE seq = (SELECT MIN(seq) FROM intents WHERE kind = 'order')"
    )
    (one,) = derived(life, DAYS[0]).mismatches
    assert (one.what, one.journal, one.derived) == ("order", "absent", "present")


def test_another_model_decides_otherwise(life: Trading) -> None:
    answer = replace(life.desk.model.default, probability=0.55, expected_net=0.005)
    other = replace(life.desk.model, default=answer)
    assert len(derived(life, DAYS[1], other).mismatches) > 5


def test_a_day_that_is_not_kept_and_a_model_that_is_gone_are_said(life: Trading) -> None:
    with Journal(life.journal.path, read_only=True) as journal:
        with pytest.raises(InputError, match="keeps no state for 2023-12-31; it keeps 2024-01-01"):
            replay_day(journal, "2023-12-31", lambda _: None)
        with pytest.raises(JournalError, match="no longer in the model store"):
            replay_day(journal, DAYS[1], lambda _: None)


def snapshot(life: Journaled) -> VenueSnapshot:
    """Return what the venue shows: all that we hold, but for one stop that is away."""
    positions: list[Any] = life.shown()
    if positions:
        positions[0] = replace(positions[0], stop_price=0.0)
    return VenueSnapshot(
        time_ms=life.desk.close_ms + 1,
        wallet_balance=life.desk.state.ledger.cash,
        positions=tuple(positions),
        orders=(),
    )
