"""Alerts: each is triggered and received; a storm is bounded; a sick service delays only itself."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from redis.asyncio import Redis

from executor.alerting.desk import Alert, Alerts, Level, Message
from executor.alerting.process import addresses
from executor.clock import SystemClock
from executor.core.contract import ALERTING, Keys, NoticeCode, Status
from executor.core.events import Command, OrderUpdated, Tick
from executor.core.types import Notice, OrderStatus, Outcome
from executor.counters import Counters
from executor.health.alert_rules import INFO_NOTICES
from executor.health.overview import Overview
from executor.health.publisher import Publisher
from executor.operations import Operations
from executor.settings.sections import Alerts as AlertSettings
from executor.settings.sections import Health, Trading
from executor.settings.settings import Settings
from executor.supervisor import Supervisor
from tests.support.clocks import FakeClock
from tests.support.executor_program import ROOT, toml
from tests.support.receiver import Receiver
from tests.support.trading import LONG_ROW, Desk, trade

NOTHING = Outcome()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as started:
        yield started


def an_alert(code: str = "x", level: Level = Level.WARNING, about: str = "") -> Alert:
    return Alert(level=level, code=code, about=about, text=f"{code} happened")


class Post:
    """A service in memory: what it took, and how it behaves."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.asked = 0
        self.mood = "well"

    async def deliver(self, message: Message) -> bool:
        self.asked += 1
        if self.mood == "hangs":
            await asyncio.Event().wait()
        if self.mood == "well":
            self.taken.append(message)
        return self.mood == "well"


@contextlib.asynccontextmanager
async def sending(post: Post, clock: FakeClock, **settings: Any) -> AsyncIterator[Alerts]:
    alerts = Alerts(AlertSettings(**settings), clock, post.deliver, name="t")
    task = asyncio.create_task(alerts.run())
    yield alerts
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_worse_gets_through_where_what_is_not_has_used_its_share() -> None:
    post, clock = Post(), FakeClock()
    async with sending(post, clock, hourly_max=8) as alerts:
        for level, most in ((Level.INFO, 4), (Level.WARNING, 6), (Level.CRITICAL, 8)):
            for number in range(20):
                alerts.tell(an_alert("x", level, about=f"{level} {number}"))
                assert await alerts.flush(5.0)
            assert len(post.taken) == most, level


async def test_the_same_alert_is_sent_once_and_what_came_between_is_counted() -> None:
    post, clock = Post(), FakeClock()
    async with sending(post, clock, repeat_ms=60_000) as alerts:
        for _ in range(7):
            alerts.tell(an_alert())
        assert await alerts.flush(5.0)
        assert len(post.taken) == 1
        clock.pass_s(61.0)
        alerts.tell(an_alert())
        alerts.tell(an_alert(about="BTCUSDT"))
        assert await alerts.flush(5.0)
        assert len(post.taken) == 3, "about something else is another alert"
        assert "6 more like it" in post.taken[1].body
        alerts.forget("x")
        alerts.tell(an_alert())
        assert await alerts.flush(5.0)
        assert len(post.taken) == 4, "what passed and came back is new"


async def test_an_event_is_told_however_soon_it_follows_another_of_its_kind() -> None:
    """A promotion and a rollback within minutes, a second kill: nobody may miss the second."""
    post, clock = Post(), FakeClock()
    async with sending(post, clock, repeat_ms=60_000) as alerts:
        for text in ("model 2 decides", "model 1 decides", "model 1 decides"):
            alerts.tell(Alert(level=Level.INFO, code="model_swapped", text=text, is_event=True))
        assert await alerts.flush(5.0)
    assert [message.body for message in post.taken] == [
        "model 2 decides", "model 1 decides", "model 1 decides",
    ]  # fmt: skip


async def test_a_storm_of_a_thousand_errors_is_a_bounded_number_of_messages() -> None:
    post, clock = Post(), FakeClock()
    async with sending(post, clock, hourly_max=20) as alerts:
        for number in range(1_000):
            alerts.tell(an_alert("error", about=f"symbol {number}"))
            if number % 50 == 0:
                await alerts.flush(5.0)
        assert await alerts.flush(5.0)
        assert len(post.taken) == 15, "a quarter of the hour's messages is kept"
        alerts.tell(an_alert("killed", Level.CRITICAL))
        assert await alerts.flush(5.0)
        assert post.taken[-1].title == "t: critical: killed"
        assert "error 985" in post.taken[-1].body, "what was not sent is summed up"
        clock.pass_s(3_601.0)
        alerts.tell(an_alert("later"))
        assert await alerts.flush(5.0)
        assert post.taken[-1].title == "t: warning: later", "the next hour is a new one"
    assert alerts.told.raised["error"] == 1_000


