"""The challenger decides beside the champion, and nothing it does reaches the market."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from executor.clock import SystemClock
from executor.core.contract import Verdict
from executor.core.events import BarClosed, ModelSwapped, Tick
from executor.core.params import Limits
from executor.core.replay import closes
from executor.core.state import save
from executor.core.types import Outcome
from executor.counters import Counters
from executor.health.overview import Overview
from executor.models.loader import Loader
from executor.models.registry import Registry
from executor.models.store import ModelStore
from executor.settings.sections import Journal
from executor.settings.settings import Settings
from executor.shadow import Shadow, begin_shadow
from tests.executor.test_loader import POLICY
from tests.support.bundles import INTERVAL_MS, START_MS, SYMBOLS, small_bundle, small_market
from tests.support.mlflow_fake import FakeMlflow, no_quarantine
from tests.support.trading import Desk, parameters

CHAMPION, CHALLENGER = small_bundle(), small_bundle(encoding="index")
BARS = 1_500


@dataclass
class Beside:
    """A core that trades the champion, and the shadow beside it."""

    folder: Path
    mlflow: FakeMlflow
    said: list[Mapping[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        params = parameters(SYMBOLS, limits=Limits(model_age_days_max=1e6))
        self.core = Desk(SYMBOLS, params=params)
        self.overview = Overview(
            settings=Settings(journal=Journal(path=self.folder / "journal.db")),
            clock=SystemClock(),
            counters=Counters(),
        )
        self.overview.parts.state, self.overview.parts.params = self.core.state, params
        self.registry = Registry(self.mlflow.url, timeout_ms=2_000)
        self.store = ModelStore(self.folder / "models")

    async def started(self) -> Shadow:
        """Load the champion into the core, the challenger into the shadow."""
        clock = self.overview.clock
        quarantine = no_quarantine(self.registry, clock)
        champion = await Loader(self.registry, self.store, POLICY, clock, quarantine).start()
        assert champion is not None
        self.core.do(ModelSwapped(model=champion.bundle, version="1", time_ms=START_MS))
        shadow = begin_shadow(
            self.registry,
            self.store,
            POLICY,
            quarantine,
            self.overview,
        )
        shadow.say = self.said.append
        await shadow._loader.look(shadow._take)
        return shadow

    def run(self, shadow: Shadow) -> None:
        """Let both see the bars that the bundles were made from."""
        until_ms = START_MS + (BARS + 1) * INTERVAL_MS
        for close in closes(small_market(BARS, 7).tapes, START_MS, until_ms):
            outcome = self.core.do(close.event)
            before = save(self.core.state)
            shadow.after(close.event, outcome)
            assert save(self.core.state) == before, "a shadow touches nothing"


@pytest.fixture
async def beside(tmp_path: Path) -> AsyncIterator[Beside]:
    async with FakeMlflow() as mlflow:
        mlflow.register(CHAMPION)
        made = Beside(tmp_path, mlflow)
        yield made
        await made.registry.close()


@pytest.mark.slow
async def test_what_the_challenger_would_do_is_recorded_beside_what_was_done(
    beside: Beside,
) -> None:
    beside.mlflow.register(CHALLENGER, alias="challenger")
    shadow = await beside.started()
    beside.run(shadow)
    shadow._file.close()
    assert len(beside.said) > 20
    written = [
        json.loads(line)
        for line in (beside.folder / "journal.shadow.jsonl").read_text().splitlines()
    ]
    assert written == beside.said, "what is published is what is on disk"
    assert {row["version"] for row in written} == {"2"}
    would = [row for row in written if row["verdict"] == Verdict.ENTER]
    assert would, "it would have entered now and then"
    assert all(0.0 < row["probability"] < 1.0 for row in would)
    assert shadow.tally.signals == len(written)
    assert shadow.tally.would_enter == len(would)
    done = [row for row in written if row["champion"] == Verdict.ENTER]
    assert shadow.tally.champion_entered == len(done)
    assert beside.overview.summary()["shadow"]["version"] == "2"
    assert all(order.startswith("tb-") for order in beside.core.state.active)


async def test_a_challenger_changes_neither_what_trades_nor_what_a_restart_begins_with(
    beside: Beside,
) -> None:
    shadow = await beside.started()
    kept_before = beside.store.current()
    assert shadow.tally.version == "", "there is none"
    beside.mlflow.register(CHALLENGER, alias="challenger", gate="refused")
    await shadow._loader.look(shadow._take)
    assert (shadow.tally.version, "gate says" in shadow._loader.refusal) == ("", True)
    beside.mlflow.register(CHALLENGER, alias="challenger")
    await shadow._loader.look(shadow._take)
    assert shadow.tally.version == "3"
    assert beside.store.current() == kept_before
    assert beside.core.state.model_version == "1"


async def test_the_champion_under_both_aliases_is_not_its_own_challenger(beside: Beside) -> None:
    beside.mlflow.aliases["challenger"] = "1"
    shadow = await beside.started()
    shadow.after(BarClosed(close_ms=1, bars=()), Outcome())
    shadow.after(Tick(now_ms=1), Outcome())
    assert beside.said == []
