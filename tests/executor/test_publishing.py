"""What others see: Redis, health, metrics, commands; on a real Valkey, with the real parts."""

import asyncio
import contextlib
import itertools
import json
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, get_origin, get_type_hints

import aiohttp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from executor.core.contract import (
    METRIC_FIELDS,
    AdaptiveParams,
    CoverageRecord,
    HealthRecord,
    Keys,
    ModelRecord,
    PositionRecord,
    Status,
    TradeRecord,
)
from executor.core.types import Notice
from executor.counters import Counters
from executor.health.overview import NO_MODEL, Overview
from executor.health.performance import EquityCurve, profit_factor, win_rate
from executor.health.publisher import Publisher
from executor.health.server import HealthServer
from executor.settings.sections import Trading
from executor.settings.settings import Settings
from features.errors import InputError
from tests.support.clocks import FakeClock
from tests.support.trading import INTERVAL_MS, LONG_ROW, Desk, trade

pytestmark = pytest.mark.servers
numbers = itertools.count()
SETTINGS = Settings(trading=Trading(symbols=("BTCUSDT", "ETHUSDT")))


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(valkey_url, decode_responses=True)
    yield client
    await client.aclose()


@dataclass
class Window:
    """A publisher over a core that can be played with."""

    redis: Redis
    clock: FakeClock = field(default_factory=FakeClock)
    desk: Desk = field(default_factory=lambda: Desk(("BTCUSDT", "ETHUSDT")))
    held: bool = True
    memory_mb: float = 100.0
    memory_readings: int = 0

    def measure_memory(self) -> float:
        self.memory_readings += 1
        return self.memory_mb

    def __post_init__(self) -> None:
        self.keys = Keys(f"window-{next(numbers)}:")
        self.overview = Overview(settings=SETTINGS, clock=self.clock, counters=Counters())
        self.overview.parts.state = self.desk.state
        self.overview.parts.params = self.desk.params
        self.overview.phase = Status.RUNNING
        self.overview.vitals.memory_mb = self.measure_memory
        self.publisher = Publisher(
            self.redis,
            self.keys,
            self.overview,
            self.clock,
            interval_ms=5_000,
            holds_lease=lambda: self.held,
        )


@pytest.fixture
def window(redis: Redis) -> Window:
    return Window(redis)


async def test_a_beat_publishes_the_whole_contract(window: Window, redis: Redis) -> None:
    desk, keys = window.desk, window.keys
    (intent,) = desk.close({"BTCUSDT": LONG_ROW}).intents
    desk.fill(intent)
    desk.state.trades.extend(trade(float(n)) for n in range(-3, 150))
    desk.state.trade_count = 153
    assert await window.publisher.beat()
    assert (await redis.get(keys.heartbeat)).startswith("2025-01-01T00:00:00")
    assert 14_000 < await redis.pttl(keys.heartbeat) <= 15_000, "silence becomes visible"
    assert await redis.get(keys.status) == "RUNNING"
    assert await redis.get(keys.last_update)
    params = json.loads(await redis.get(keys.adaptive_params))
    assert sorted(params) == [
        "confidence_multiplier",
        "med_ma_weight",
        "min_confidence_threshold",
        "momentum_threshold",
        "short_ma_weight",
        "volume_weight",
    ]
    assert await redis.get(keys.trade_count) == "153"
    history = await redis.lrange(keys.trade_history, 0, -1)
    assert len(history) == 100
    assert json.loads(history[0])["pnl"] == 149.0, "newest first"
    metrics = await redis.hgetall(keys.metrics)
    assert set(metrics) == set(METRIC_FIELDS)
    assert all(float(value) == float(value) for value in metrics.values())
    (position,) = json.loads(await redis.get(keys.positions))
    assert (position["symbol"], position["side"]) == ("BTCUSDT", 1)
    coverage = json.loads(await redis.get(keys.coverage))
    assert coverage["ETHUSDT"]["tradable"] is True
    assert json.loads(await redis.get(keys.health))["status"] == "RUNNING"
    assert json.loads(await redis.get(keys.model))["version"] == ""