@given(st.lists(st.tuples(st.sampled_from(Level), st.integers(0, 400)), max_size=400))
async def test_no_series_of_alerts_sends_more_than_the_hour_allows(
    series: list[tuple[Level, int]],
) -> None:
    post, clock = Post(), FakeClock()
    times: list[float] = []
    async with sending(post, clock, hourly_max=8, queue_max=5) as alerts:
        for number, (level, pause_s) in enumerate(series):
            clock.pass_s(pause_s)
            alerts.tell(an_alert("e", level, about=str(number)))
            assert alerts.waiting <= 5
            assert await alerts.flush(5.0)
            times += [clock.monotonic()] * (len(post.taken) - len(times))
    for first in times:
        assert sum(first <= at <= first + 3_600.0 for at in times) <= 8
    critical = sum(message.level == Level.CRITICAL for message in post.taken)
    assert alerts.told.sent == len(post.taken) >= min(critical, 8)


async def test_a_full_queue_gives_up_the_oldest_of_the_lowest_level() -> None:
    post = Post()
    alerts = Alerts(AlertSettings(queue_max=3), FakeClock(), post.deliver, name="t")
    for code, level in (
        ("a", Level.CRITICAL), ("b", Level.INFO), ("c", Level.INFO), ("d", Level.WARNING),
        ("e", Level.CRITICAL),
    ):  # fmt: skip
        alerts.tell(an_alert(code, level))
    task = asyncio.create_task(alerts.run())
    assert await alerts.flush(5.0)
    task.cancel()
    assert [message.title.split()[-1] for message in post.taken] == ["a", "d", "e"]


async def test_a_level_that_nobody_wants_is_not_sent_and_without_services_nothing_waits() -> None:
    post, clock = Post(), FakeClock()
    async with sending(post, clock, level="critical") as alerts:
        alerts.tell(an_alert("w"))
        alerts.tell(an_alert("c", Level.CRITICAL))
        assert await alerts.flush(5.0)
    assert [message.level for message in post.taken] == [Level.CRITICAL]
    silent = Alerts(AlertSettings(), clock, None, name="t")
    silent.tell(an_alert())
    assert (silent.configured, silent.waiting, silent.told.raised["x"]) == (False, 0, 1)


async def test_a_service_that_is_down_gets_a_few_tries_and_then_the_next_alert() -> None:
    post, clock = Post(), FakeClock()
    post.mood = "down"
    async with sending(post, clock) as alerts:
        alerts.tell(an_alert("lost"))
        assert await alerts.flush(5.0)
        assert (post.asked, alerts.told.failed) == (5, 1)
        assert clock.sleeps == [1.0, 4.0, 16.0, 60.0]
        assert alerts.told.problem
        post.mood = "well"
        alerts.tell(an_alert("next"))
        assert await alerts.flush(5.0)
    assert "lost 1" in post.taken[0].body, "what did not get through is mentioned"
    assert alerts.told.problem == ""


async def test_a_service_that_hangs_is_left_and_telling_takes_no_time() -> None:
    post, clock = Post(), FakeClock()
    post.mood = "hangs"
    async with sending(post, clock, timeout_ms=100) as alerts:
        for number in range(1_000):
            alerts.tell(an_alert(about=str(number)))
        assert alerts.waiting <= 100
        assert not await alerts.flush(0.25)
        assert post.asked >= 1
        assert alerts.told.problem == "the alert service hangs"


def test_addresses_are_separated_by_commas_and_blanks() -> None:
    text = "mailto://u:p@h?to=a@b.c,d@e.f, tgram://123:abc/1 json://h/p\n discord://1/2"
    assert addresses(text) == [
        "mailto://u:p@h?to=a@b.c,d@e.f", "tgram://123:abc/1", "json://h/p", "discord://1/2",
    ]  # fmt: skip
    assert addresses("") == []


