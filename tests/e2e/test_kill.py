"""Kill -9 at any moment: nothing acknowledged is lost, nothing is sent twice, the run is the same.

The market is in lockstep, so it stands still while nobody answers: what the exchange holds between
a kill and the next start is exact, and the run as a whole must equal one that nobody disturbed.
An entry in doubt is asked for and sent within `orders.entry_age_ms_max`; no restart here takes
longer, so no stated rule lets a list of orders differ.
"""

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from executor.core.events import FillReceived
from tests.support.bundles import COLUMNS, SYMBOLS
from tests.support.executor_program import ExecutorProgram
from tests.support.rehearsal import (
    BARRIERS,
    PARTIAL,
    Scenario,
    Stage,
    account,
    prepared,
    rows,
    simulated_market,
    traded,
)
from tests.support.staging import derived_again

pytestmark = [pytest.mark.servers, pytest.mark.slow]
SETTLED_S = 30.0
PATIENCE_S = 180.0  # for what is not judged, on a machine that is busy
IN_DOUBT = {"venue": {"recv_window_ms": 1_000}, "orders": {"query_interval_ms": 100}}
TABLES = {
    "events": "seq, kind, body",
    "intents": "seq, kind, client_order_id, body",
    "fills": "fill_id, event_seq, body",
    "trades": "seq, event_seq, body",
    "decisions": "seq, event_seq, body",
    "equity": "close_ms, equity, balance",
}


async def market_state(stage: Stage) -> dict[str, Any]:
    url = stage.paper.acknowledge_url.replace("acknowledge", "state")
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        return dict(await reply.json())


def written(journal: Path) -> dict[str, set[tuple[Any, ...]]]:
    """Return every row that others may have acted on."""
    if not journal.exists():
        return {}
    made = {name for (name,) in rows(journal, "SELECT name FROM sqlite_master")}
    return {n: set(rows(journal, f"SELECT {c} FROM {n}")) for n, c in TABLES.items() if n in made}


async def moment(stage: Stage, rng: np.random.Generator) -> None:
    """Wait for the moment to kill: some bars later, or any moment of a start."""
    clock = asyncio.get_running_loop()
    is_timed = rng.random() < 0.3
    until = clock.time() + float(rng.uniform(0.1, 2.0) if is_timed else PATIENCE_S)
    wanted = (await market_state(stage))["step"] + int(12 if is_timed else rng.integers(1, 12))
    while (state := await market_state(stage))["step"] < wanted and not state["finished"]:
        if clock.time() > until:
            assert is_timed, f"no {wanted} bars after {PATIENCE_S} s"
            return
        await asyncio.sleep(float(rng.uniform(0.0, 0.02)))


async def exchange_fills(stage: Stage) -> set[str]:
    """Return the ids of every execution that the exchange has told or will tell."""
    async with account(stage.paper) as venue:
        found = await venue.executions(0)
    return {event.fill.fill_id for event in found if isinstance(event, FillReceived)}


def booked(journal: Path) -> set[str]:
    """Return the ids of the executions in the journal."""
    return {fill_id for (fill_id,) in rows(journal, "SELECT fill_id FROM fills")}


async def caught_up(program: ExecutorProgram, fills: set[str]) -> None:
    """Wait until the journal holds what the exchange held when the process was dead."""
    try:
        async with asyncio.timeout(SETTLED_S):
            while fills - booked(program.journal):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not caught up:\n{program.words()}") from None


async def same_positions(stage: Stage, journal: Path) -> None:
    """Compare what the fills of the journal sum to with what the exchange holds, stops included."""
    held: dict[str, float] = {}
    for fill in traded(journal).fills:
        held[fill.symbol] = round(held.get(fill.symbol, 0.0) + fill.side * fill.quantity, 9)
    async with account(stage.paper) as venue:
        positions = (await venue.snapshot(0)).positions
    assert {s: q for s, q in held.items() if q} == {
        p.symbol: p.side * p.quantity for p in positions
    }
    assert all(position.stop_price > 0.0 for position in positions)


async def killed_often(scenario: Scenario, folder: Path, url: str, kills: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    async with prepared(scenario, folder, url) as stage:
        program = stage.program(changes=IN_DOUBT)
        done = 0
        try:
            program.start()
            while done < kills and not (await market_state(stage))["finished"]:
                await moment(stage, rng)
                before = written(program.journal)
                acknowledged = (await market_state(stage))["clients"].get("executor", -1)
                program.kill()
                done += 1
                fills = await exchange_fills(stage)
                after = written(program.journal)
                assert all(before[name] <= after[name] for name in before), "rows were lost"
                closes = {row[0] for row in after.get("equity", ())}
                assert acknowledged <= 0 or acknowledged in closes
                program.start()
                if done % 5 == 0:
                    await caught_up(program, fills)
            await program.until_finished(PATIENCE_S + 0.2 * scenario.bars)
            program.signal(signal.SIGTERM)
            assert await program.stopped(10.0) == 0
        finally:
            program.kill()
        assert done == kills, "the market was too short for so many kills"
        assert await exchange_fills(stage) == booked(program.journal)
        await same_positions(stage, program.journal)
        live = traded(program.journal)
        entries = [one.client_order_id for one in live.intents if not one.reduce_only]
        filled = [f.client_order_id for f in live.fills if f.client_order_id in set(entries)]
        assert len(entries) == len(set(entries))
        assert len(filled) == len(set(filled)), "a signal was entered twice"
        assert len(live.close_ms) == scenario.bars, "a close was left out"
        again = derived_again(program.journal, program.folder / "executor-models")
        assert again == (scenario.bars, len(live.intents), ()), "derived again, it is another run"
        simulated = await stage.simulated(program, live.close_ms[0])
        live = live.until(simulated.close_ms[-1])
        assert live.intents == simulated.intents, "the run is not the undisturbed one"
        assert len(live.trades) == len(simulated.trades)


@pytest.mark.timeout(600)
async def test_twenty_kills(tmp_path: Path, valkey_url: str) -> None:
    """Two symbols: a start loads less history, and there are twenty of them."""
    scenario = replace(simulated_market(300, columns=COLUMNS), symbols=SYMBOLS[:2])
    await killed_often(scenario, tmp_path, valkey_url, kills=20, seed=11)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(10))
async def test_two_hundred_kills(tmp_path: Path, valkey_url: str, seed: int) -> None:
    scenario = simulated_market(700, columns=COLUMNS, plan=PARTIAL if seed % 2 else BARRIERS)
    await killed_often(scenario, tmp_path, valkey_url, kills=20, seed=seed)
