"""The whole executor as a program, against the paper exchange, a Valkey and a registry."""

import asyncio
import json
import signal
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from redis.asyncio import Redis

from executor.clock import SystemClock
from executor.core.bundle import unpack
from executor.core.contract import Keys
from executor.core.events import ModelSwapped
from executor.core.params import Limits, Params
from executor.core.replay import Replayed, Tape, closes, replay
from executor.core.state import new_state
from executor.core.step import step
from executor.settings import Venue as VenueSettings
from executor.venue import Venue
from features.catalog import default_catalog
from features.stream import FeatureStream
from features.types import Candles, Funding
from tests.support.bundles import INTERVAL_MS, SYMBOLS, small_bundle
from tests.support.executor_program import ExecutorProgram
from tests.support.mlflow_fake import FakeMlflow
from tests.support.paper import Paper, paper_program

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(120)]
HISTORY = 2_000


@dataclass
class Stage:
    """Everything an executor needs, running."""

    folder: Path
    paper: Paper
    mlflow: FakeMlflow
    redis_url: str

    def program(self, name: str = "executor", **more: Any) -> ExecutorProgram:
        return ExecutorProgram(
            self.folder,
            self.paper,
            redis_url=self.redis_url,
            registry_url=self.mlflow.url,
            symbols=SYMBOLS,
            name=name,
            prefix=f"{self.folder.name}:",
            **more,
        )

    async def state(self) -> dict[str, Any]:
        url = self.paper.acknowledge_url.replace("acknowledge", "state")
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            return dict(await reply.json())


def paper_arguments(bars: int) -> list[str]:
    return [
        "--market", "simulated", "--symbols", ",".join(SYMBOLS), "--bars", str(bars),
        "--history", str(HISTORY), "--speed", "lockstep", "--seed", "3",
        "--taker-fee", "0.0005", "--maker-fee", "0.0002",
    ]  # fmt: skip


@pytest.fixture
async def stage(
    request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str
) -> AsyncIterator[Stage]:
    bars = getattr(request, "param", 150)
    with paper_program(*paper_arguments(bars)) as paper:
        async with FakeMlflow() as mlflow:
            mlflow.register(small_bundle())
            yield Stage(tmp_path, paper, mlflow, valkey_url)


def rows(journal: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True) as database:
        return database.execute(query).fetchall()


def intents(journal: Path) -> list[tuple[str, str, int, float, str]]:
    """Return what was decided, in order: the flagship comparison."""
    found = []
    for (body,) in rows(journal, "SELECT body FROM intents WHERE kind = 'order' ORDER BY seq"):
        one = json.loads(body)
        found.append(
            (one["client_order_id"], one["symbol"], one["side"], one["quantity"], one["reason"])
        )
    return found


async def recorded(paper: Paper) -> tuple[list[Tape], dict[str, Any]]:
    """Return what the paper exchange shows after its last bar, and its instruments."""
    venue = Venue(
        VenueSettings(
            url=paper.url, ws_url=paper.ws, api_key=paper.api_key, api_secret=paper.secret
        ),
        environment="paper",
        clock=SystemClock(),
        fence=lambda path, params: None,
        emit=lambda event: None,
    )
    await venue.open()
    catalog = unpack(small_bundle()).info.feature_names
    tapes = []
    try:
        for symbol in SYMBOLS:
            shown = await venue.newest_candles(symbol, "15m", 50_000)
            settled = await venue._data.fetch_funding_rate_history(venue._names[symbol])
            tapes.append(tape(symbol, shown, catalog, settled))
        return tapes, venue.instruments
    finally:
        await venue.close()


def tape(
    symbol: str, shown: list[Any], names: tuple[str, ...], settled: list[dict[str, Any]]
) -> Tape:
    """Return what was shown of a symbol, with the features of the live stream."""
    stream = FeatureStream(default_catalog().subset(names), INTERVAL_MS)
    matrix = np.array([stream.update(candle) for candle in shown])
    column = names.index("volatility_96")
    candles = Candles(
        interval_ms=INTERVAL_MS,
        open_ms=np.array([c.open_ms for c in shown], dtype=np.int64),
        **{
            name: np.array([getattr(c, name) for c in shown], dtype=np.float64)
            for name in ("open", "high", "low", "close", "volume")
        },
    )
    funding = Funding(
        time_ms=np.array([row["timestamp"] for row in settled], dtype=np.int64),
        rate=np.array([row["fundingRate"] for row in settled], dtype=np.float64),
    )
    return Tape(
        symbol=symbol,
        candles=candles,
        features=matrix,
        volatility=matrix[:, column],
        funding=funding,
    )


