"""Pairs are switched in the running program, on the paper exchange, and no bar is missed."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from redis.asyncio import Redis

from executor.core.contract import Keys
from executor.core.events import BarClosed
from executor.journal.codec import decode
from tests.support.bundles import INTERVAL_MS, START_MS, SYMBOLS, small_bundle, small_market
from tests.support.mlflow_fake import FakeMlflow
from tests.support.paper import paper_program
from tests.support.staging import Stage, derived_again, journal_is_exchange, rows

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(120)]
HISTORY, BARS = 1_300, 1_600
FIRST, SECOND, THIRD = SYMBOLS


def write_candles(folder: Path) -> None:
    """Write a market in which the third symbol takes the place of the second."""
    market = small_market(HISTORY + BARS)
    for tape in market.tapes:
        candles, number = tape.candles, np.arange(tape.candles.n)
        turnover = np.full(candles.n, 3e7)
        if tape.symbol == SECOND:
            turnover = np.where(number < HISTORY + 20, 2e7, 2e6)
        if tape.symbol == THIRD:
            turnover = np.where(number < HISTORY + 20, 2e6, 2e7)
        wave = 1.0 + 0.5 * np.sin(number)
        pl.DataFrame(
            {
                "timestamp": candles.open_ms,
                **{name: getattr(candles, name) for name in ("open", "high", "low", "close")},
                "volume": turnover * wave / candles.close,
            }
        ).write_parquet(folder / f"{tape.symbol}-15m.parquet")


@pytest.fixture
async def switching(tmp_path: Path, valkey_url: str) -> AsyncIterator[Stage]:
    folder = tmp_path / "market"
    folder.mkdir()
    write_candles(folder)
    arguments = (
        *("--market", f"replay:{folder}", "--symbols", ",".join(SYMBOLS), "--interval", "15m"),
        *("--now", str(START_MS + HISTORY * INTERVAL_MS), "--speed", "lockstep"),
    )
    with paper_program(*arguments) as paper:
        async with FakeMlflow() as mlflow:
            mlflow.register(small_bundle())
            yield Stage(tmp_path, paper, mlflow, valkey_url)


async def test_a_pair_gives_way_to_another_while_the_program_trades(switching: Stage) -> None:
    universe = {"mode": "auto", "count_max": 2, "quote_volume_min": 1.0, "refresh_ms": 1_000}
    program = switching.program(
        changes={
            "universe": universe,
            "trading": {"symbols": ["NOWHEREUSDT"]},
            "session": {"volume_min": 0.0},
            "regime": {"reach_min": 0.0, "volatility_max": 1.0},
        }
    )
    async with program:
        status = await program.until_running()
        assert set(status["symbols"]) == {FIRST, SECOND}
        status = await program.until_finished()
        assert set(status["universe"]["members"]) == {FIRST, THIRD}
        assert status["universe"]["problem"] == ""
        assert 0.0 < status["universe"]["scan_s"] < 30.0
        await journal_is_exchange(program.journal, switching.paper)
        program.signal(signal.SIGTERM)
        assert await program.stopped() == 0
    closed = [at for (at,) in rows(program.journal, "SELECT close_ms FROM equity ORDER BY 1")]
    assert np.unique(np.diff(closed)).tolist() == [INTERVAL_MS], "no bar was missed"
    assert len(closed) >= BARS - 2
    seen = bars_by_symbol(program.journal)
    assert seen[FIRST] == closed, "who stays is in every close"
    joined = seen[THIRD][0]
    assert seen[THIRD] == [at for at in closed if at >= joined], "who joined is in every one since"
    assert seen[SECOND] == [at for at in closed if at <= seen[SECOND][-1]]
    decisions = [json.loads(b) for (b,) in rows(program.journal, "SELECT body FROM decisions")]
    entered = [(d["symbol"], d["close_ms"]) for d in decisions if d["verdict"] == "enter"]
    assert any(symbol == THIRD for symbol, _ in entered), "and it is traded"
    assert all(at <= joined + 2 * INTERVAL_MS for symbol, at in entered if symbol == SECOND)
    assert derived_again(program.journal, program.folder / "executor-models")[2] == ()
    said = await changes_said(switching)
    assert {"joined": [THIRD]}.items() <= said[0].items()
    assert SECOND in said[0]["left"] + said[-1]["left"]


def bars_by_symbol(journal: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}
    query = "SELECT body FROM events WHERE kind = 'BarClosed' ORDER BY seq"
    for (body,) in rows(journal, query):
        event = decode(BarClosed, body)
        for bar in event.bars:
            found[bar.symbol].append(event.close_ms)
    return found


async def changes_said(stage: Stage) -> list[dict[str, list[str]]]:
    client = Redis.from_url(stage.redis_url, decode_responses=True)
    entries = await client.xrange(Keys(f"{stage.folder.name}:").events)
    await client.aclose()
    notices = [json.loads(fields["notice"]) for _, fields in entries if "notice" in fields]
    return [json.loads(n["text"]) for n in notices if n["code"] == "universe_changed"]