async def test_every_value_has_the_declared_type_and_nothing_more(
    window: Window, redis: Redis
) -> None:
    """What `docs/API.md` promises is what is there, key by key, whatever the state."""
    desk, keys = window.desk, window.keys
    (intent,) = desk.close({"BTCUSDT": LONG_ROW}).intents
    desk.fill(intent)
    desk.state.trades.append(trade(1.0))
    loaded = ModelRecord(**{**NO_MODEL, "version": "7", "symbols": ["BTCUSDT"]})
    for record in (NO_MODEL, loaded):
        window.overview.model_record = record
        assert await window.publisher.beat()
        assert_like(await read(redis, keys.adaptive_params), AdaptiveParams)
        (position,) = await read(redis, keys.positions)
        assert_like(position, PositionRecord)
        assert_like(await read(redis, keys.model), ModelRecord)
        for row in (await read(redis, keys.coverage)).values():
            assert_like(row, CoverageRecord)
        assert_like(await read(redis, keys.health), HealthRecord)
        assert_like(json.loads((await redis.lrange(keys.trade_history, 0, 0))[0]), TradeRecord)
    assert (await redis.get(keys.trade_count)).isdigit()
    assert await redis.get(keys.status) in set(Status)


async def read(redis: Redis, key: str) -> Any:
    return json.loads(await redis.get(key))


def assert_like(found: dict[str, Any], kind: Any) -> None:
    """See that every declared name is there with its type, and nothing undeclared beside it."""
    declared = get_type_hints(kind)
    assert set(found) == set(declared)
    for name, wanted in declared.items():
        value = found[name]
        plain = get_origin(wanted) or wanted
        assert type(value) is plain or (plain is float and type(value) is int), (name, value)


async def test_a_start_does_not_wipe_what_the_last_run_left(window: Window, redis: Redis) -> None:
    """Reading the journal takes a while: nobody may see an empty history meanwhile."""
    keys, state = window.keys, window.desk.state
    state.trades.append(trade(1.0))
    state.trade_count = 1
    assert await window.publisher.beat()
    window.overview.parts.state, window.overview.phase = None, Status.INITIALIZING
    window.clock.pass_s(60.0)
    assert await window.publisher.beat()
    assert await redis.get(keys.status) == "INITIALIZING"
    assert (await redis.get(keys.last_update)).startswith("2025-01-01T00:01:00")
    assert (await redis.get(keys.trade_count), await redis.llen(keys.trade_history)) == ("1", 1)
    assert (await redis.hgetall(keys.metrics))["total_trades"] == "1"


async def test_who_does_not_hold_the_lease_does_not_speak(window: Window, redis: Redis) -> None:
    window.held = False
    assert not await window.publisher.beat()
    assert await redis.get(window.keys.heartbeat) is None


async def test_after_an_outage_everything_is_published_again(window: Window, redis: Redis) -> None:
    window.publisher.note(Notice(code="paused", symbol="", text="one", time_ms=1))
    dead = Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.2)
    window.publisher._redis = dead
    assert not await window.publisher.beat()
    assert not window.overview.redis_ok
    assert window.overview.counters.redis_outages == 1
    window.publisher.note(Notice(code="resumed", symbol="", text="two", time_ms=2))
    assert not await window.publisher.beat()
    assert window.overview.counters.redis_outages == 1, "one outage, said once"
    window.publisher._redis = redis
    assert await window.publisher.beat()
    said = [json.loads(f["notice"])["text"] for _, f in await redis.xrange(window.keys.events)]
    assert said == ["one", "two"], "nothing was lost and nothing doubled"
    assert await redis.get(window.keys.heartbeat)
    await dead.aclose()


async def test_it_beats_on_time_and_at_once_when_woken(window: Window, redis: Redis) -> None:
    running = asyncio.create_task(window.publisher.run())
    async with asyncio.timeout(5.0):
        for beats in range(1, 5):
            await beaten(window, beats)
            window.publisher.wake()
    running.cancel()


async def beaten(window: Window, beats: int) -> None:
    """Wait until that many beats were published; the caller bounds it."""
    pause = asyncio.Event()
    while window.overview.counters.heartbeats < beats:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pause.wait(), 0.01)


@pytest.mark.parametrize(
    ("setup", "word", "reason"),
    [
        (lambda o: setattr(o.parts.state.guard, "killed", "killed by me"), "HALTED", "halted"),
        (lambda o: setattr(o.parts.state.guard, "halted", "drawdown"), "HALTED", "drawdown"),
        (lambda o: setattr(o.parts.state.guard, "paused", True), "PAUSED", ""),
        (lambda o: setattr(o, "redis_wanted", True), "DEGRADED", "redis"),
        (lambda o: setattr(o, "phase", Status.INITIALIZING), "INITIALIZING", "starting"),
        (lambda o: setattr(o, "phase", Status.STOPPED), "STOPPED", "stopped"),
    ],
)
def test_the_word_and_its_reason(
    redis: Redis, setup: Callable[[Overview], None], word: str, reason: str
) -> None:
    overview = Window(redis).overview
    judged = overview.judge()
    assert (judged.status, judged.is_healthy) == (Status.RUNNING, True)
    setup(overview)
    judged = overview.judge()
    assert judged.status == word
    assert judged.is_healthy == (word == "PAUSED")
    assert reason in " ".join(overview.health(judged)["reasons"])


