"""What others see: Redis, health, metrics, commands; on a real Valkey, with the real parts."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson
import pytest
from redis.asyncio import Redis

from executor.commands import STALE_MS, Commands
from executor.core.contract import METRIC_FIELDS, Keys, Status
from executor.core.events import Command
from executor.core.types import Notice
from executor.counters import Counters
from executor.health import HealthServer
from executor.journal import Journal
from executor.overview import Overview
from executor.performance import max_drawdown, profit_factor, sharpe, win_rate
from executor.publisher import Publisher
from executor.settings import Settings
from executor.settings_sections import Trading
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

    def __post_init__(self) -> None:
        self.keys = Keys(f"window-{next(numbers)}:")
        self.overview = Overview(settings=SETTINGS, clock=self.clock, counters=Counters())
        self.overview.parts.state = self.desk.state
        self.overview.parts.params = self.desk.params
        self.overview.phase = Status.RUNNING
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
    assert (overview.status(), overview.healthy()) == (Status.RUNNING, True)
    setup(overview)
    assert overview.status() == word
    assert overview.healthy() == (word == "PAUSED")
    assert reason in " ".join(overview.health()["reasons"])


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
            assert (await reply.json())["reasons"] == ["halted: killed"]
        async with session.get(server.url + "/status") as reply:
            said = await reply.json()
            assert said["status"] == "HALTED"
            assert said["executor"]["refused"] == {"expected_value": 3}
        async with session.get(server.url + "/metrics") as reply:
            text = await reply.text()
            assert "tribar_up 0.0" in text
            assert 'tribar_refused_by{reason="expected_value"} 3.0' in text
            assert 'tribar_status{status="HALTED"} 1.0' in text
        for path in ("/", "/nothing", "/status/../x"):
            async with session.get(server.url + path) as reply:
                assert reply.status == 404
        second = HealthServer(window.overview, "127.0.0.1", int(server.url.rsplit(":", 1)[1]))
        with pytest.raises(InputError, match="port"):
            await second.__aenter__()


@dataclass
class Told:
    """A command reader with what it passed on and answered."""

    commands: Commands
    taken: list[Command]
    answers: list[dict[str, str]]
    redis: Redis
    keys: Keys
    clock: FakeClock

    async def give(self, text: str) -> dict[str, str]:
        await self.redis.xadd(self.keys.commands, {"command": text})
        await self.commands._look()
        return dict(orjson.loads(self.answers[-1]["answer"]))


@pytest.fixture
async def told(redis: Redis, tmp_path: Path) -> AsyncIterator[Told]:
    keys = Keys(f"told-{next(numbers)}:")
    taken: list[Command] = []
    answers: list[dict[str, str]] = []
    clock = FakeClock()
    seconds, microseconds = await redis.time()
    clock._now_ms = int(seconds) * 1000 + int(microseconds) // 1000

    async def reload() -> str:
        return "nothing new"

    with Journal(tmp_path / "j.db") as journal:
        commands = Commands(
            redis,
            keys,
            journal,
            clock,
            put=taken.append,
            answer=answers.append,
            market_ms=lambda: 77,
            reload=reload,
        )
        await redis.xadd(keys.commands, {"command": '{"name": "kill", "who": "before"}'})
        await commands._look()
        assert taken == [], "what was said before the first start is not for us"
        yield Told(commands, taken, answers, redis, keys, clock)


async def test_a_command_is_taken_once_with_who_and_when(told: Told) -> None:
    answer = await told.give('{"name": "pause", "who": "me"}')
    assert answer["verdict"] == "taken"
    assert told.taken == [Command(name="pause", time_ms=77, who="me")]
    await told.commands._look()
    assert len(told.taken) == 1
    again = await told.give('{"name": "set", "arguments": {"momentum_threshold": 0.01}}')
    assert again["verdict"] == "taken"
    assert told.taken[-1].arguments == {"momentum_threshold": 0.01}
    assert (await told.give('{"name": "reload"}')) | {"command": ""} == {
        "command": "",
        "verdict": "done",
        "text": "nothing new",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pause", "JSON"),
        ("[]", "name"),
        ('{"name": 3}', "name"),
        ('{"name": "puase"}', "did you mean 'pause'"),
        ('{"name": "set", "arguments": [1]}', "arguments"),
        ('{"name": "set", "arguments": {"x": null}}', "arguments"),
    ],
)
async def test_what_is_no_command_is_answered_and_not_obeyed(
    told: Told, text: str, said: str
) -> None:
    answer = await told.give(text)
    assert answer["verdict"] == "refused"
    assert said in answer["text"]
    assert told.taken == []


async def test_an_old_command_is_not_obeyed_but_a_kill_always_is(told: Told) -> None:
    told.clock.pass_s(STALE_MS / 1000 + 60)
    assert (await told.give('{"name": "resume"}'))["verdict"] == "refused"
    assert (await told.give('{"name": "kill"}'))["verdict"] == "taken"
    assert [command.name for command in told.taken] == ["kill"]


async def test_after_a_restart_it_goes_on_where_it_stood(told: Told, tmp_path: Path) -> None:
    await told.give('{"name": "pause"}')
    await told.redis.xadd(told.keys.commands, {"command": '{"name": "kill"}'})
    taken: list[Command] = []
    with Journal(tmp_path / "j.db") as journal:
        again = Commands(
            told.redis,
            told.keys,
            journal,
            told.clock,
            put=taken.append,
            answer=lambda fields: None,
            market_ms=lambda: 1,
            reload=told.commands._reload,
        )
        await again._look()
    assert [command.name for command in taken] == ["kill"], "given while nobody listened"


def test_the_figures_of_performance() -> None:
    trades = [trade(3.0), trade(-1.0), trade(1.0), trade(-1.0)]
    assert win_rate(trades) == 0.5
    assert profit_factor(trades) == 2.0
    assert (profit_factor([trade(1.0)]), profit_factor([]), win_rate([])) == (99.0, 0.0, 0.0)
    assert max_drawdown([100.0, 120.0, 90.0, 130.0, 117.0]) == pytest.approx(0.25)
    assert max_drawdown([]) == 0.0
    flat = [100.0] * 50
    assert sharpe(flat, INTERVAL_MS) == 0.0
    assert sharpe([100.0, 101.0], INTERVAL_MS) == 0.0, "too little to say anything"
    rising = [100.0 * 1.001**n * (1.0 + 0.0005 * (n % 2)) for n in range(100)]
    assert sharpe(rising, INTERVAL_MS) > 10.0
