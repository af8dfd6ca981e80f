"""Blocked symbols are announced once; a model that broke its word is left, for good."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from executor.clock import SystemClock
from executor.core.bundle import ModelBundle, unpack
from executor.core.contract import NoticeCode
from executor.core.events import BarClosed, ModelSwapped, Tick
from executor.core.types import Notice, Outcome, Trade
from executor.counters import Counters
from executor.health.overview import Overview
from executor.journal.store import Journal
from executor.model_changes import ModelChanges
from executor.model_watch import ModelWatch
from executor.models.loader import LoadedModel, Loader
from executor.models.quarantine import Quarantine
from executor.models.registry import Registry
from executor.models.store import ModelStore
from executor.settings.sections import Trading
from executor.settings.settings import Settings
from executor.trader import Item
from tests.executor.test_loader import POLICY
from tests.support.bundles import SYMBOLS, small_bundle
from tests.support.mlflow_fake import FakeMlflow
from tests.support.trading import Desk, parameters, trade

NEW, OLD = small_bundle(), small_bundle(encoding="index")


class Watched:
    """A watch over a core, a registry, a store and a journal."""

    def __init__(self, folder: Path, mlflow: FakeMlflow) -> None:
        self.registry = Registry(mlflow.url, timeout_ms=2_000)
        self.store = ModelStore(folder / "models")
        self.journal = Journal(folder / "journal.db")
        self.core = Desk(params=parameters(SYMBOLS))
        self.overview = Overview(
            settings=Settings(trading=Trading(symbols=(*SYMBOLS, "NEWUSDT"))),
            clock=SystemClock(),
            counters=Counters(),
        )
        self.overview.parts.state, self.overview.parts.params = self.core.state, self.core.params
        self.told: list[Notice] = []
        self.inbox: asyncio.Queue[Item] = asyncio.Queue()
        self.restart()

    def restart(self) -> None:
        """Let a new process begin on the same journal and store."""
        clock = self.overview.clock
        self.quarantine = Quarantine(self.registry, POLICY.name, self.journal, clock)
        self.loader = Loader(self.registry, self.store, POLICY, clock, self.quarantine)
        self.changes = ModelChanges(
            self.loader,
            self.overview,
            self.journal,
            clock,
            None,  # type: ignore[arg-type]  # no feed: nothing is shown
            inbox=self.inbox,
            market_ms=lambda: 5,
        )
        self.watch = ModelWatch(
            self.overview, self.journal, self.loader, self.store, self.changes, self.told.append
        )

    def take(self, loaded: LoadedModel, time_ms: int) -> None:
        """Let the core take a model, as the trader does."""
        record = loaded.record
        event = ModelSwapped(model=loaded.bundle, version=record["version"], time_ms=time_ms)
        self.core.do(event)
        self.journal.record_model(
            record["version"], record["bundle_sha256"], json.dumps(record), time_ms
        )
        self.watch.after(event, Outcome())

    def lose(self, count: int, opened_ms: int, probability: float = 0.6) -> None:
        """Close losing trades one by one."""
        for _ in range(count):
            lost: Trade = replace(
                trade(-1.0), probability=probability, opened_ms=opened_ms, closed_ms=opened_ms + 1
            )
            self.core.state.trades.append(lost)
            self.watch.after(Tick(now_ms=1), Outcome(trades=(lost,)))

    def codes(self) -> list[str]:
        return [str(notice.code) for notice in self.told]


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    async with FakeMlflow() as mlflow:
        made = Watched(tmp_path, mlflow)
        made.mlflow = mlflow  # type: ignore[attr-defined]  # the test's own handle
        yield made
        await made.registry.close()


async def promoted(watched: Watched, files: dict[str, bytes], time_ms: int) -> LoadedModel:
    watched.mlflow.register(files)  # type: ignore[attr-defined]  # see the fixture
    offered: list[LoadedModel] = []

    async def offer(loaded: LoadedModel) -> None:
        offered.append(loaded)

    await watched.loader.look(offer)
    watched.take(offered[0], time_ms)
    return offered[0]


async def test_a_degraded_model_gives_way_to_the_one_before_and_does_not_come_back(
    watched: Watched,
) -> None:
    first = await promoted(watched, OLD, 1_000)
    await promoted(watched, NEW, 2_000)
    watched.lose(5, opened_ms=1_500)
    watched.lose(6, opened_ms=2_500)
    assert "model_quarantined" not in watched.codes(), "a few losses prove nothing"
    watched.lose(40, opened_ms=2_500)
    assert watched.codes().count("model_quarantined") == 1, "said once"
    text = watched.told[-1].text
    assert "version 1 trades again" in text
    assert "calibration" in text or "drawdown" in text
    event = watched.inbox.get_nowait()
    assert isinstance(event, ModelSwapped)
    assert (event.version, watched.inbox.empty()) == ("1", True)
    assert isinstance(event.model, ModelBundle)
    assert event.model.info.bundle_sha256 == first.record["bundle_sha256"]
    watched.take(LoadedModel(bundle=event.model, record=first.record), 3_000)

    async def nobody(_: LoadedModel) -> None:
        raise AssertionError("the version that was left came back by its alias")

    await watched.loader.look(nobody)
    assert "is quarantined" in watched.loader.refusal
    watched.restart()
    started = await watched.loader.start()
    assert started is not None
    assert started.record["version"] == "1", "nor after a restart"
    assert "is quarantined" in watched.loader.refusal


async def test_without_a_model_to_go_back_to_people_are_told_and_nothing_changes(
    watched: Watched,
) -> None:
    await promoted(watched, NEW, 1_000)
    watched.lose(60, opened_ms=1_500)
    assert watched.codes().count("model_quarantined") == 1
    assert "none to go back to" in watched.told[-1].text
    assert watched.inbox.empty()
    assert "1" not in watched.quarantine


async def test_blocked_symbols_are_announced_once_and_again_only_when_they_change(
    watched: Watched,
) -> None:
    await promoted(watched, OLD, 1_000)
    (notice,) = watched.told
    assert notice.code == NoticeCode.SYMBOLS_BLOCKED
    assert json.loads(notice.text) == {"NEWUSDT": "untrained_symbol"}
    closed = BarClosed(close_ms=2_000, bars=())
    for _ in range(5):
        watched.watch.after(closed, Outcome())
    watched.restart()
    watched.watch.after(closed, Outcome())
    assert len(watched.told) == 1, "there is no loop in it, not across restarts either"
    watched.overview.settings = Settings(trading=Trading(symbols=SYMBOLS))
    watched.watch.announce(3_000)
    assert watched.told[-1].code == NoticeCode.SYMBOLS_UNBLOCKED
    assert json.loads(watched.told[-1].text) == ["NEWUSDT"]


def test_the_two_bundles_differ() -> None:
    assert unpack(NEW).info.bundle_sha256 != unpack(OLD).info.bundle_sha256