async def simulate(paper: Paper, first_ms: int, last_ms: int) -> Replayed:
    """Run the same history through the core alone."""
    tapes, instruments = await recorded(paper)
    bundle = unpack(small_bundle())
    params = Params(interval_ms=INTERVAL_MS, instruments=instruments, costs=bundle.info.costs)
    params = replace(params, limits=Limits(model_age_days_max=100_000.0))
    state = new_state(10_000.0, params)
    step(state, ModelSwapped(model=bundle, version="1", time_ms=first_ms), params)
    return replay(closes(tapes, first_ms, last_ms + 1), state, params, step)


async def test_the_program_decides_what_the_simulation_decides(stage: Stage) -> None:
    """One history, two drivers: the same orders, in the same order, to the last digit."""
    async with stage.program() as program:
        await program.until_finished()
        program.signal(signal.SIGTERM)
        assert await program.stopped() == 0
    closed = [at for (at,) in rows(program.journal, "SELECT close_ms FROM equity ORDER BY 1")]
    assert len(closed) == 150
    simulated = await simulate(stage.paper, closed[0], closed[-1])
    expected = [
        (i.client_order_id, i.symbol, i.side, i.quantity, i.reason) for i in simulated.intents
    ]
    assert len(expected) > 10
    assert intents(program.journal) == expected
    traded = [json.loads(b) for (b,) in rows(program.journal, "SELECT body FROM trades")]
    assert [t["entry_id"] for t in traded] == [t.entry_id for t in simulated.trades]
    assert [t["reason"] for t in traded] == [t.reason for t in simulated.trades]
    assert [t["pnl"] for t in traded] == pytest.approx([t.pnl for t in simulated.trades], abs=1e-6)
    equity = [at for (at,) in rows(program.journal, "SELECT equity FROM equity ORDER BY close_ms")]
    assert equity == pytest.approx(simulated.equity, abs=1e-6)


async def test_killed_again_and_again_it_comes_back_right(stage: Stage) -> None:
    """Kill -9 at any time: no trade lost, no order doubled, the same run as without a kill."""
    program = stage.program(changes={"orders": {"query_interval_ms": 100}})
    rng = np.random.default_rng(11)
    kills = 0
    try:
        program.start()
        while kills < 8 and not (await stage.state())["finished"]:
            await life(stage, rng)
            program.kill()
            kills += 1
            program.start()
        await program.until_finished()
        program.signal(signal.SIGTERM)
        assert await program.stopped() == 0
    finally:
        program.kill()
    assert kills > 2
    names = [name for name, *_ in intents(program.journal)]
    assert len(names) == len(set(names))
    await journal_is_exchange(program.journal, stage.paper)
    closed = [at for (at,) in rows(program.journal, "SELECT close_ms FROM equity ORDER BY 1")]
    assert len(closed) == 150, "no close was skipped"
    simulated = await simulate(stage.paper, closed[0], closed[-1])
    assert names == [i.client_order_id for i in simulated.intents]


async def life(stage: Stage, rng: np.random.Generator) -> None:
    """Wait for the moment to kill: a few bars later, or any moment of the start."""
    if rng.random() < 0.3:
        await asyncio.sleep(float(rng.uniform(0.2, 2.0)))
        return
    wanted = (await stage.state())["step"] + int(rng.integers(1, 25))
    async with asyncio.timeout(30.0):
        state = await stage.state()
        while state["step"] < wanted and not state["finished"]:
            state = await stage.state()


async def journal_is_exchange(journal: Path, paper: Paper) -> None:
    """Every execution of ours is in the journal once, and every fill had its intent before it."""
    venue = Venue(
        VenueSettings(
            url=paper.url, ws_url=paper.ws, api_key=paper.api_key, api_secret=paper.secret
        ),
        environment="paper",
        clock=SystemClock(),
        fence=lambda path, params: None,
        emit=lambda event: None,
    )
    await venue.open()
    try:
        executed = [e.fill for e in await venue.executions(0) if hasattr(e, "fill")]
        positions = (await venue.snapshot(0)).positions
    finally:
        await venue.close()
    booked = {name for (name,) in rows(journal, "SELECT fill_id FROM fills")}
    assert booked == {fill.fill_id for fill in executed}
    late = rows(
        journal,
        "SELECT f.fill_id FROM fills f JOIN intents i ON i.client_order_id = f.client_order_id "
        "WHERE i.event_seq >= f.event_seq AND i.kind = 'order'",
    )
    assert late == []
    entries = [fill for fill in executed if not fill.reduce_only]
    assert {fill.client_order_id for fill in entries} <= {name for name, *_ in intents(journal)}
    assert all(position.stop_price > 0.0 for position in positions)


