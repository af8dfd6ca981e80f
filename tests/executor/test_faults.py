"""Faults on the wire: whatever is lost, late or doubled, the run is the run without them."""

import signal
from typing import Any

import aiohttp
import pytest

from tests.support.staging import Stage, intents, journal_is_exchange, rows, simulate

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(120)]
QUICK = {
    "venue": {"timeout_ms": 700, "recv_window_ms": 1_000},
    "orders": {"query_interval_ms": 100},
    "feed": {"close_grace_ms": 300},
}


async def plan(stage: Stage, **fault: Any) -> None:
    """Plan a fault at the exchange."""
    url = stage.paper.acknowledge_url.replace("acknowledge", "fault")
    async with aiohttp.ClientSession() as session, session.post(url, json=fault) as reply:
        assert reply.status == 200, await reply.text()


SOAK = pytest.mark.soak  # make test runs one of each kind, make soak runs all
ORDERS = [
    pytest.param("hang_after", {}),  # executed, the reply is lost
    pytest.param("hang_before", {}),  # never arrived
    pytest.param("disconnect", {}, marks=SOAK),
    pytest.param("http", {"status": 503, "body": "<html>down</html>"}, marks=SOAK),
    pytest.param("http", {"status": 200, "body": "<html>maintenance</html>"}, marks=SOAK),
    pytest.param("http", {"status": 503, "body": "{}"}, marks=SOAK),
    pytest.param("retcode", {"code": 10016}, marks=SOAK),
    pytest.param("retcode", {"code": 10002}, marks=SOAK),
    pytest.param("rate_limit", {}, marks=SOAK),
    pytest.param("late", {"seconds": 0.9}, marks=SOAK),
    pytest.param("slow", {"seconds": 0.3}, marks=SOAK),
]
STREAMS = [
    pytest.param("ws_drop", "execution"),
    pytest.param("ws_drop", "order", marks=SOAK),
    pytest.param("ws_drop", "position", marks=SOAK),
    pytest.param("ws_drop", "kline", marks=SOAK),
    pytest.param("ws_duplicate", "execution", marks=SOAK),
    pytest.param("ws_duplicate", "kline", marks=SOAK),
    pytest.param("ws_reorder", "execution", marks=SOAK),
    pytest.param("ws_reorder", "kline", marks=SOAK),
]


async def run_through(stage: Stage, **fault: Any) -> None:
    """Run to the end with faults, and compare with the run that knows of none."""
    await plan(stage, **fault)
    async with stage.program(changes=QUICK) as program:
        await program.until_finished(90.0)
        program.signal(signal.SIGTERM)
        assert await program.stopped() == 0
    closed = [at for (at,) in rows(program.journal, "SELECT close_ms FROM equity ORDER BY 1")]
    assert len(closed) == 80
    await journal_is_exchange(program.journal, stage.paper)
    simulated = await simulate(stage.paper, closed[0], closed[-1])
    expected = [(i.client_order_id, i.quantity) for i in simulated.intents]
    assert len(expected) > 5
    assert [(i[0], i[3]) for i in intents(program.journal)] == expected


@pytest.mark.parametrize("stage", [80], indirect=True)
@pytest.mark.parametrize(("kind", "arguments"), ORDERS)
async def test_an_order_is_sent_once_whatever_becomes_of_the_reply(
    stage: Stage, kind: str, arguments: dict[str, Any]
) -> None:
    await run_through(stage, kind=kind, match="order/create", count=3, arguments=arguments)


@pytest.mark.parametrize("stage", [80], indirect=True)
@pytest.mark.parametrize(("kind", "topic"), STREAMS)
async def test_frames_may_be_lost_doubled_or_swapped(stage: Stage, kind: str, topic: str) -> None:
    await run_through(stage, kind=kind, match=topic, count=4)


@pytest.mark.parametrize("stage", [80], indirect=True)
async def test_sockets_may_be_closed(stage: Stage) -> None:
    await plan(stage, kind="ws_close", bar=20)
    await run_through(stage, kind="ws_close", bar=45)