class Stage:
    """The operations of a process over a core that can be played with, told to a receiver."""

    def __init__(self, receiver: Receiver, **alerts: Any) -> None:
        said: dict[str, Any] = {
            "urls": SecretStr(receiver.alert_url),
            "ping_url": SecretStr(receiver.ping_url),
            "ping_interval_ms": 100,
            "hourly_max": 1_000,
            "trades": True,
        }
        self.settings = Settings(
            trading=Trading(symbols=("BTCUSDT",)),
            alerts=AlertSettings(**(said | alerts)),
            health=Health(watchdog_ms=0),
        )
        self.clock = SystemClock()
        self.desk = Desk()
        self.overview = Overview(settings=self.settings, clock=self.clock, counters=Counters())
        self.overview.phase = Status.RUNNING
        parts = self.overview.parts
        parts.state, parts.params = self.desk.state, self.desk.params
        self.lease: Any = SimpleNamespace(
            is_elsewhere=False, left=20_000, reachable=True, absence=lambda: "b holds it"
        )
        self.lease.remaining_ms = lambda: self.lease.left
        self.feed = SimpleNamespace(silent_ms=0)
        self.orders = SimpleNamespace(fatal="")
        self.loader = SimpleNamespace(
            asked=True,
            refusal="",
            reachable=True,
            current="model",
            quarantine=SimpleNamespace(untold=list),
        )
        self.calls = SimpleNamespace(
            failed_row=0, last="", error_rate=lambda: 0.0, mean_ms=lambda: 0.0, states=dict,
            trend=lambda: 0.0, made={}, failed={}, by_class={},
        )  # fmt: skip
        parts.lease, parts.feed = self.lease, self.feed  # type: ignore[assignment]  # fakes
        parts.orders, parts.loader = self.orders, self.loader  # type: ignore[assignment]  # fakes
        parts.calls = self.calls  # type: ignore[assignment]  # a fake
        self.operations = Operations(
            self.settings, self.overview, self.clock, Supervisor(self.clock)
        )

    def after(self, event: Any, **outcome: Any) -> None:
        for listener in self.overview.listeners:
            listener(event, Outcome(**outcome))


@pytest.mark.slow
async def test_every_alert_is_received_over_http(receiver: Receiver) -> None:
    stage = Stage(receiver)
    tick = Tick(now_ms=1)
    async with stage.operations:
        await receiver.until("started", "running")
        stage.overview.redis_wanted, stage.overview.redis_ok = True, False
        stage.feed.silent_ms = 900_000 + 300_001
        stage.orders.fatal = "10003 key"
        stage.calls.failed_row, stage.calls.last = 5, "kline: timeout"
        stage.loader.refusal = "version 3: gate says 'refused'"
        state = stage.desk.state
        state.trades.extend(trade(-1.0) for _ in range(20))
        (intent,) = stage.desk.close({"BTCUSDT": LONG_ROW}).intents
        stage.desk.fill(intent)
        stage.overview.vitals.naked_since = stage.clock.monotonic() - 16.0
        stage.overview.vitals.hearts.expect("loader", stage.clock.monotonic() - 31.0)
        await receiver.until(
            "redis", "stale_data", "venue_fatal", "api_errors", "model_kept_out", "accuracy",
            "unprotected", "heartbeat",
        )  # fmt: skip
        state.guard.peak_equity = state.equity() / 0.89
        await receiver.until("drawdown_level")
        state.ledger.cash -= 0.11 * state.ledger.start
        await receiver.until("balance")
        stage.lease.left = 0
        await receiver.until("lease")
        notices = [Notice(code=c, symbol="BTCUSDT", text="told", time_ms=1) for c in NoticeCode]
        stage.after(tick, notices=tuple(notices))
        await receiver.until(*ALERTING, *INFO_NOTICES)
        short = OrderUpdated(
            client_order_id="x", symbol="BTCUSDT", status=OrderStatus.REJECTED, time_ms=1,
            reason="110007",
        )  # fmt: skip
        outcome = stage.desk.close({"BTCUSDT": LONG_ROW})
        stage.after(short, trades=(trade(2.0),), decisions=outcome.decisions)
        await receiver.until("balance_short", "trade_closed")
        stage.lease.left, stage.overview.redis_ok = 20_000, True
        await receiver.until("lease_passed", "redis_passed")
        stage.after(Command(name="pause", time_ms=1), notices=())
    await receiver.until("stopped")
    levels = {b["title"].split(": ")[2]: b["title"].split(": ")[1] for b in receiver.got}
    assert levels["lease"] == levels["unprotected"] == "critical"
    assert levels["started"] == "info"


