"""The whole executor as a program, against the paper exchange, a Valkey and a registry."""

import asyncio
import json
import signal

import pytest
from redis.asyncio import Redis

from executor.clock import SystemClock
from executor.core.contract import Keys
from tests.support.executor_program import ExecutorProgram
from tests.support.staging import Stage, derived_again, intents, journal_is_exchange, rows, simulate

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(120)]


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
    assert derived_again(program.journal, program.folder / "executor-models") == (
        150,
        len(expected),
        (),
    )


async def test_the_window_shows_the_same_after_a_restart(stage: Stage) -> None:
    """Trade history, metrics and the cycle counter come back from the journal."""
    program, keys = stage.program(), Keys(f"{stage.folder.name}:")
    redis = Redis.from_url(stage.redis_url, decode_responses=True)

    async def shown() -> dict[str, object]:
        metrics = await redis.hgetall(keys.metrics)
        return {
            "history": await redis.lrange(keys.trade_history, 0, -1),
            "count": await redis.get(keys.trade_count),
            "params": await redis.get(keys.adaptive_params),
            "metrics": {name: pytest.approx(float(v)) for name, v in metrics.items()},
        }

    try:
        program.start()
        status = await program.until_finished()
        program.signal(signal.SIGTERM)
        assert await program.stopped() == 0
        cycles = json.loads(journal_state(program))["tuning"]["cycles"]
        before = await shown()
        assert len(before["history"]) > 5  # type: ignore[arg-type]  # a list
        await redis.delete(keys.trade_history, keys.trade_count, keys.adaptive_params, keys.metrics)
        program.start()
        again = await program.until(lambda s: s["close_ms"] == status["close_ms"], "back again")
        async with asyncio.timeout(10.0):
            while not await redis.get(keys.trade_count):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)
        after = await shown()
        assert after["metrics"] == before["metrics"]
        assert after == before
        assert again["metrics"]["total_trades"] == len(before["history"])  # type: ignore[arg-type]
        assert json.loads(journal_state(program))["tuning"]["cycles"] == cycles > 100
    finally:
        program.kill()
        await redis.aclose()


def journal_state(program: ExecutorProgram) -> str:
    ((body,),) = rows(program.journal, "SELECT body FROM snapshots")
    return str(body)


@pytest.mark.parametrize("stage", [5_000], indirect=True)
@pytest.mark.usefixtures("market_walks")
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
        ((last,),) = rows(program.journal, "SELECT MAX(close_ms) FROM equity")
        await journal_is_exchange(program.journal, stage.paper, stopped_ms=last)


@pytest.mark.parametrize("stage", [5_000], indirect=True)
@pytest.mark.usefixtures("market_walks")
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
@pytest.mark.usefixtures("market_walks")
async def test_a_second_start_on_the_same_journal_waits(stage: Stage) -> None:
    first = stage.program("same")
    async with first:
        await first.until_running()
        second = stage.program("same")
        async with second:
            await second.until(lambda s: "another instance" in s["step"], "waiting")
            first.kill()
            await second.until_running()


async def test_bad_input_is_one_line_and_exit_code_2(stage: Stage) -> None:
    program = stage.program(changes={"trading": {"symbols": ["AAAUSDT", "BBBUSD"]}})
    async with program:
        assert await program.stopped(20.0) == 2
    last = program.words().strip().splitlines()[-1]
    assert "unknown symbol 'BBBUSD'; did you mean 'BBBUSDT'?" in last
    assert "Traceback" not in program.words()