async def test_health_status_and_metrics_over_http(window: Window) -> None:
    window.overview.counters.refused["expected_value"] = 3
    async with (
        HealthServer(window.overview, "127.0.0.1", 0) as server,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(server.url + "/health") as reply:
            assert reply.status == 200
        window.overview.parts.state.guard.killed = "killed"
        async with session.get(server.url + "/health") as reply:
            assert reply.status == 503
            assert (await reply.json())["reasons"] == ["halted: killed; until a reset"]
        async with session.get(server.url + "/status") as reply:
            said = await reply.json()
            assert said["status"] == "HALTED"
            assert said["executor"]["refused"] == {"expected_value": 3}
        async with session.get(server.url + "/metrics") as reply:
            text = await reply.text()
            assert "tribar_up 0.0" in text
            assert 'tribar_refused_by{reason="expected_value"} 3.0' in text
            assert 'tribar_status{status="HALTED"} 1.0' in text
            assert 'tribar_level{level="critical"} 1.0' in text
            for name in (
                "data_age_seconds", "reconciled_age_seconds", "scan_seconds", "naked_seconds",
                "lease_remaining_seconds", "model_age_days", "drawdown", "loop_lag_seconds",
                "resident_megabytes", "rejected_by", "symbol_tradable", "task_overdue_seconds",
            ):  # fmt: skip
                assert f"tribar_{name}" in text, name
        for path in ("/", "/nothing", "/status/../x"):
            async with session.get(server.url + path) as reply:
                assert reply.status == 404
        second = HealthServer(window.overview, "127.0.0.1", int(server.url.rsplit(":", 1)[1]))
        with pytest.raises(InputError, match="port"):
            await second.__aenter__()


async def test_memory_is_measured_once_an_answer_and_warned_of(window: Window) -> None:
    async with (
        HealthServer(window.overview, "127.0.0.1", 0) as server,
        aiohttp.ClientSession() as session,
    ):
        window.memory_mb = 1_100.0
        for readings, path in enumerate(("/health", "/status", "/metrics"), start=1):
            async with session.get(server.url + path) as reply:
                text = await reply.text()
            assert window.memory_readings == readings, path
            assert ("memory: 1100 MB" in text) or path == "/metrics"
        assert "tribar_resident_megabytes 1100.0" in text
        assert 'tribar_level{level="warning"} 1.0' in text


def test_the_figures_of_performance() -> None:
    trades = [trade(3.0), trade(-1.0), trade(1.0), trade(-1.0)]
    assert win_rate(trades) == 0.5
    assert profit_factor(trades) == 2.0
    assert (profit_factor([trade(1.0)]), profit_factor([]), win_rate([])) == (99.0, 0.0, 0.0)
    assert drawdown_and_sharpe([100.0, 120.0, 90.0, 130.0, 117.0])[0] == pytest.approx(0.25)
    assert drawdown_and_sharpe([]) == (0.0, 0.0)
    assert drawdown_and_sharpe([100.0] * 50) == (0.0, 0.0)
    assert drawdown_and_sharpe([100.0, 101.0]) == (0.0, 0.0), "too little to say anything"
    rising = [100.0 * 1.001**n * (1.0 + 0.0005 * (n % 2)) for n in range(100)]
    assert drawdown_and_sharpe(rising)[1] > 10.0


@given(st.lists(st.floats(1.0, 1e6), min_size=2, max_size=60))
def test_figures_taken_in_one_by_one_are_those_of_the_whole_curve(equity: list[float]) -> None:
    drawdown, ratio = drawdown_and_sharpe(equity)
    values = np.array(equity)
    peaks = np.maximum.accumulate(values)
    assert drawdown == pytest.approx(float(np.max(1.0 - values / peaks)), abs=1e-12)
    returns = values[1:] / values[:-1] - 1.0
    spread = float(np.std(returns, ddof=1)) if returns.size > 1 else 0.0
    if returns.size >= 10 and spread > 1e-9:
        yearly = math.sqrt(31_557_600_000 / INTERVAL_MS)
        assert ratio == pytest.approx(float(np.mean(returns)) / spread * yearly, rel=1e-6, abs=1e-9)


def drawdown_and_sharpe(equity: list[float]) -> tuple[float, float]:
    curve = EquityCurve()
    for value in equity:
        curve.note(value)
    return curve.max_drawdown, curve.sharpe(INTERVAL_MS)