async def test_who_lost_the_lease_tells_nothing_of_what_another_instance_holds(
    receiver: Receiver,
) -> None:
    stage = Stage(receiver)
    notices = [Notice(code=c, symbol="BTCUSDT", text="told", time_ms=1) for c in NoticeCode]
    stage.lease.left, stage.lease.is_elsewhere = 0, True
    stage.after(Tick(now_ms=1), notices=tuple(notices))
    raised = stage.operations.alerts.told.raised
    assert {"adopted", "naked_position", "stop_missing"}.isdisjoint(raised)
    assert raised["killed"] == 1


@pytest.mark.slow
async def test_an_end_by_an_error_is_told_as_one_and_passes_nothing(receiver: Receiver) -> None:
    stage = Stage(receiver)
    async with stage.operations:
        stage.overview.redis_wanted = True
        await receiver.until("redis")
        stage.overview.is_ending = True
        stage.overview.phase, stage.overview.problem = Status.ERROR, "the journal is full"
        await asyncio.sleep(1.2)
    await receiver.until("died")
    assert "the journal is full" in receiver.got[-1]["message"]
    assert "redis_passed" not in receiver.codes


@pytest.mark.slow
async def test_a_trade_that_opens_is_told_where_it_is_asked_for(receiver: Receiver) -> None:
    stage = Stage(receiver)
    async with stage.operations:
        outcome = stage.desk.close({"BTCUSDT": LONG_ROW})
        stage.after(Tick(now_ms=1), decisions=outcome.decisions)
        await receiver.until("trade_opened")


@pytest.mark.slow
async def test_the_dead_mans_switch_is_pinged_only_while_all_is_well(receiver: Receiver) -> None:
    stage = Stage(receiver, urls=SecretStr(""))
    async with stage.operations:
        async with asyncio.timeout(10.0):
            while receiver.pings < 3:  # noqa: ASYNC110 - a bounded look
                await asyncio.sleep(0.02)
        stage.lease.left = 0
        await asyncio.sleep(0.3)
        silent_from = receiver.pings
        await asyncio.sleep(0.5)
        assert receiver.pings == silent_from
    dead_man = stage.operations.dead_man
    assert dead_man is not None
    assert dead_man.pings >= 3


@pytest.mark.servers
@pytest.mark.parametrize("mood", ["hangs", "down"])
async def test_a_sick_service_never_delays_a_heartbeat(
    mood: str, receiver: Receiver, valkey_url: str
) -> None:
    """A thousand errors told to a service that hangs, or is down: the heart beats on."""
    receiver.mood = mood
    stage = Stage(receiver, timeout_ms=500)
    redis = Redis.from_url(valkey_url, decode_responses=True)
    publisher = Publisher(
        redis, Keys(f"sick-{mood}:"), stage.overview, stage.clock, interval_ms=200,
        holds_lease=lambda: True,
    )  # fmt: skip
    async with stage.operations:
        beating = asyncio.create_task(publisher.run())
        for number in range(1_000):
            stage.operations.alerts.tell(an_alert("error", Level.CRITICAL, about=str(number)))
            if number % 100 == 0:
                await asyncio.sleep(0.1)
        async with asyncio.timeout(30.0):
            counters = stage.overview.counters
            while counters.heartbeats < 15 or not receiver.asked:  # noqa: ASYNC110 - a bounded look
                await asyncio.sleep(0.02)
        beating.cancel()
    assert stage.overview.counters.max_heartbeat_gap_s <= 10.0
    assert receiver.got == []
    assert stage.operations.alerts.told.dropped >= 800, "the queue is bounded"
    await redis.aclose()


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_alerts_test_on_the_command_line(receiver: Receiver, tmp_path: Path) -> None:
    async def run(url: str) -> tuple[int, str]:
        config = tmp_path / "executor.toml"
        sections: dict[str, dict[str, object]] = {
            "venue": {"url": "http://h", "ws_url": "ws://h", "api_key": "k", "api_secret": "s"},
            "alerts": {"urls": url, "timeout_ms": 3_000},
        }
        config.write_text(toml(sections))
        command = [sys.executable, "-m", "executor", "alerts", "test", "--config", str(config)]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    assert await run(receiver.alert_url) == (0, "every service took a message of each level\n")
    assert receiver.codes == ["test", "test", "test"]
    code, said = await run(receiver.alert_url + ", nosuch://5ecret-t0ken")
    assert code == 1
    assert "address 2 is not one that Apprise knows" in said
    assert "5ecret" not in said