@pytest.mark.parametrize("stage", [5_000], indirect=True)
async def test_sigterm_ends_within_ten_seconds_and_leaves_the_stops(stage: Stage) -> None:
    async with stage.program() as program:
        await program.until(lambda s: bool(s["positions"]), "in a position")
        clock = SystemClock()
        asked = clock.monotonic()
        program.signal(signal.SIGTERM)
        assert await program.stopped() == 0
        assert clock.monotonic() - asked < 10.0
        keys = Keys(f"{stage.folder.name}:")
        async with Redis.from_url(stage.redis_url, decode_responses=True) as redis:
            assert await redis.get(keys.status) == "STOPPED"
            assert await redis.get(keys.lease) is None, "the lease was given back"
        summary = json.loads(program.summary.read_text())
        assert summary["status"] == "STOPPED"
        assert summary["executor"]["bars"] > 0
        assert summary["executor"]["rss_mb"] <= 150.0
        await journal_is_exchange(program.journal, stage.paper)


@pytest.mark.parametrize("stage", [5_000], indirect=True)
async def test_a_second_instance_stands_by_visibly_and_takes_over(stage: Stage) -> None:
    """Two hosts, two journals, one lease: the second neither trades nor publishes."""
    quick = {"lease": {"ttl_ms": 7_000, "renew_ms": 500}, "feed": {"client": "executor"}}
    first = stage.program("first", changes=quick)
    second = stage.program("second", changes=quick)
    async with first:
        await first.until_running()
        async with second:
            await second.until(lambda s: "standing by" in s["step"], "standing by")
            code, health = await second.get("/health")
            assert (code, health["lease_holder"]) == (503, False)
            assert "holds the lease" in health["reasons"][0]
            assert rows(second.journal, "SELECT COUNT(*) FROM intents") == [(0,)]
            first.kill()
            await second.until_running()
            code, health = await second.get("/health")
            assert health["lease_holder"]


@pytest.mark.parametrize("stage", [5_000], indirect=True)
async def test_a_second_start_on_the_same_journal_waits(stage: Stage) -> None:
    first = stage.program("same")
    async with first:
        await first.until_running()
        second = stage.program("same")
        async with second:
            await second.until(lambda s: "another instance" in s["step"], "waiting")
            first.kill()
            await second.until_running()


@pytest.mark.parametrize("stage", [100_000], indirect=True)
async def test_a_promotion_trades_within_ten_seconds_and_bad_ones_stay_out(stage: Stage) -> None:
    async with stage.program(changes={"model": {"poll_interval_ms": 500}}) as program:
        await program.until_running()
        damaged = small_bundle(seed=8)
        name = "booster.ubj"
        damaged = damaged | {name: damaged[name][:-1] + bytes([damaged[name][-1] ^ 1])}
        stage.mlflow.register(damaged)
        said = await program.until(
            lambda s: any("damaged" in r for r in s["health"]["reasons"]), "told of the damage"
        )
        assert said["model"]["version"] == "1"
        assert said["status"] == "DEGRADED"
        stage.mlflow.register(small_bundle(seed=8), gate="refused")
        said = await program.until(
            lambda s: any("gate says" in r for r in s["health"]["reasons"]), "told of the gate"
        )
        assert said["model"]["version"] == "1"
        asked = SystemClock().monotonic()
        stage.mlflow.register(small_bundle(seed=8))
        await program.until(lambda s: s["model"]["version"] == "4", "trading the new model", 10.0)
        assert SystemClock().monotonic() - asked < 10.0
        closed = [at for (at,) in rows(program.journal, "SELECT close_ms FROM equity ORDER BY 1")]
        assert set(np.diff(closed)) == {INTERVAL_MS}, "no bar was missed"
        stage.mlflow.down = True
        await program.until(lambda s: not s["health"]["registry"], "told that MLflow is away")
        program.kill()
        program.start()
        back = await program.until_running()
        assert back["model"]["version"] == "4", "started from the local store"


async def test_bad_input_is_one_line_and_exit_code_2(stage: Stage) -> None:
    program = stage.program(changes={"trading": {"symbols": ["AAAUSDT", "BBBUSD"]}})
    async with program:
        assert await program.stopped(20.0) == 2
    last = program.words().strip().splitlines()[-1]
    assert "unknown symbol 'BBBUSD'; did you mean 'BBBUSDT'?" in last
    assert "Traceback" not in program.words()
