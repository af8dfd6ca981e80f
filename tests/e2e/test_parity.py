"""The flagship: one history through the simulation and through the live program, one result.

The executor runs as a process of its own, in its lean environment, against the paper exchange in
lockstep; what the exchange showed is then ingested through the lake and driven through
`flows.research.simulate`. Features come from the compiled batch there and from the interpreted
stream here; nothing may differ but the name of the model and the ids of executions.
"""

import json
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from executor.core.types import Decision
from features.exit_plan import ExitPlan
from tests.support.rehearsal import (
    BARRIERS,
    PARTIAL,
    Run,
    Scenario,
    prepared,
    real_market,
    simulated_market,
    traded,
)
from tests.support.shared_data import shared_data

pytestmark = [pytest.mark.servers, pytest.mark.slow]
BARS = 1_000
BARS_SOAK = 5_001
PATIENCE_S = 600.0  # on a machine that is busy; quiet, a run takes half a minute


async def both(scenario: Scenario, folder: Path, redis_url: str) -> tuple[Run, Run]:
    """Return what the live program did and what the simulation does, over the same closes."""
    async with prepared(scenario, folder, redis_url) as stage:
        async with stage.program() as program:
            await program.until_running()
            await program.until_finished(PATIENCE_S + 0.2 * scenario.bars)
            program.signal(signal.SIGTERM)
            assert await program.stopped() == 0
        live = traded(program.journal)
        assert len(live.close_ms) == scenario.bars, "a close was left out"
        simulated = await stage.simulated(program, live.close_ms[0])
    return live.until(simulated.close_ms[-1]), simulated


def written(decision: Decision) -> str:
    """Return a decision as text to the last bit: a probability that was never asked for is NaN."""
    return json.dumps(asdict(decision))


def agree(live: Run, simulated: Run) -> None:
    """Compare everything, the narrowest first, so that the first difference tells the most."""
    orders = [
        [(i.client_order_id, i.symbol, i.side, i.quantity, i.reason) for i in run.intents]
        for run in (live, simulated)
    ]
    assert orders[0] == orders[1]
    assert live.intents == simulated.intents
    unnamed = [[written(replace(d, model="")) for d in run.decisions] for run in (live, simulated)]
    assert unnamed[0] == unnamed[1]
    executed = [[replace(f, fill_id="") for f in run.fills] for run in (live, simulated)]
    assert executed[0] == executed[1]
    cents = [[round(100 * t.pnl) for t in run.trades] for run in (live, simulated)]
    assert cents[0] == cents[1]
    assert live.trades == simulated.trades
    assert live.close_ms == simulated.close_ms
    assert live.equity == simulated.equity


def is_telling(run: Run, plan: ExitPlan) -> None:
    """A run without trades would agree with anything."""
    assert len(run.trades) >= 20
    assert {fill.symbol for fill in run.fills} == {trade.symbol for trade in run.trades}
    assert len({trade.symbol for trade in run.trades}) == 3
    assert len({trade.reason for trade in run.trades}) >= 2
    assert any(trade.funding for trade in run.trades)
    partials = [intent for intent in run.intents if intent.price]
    assert bool(partials) is not plan.barriers_alone


@pytest.mark.timeout(1_200)
async def test_a_simulated_market(tmp_path: Path, valkey_url: str) -> None:
    live, simulated = await both(simulated_market(BARS, plan=BARRIERS), tmp_path, valkey_url)
    agree(live, simulated)
    is_telling(live, BARRIERS)


@pytest.mark.timeout(1_200)
async def test_real_candles(tmp_path: Path, valkey_url: str) -> None:
    scenario = real_market(shared_data(), BARS, plan=PARTIAL)
    live, simulated = await both(scenario, tmp_path, valkey_url)
    agree(live, simulated)
    is_telling(live, PARTIAL)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("plan", [BARRIERS, PARTIAL], ids=["barriers", "partial"])
async def test_a_simulated_market_at_length(
    tmp_path: Path, valkey_url: str, plan: ExitPlan
) -> None:
    live, simulated = await both(simulated_market(BARS_SOAK, plan=plan), tmp_path, valkey_url)
    agree(live, simulated)
    is_telling(live, plan)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("plan", [BARRIERS, PARTIAL], ids=["barriers", "partial"])
async def test_real_candles_at_length(tmp_path: Path, valkey_url: str, plan: ExitPlan) -> None:
    scenario = real_market(shared_data(), BARS_SOAK, plan=plan)
    live, simulated = await both(scenario, tmp_path, valkey_url)
    agree(live, simulated)
    is_telling(live, plan)
