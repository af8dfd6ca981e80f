"""Commands: taken once, answered, journaled; nothing forged, old or foreign is obeyed."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import aiohttp
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from redis.asyncio import Redis

from executor.clock import SystemClock
from executor.control.desk import SEEN_KEPT, STALE_MS, CommandDesk
from executor.control.names import NAMES
from executor.control.signatures import is_signed, signature
from executor.control.stream import LOST_LOOK_S, Commands
from executor.core.contract import Keys, Status
from executor.core.events import Command
from executor.core.types import Outcome
from executor.counters import Counters
from executor.errors import JournalError
from executor.health.overview import Overview
from executor.health.server import HealthServer
from executor.journal.store import Journal
from executor.parts import Parts
from executor.settings.sections import Control
from executor.settings.settings import Settings
from features.signals import SignalParams
from tests.support.clocks import FakeClock
from tests.support.trading import LONG_ROW, Desk

TOKEN = "control-token-0123456789"
numbers = itertools.count()


@dataclass
class Bench:
    """A command desk with what it passed on."""

    folder: Path
    token: str = ""
    held: bool = True
    writes: bool = True  # the trader's journal, at once; else `written` says when
    clock: FakeClock = field(default_factory=FakeClock)
    core: Desk = field(default_factory=Desk)
    taken: list[Command] = field(default_factory=list)
    found: SignalParams | None = None

    def __post_init__(self) -> None:
        self.journal = Journal(self.folder / f"j{next(numbers)}.db")
        self.parts = Parts(state=self.core.state, params=self.core.params)
        self.desk = self.make()

    def make(self) -> CommandDesk:
        return CommandDesk(
            self.journal,
            self.clock,
            self.parts,
            token=self.token,
            put=self.put,
            market_ms=lambda: 77,
            reload=self.reload,
            holds_lease=lambda: self.held,
        )

    def put(self, command: Command) -> None:
        self.taken.append(command)
        if self.writes:
            self.desk.after(command, Outcome())

    def written(self) -> None:
        """Let the trader have journaled everything that it was given."""
        for command in self.taken:
            self.desk.after(command, Outcome())

    async def reload(self, judge: Callable[[SignalParams], str]) -> str:
        return judge(self.found) if self.found is not None else "nothing new"

    async def give(self, body: Any, **more: Any) -> tuple[str, str]:
        answer = await self.desk.take(body, **more)
        return answer.verdict, answer.text

    async def set_by(self, redis: Redis) -> None:
        """Set the clock by Redis, which numbers commands by its own."""
        seconds, microseconds = await redis.time()
        self.clock._now_ms = int(seconds) * 1000 + int(microseconds) // 1000

    def signed(self, name: str, **more: Any) -> dict[str, Any]:
        body = {"id": f"id-{next(numbers)}", "time_ms": self.clock.now_ms(), "name": name, **more}
        return {**body, "signature": signature(body, self.token)}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def locked(tmp_path: Path) -> Bench:
    return Bench(tmp_path, token=TOKEN)


@pytest.mark.parametrize(
    ("name", "stops"),
    [("kill", True), ("flatten", True), ("pause", True), ("resume", False), ("reset", False)],
)
async def test_what_was_read_and_not_handled_yet_stops_entries(
    bench: Bench, name: str, stops: bool
) -> None:
    bench.writes = False
    assert not bench.desk.is_stopping()
    for number in range(2):
        await bench.give({"name": name}, entry_id=f"{number}-0")
    assert bench.desk.is_stopping() is stops
    bench.desk.after(bench.taken[0], Outcome())
    assert bench.desk.is_stopping() is stops, "the second one waits still"
    bench.desk.after(bench.taken[1], Outcome())
    assert not bench.desk.is_stopping(), "now the guard shows it"


@pytest.mark.parametrize("name", ["pause", "resume", "kill", "flatten", "reset"])
async def test_a_command_is_taken_with_who_and_when(bench: Bench, name: str) -> None:
    assert await bench.give({"name": name, "who": "me"}) == ("taken", f"{name} by me")
    assert bench.taken == [Command(name=name, time_ms=77, who="me")]


async def test_reload_is_journaled_too_and_says_what_came_of_it(bench: Bench) -> None:
    assert await bench.give({"name": "reload", "who": "me"}) == ("done", "nothing new")
    assert [command.name for command in bench.taken] == ["reload"]


async def test_reload_shows_the_replays_verdict_on_the_parameters_of_what_it_found(
    bench: Bench,
) -> None:
    model = bench.core.state.model
    assert model is not None
    bench.found = model.info.signal
    assert await bench.give({"name": "reload"}) == ("done", "its parameters are those in use")
    bench.found = replace(model.info.signal, momentum_threshold=0.02)
    _, text = await bench.give({"name": "reload"})
    assert "momentum_threshold=0.02" in text
    assert "0 bars, too few" in text
    for _ in range(100):
        bench.core.close({"BTCUSDT": LONG_ROW})
    assert "the replay of 100 bars says" in (await bench.give({"name": "reload"}))[1]


async def test_the_same_command_again_changes_nothing_and_gets_the_same_answer(
    bench: Bench,
) -> None:
    first = await bench.give({"id": "a", "name": "pause"})
    again = await bench.give({"id": "a", "name": "pause"})
    assert (first[0], again[0]) == ("taken", "taken")
    assert "given before" in again[1]
    bench.desk = bench.make()
    assert "given before" in (await bench.give({"id": "a", "name": "pause"}))[1]
    assert len(bench.taken) == 1, "not after a restart either"
    for number in range(SEEN_KEPT + 5):
        await bench.give({"id": str(number), "name": "pause"})
    assert len(json.loads(bench.journal.meta("commands_seen") or "{}")) == SEEN_KEPT


async def test_forged_or_changed_commands_are_refused(locked: Bench) -> None:
    good = locked.signed("pause", who="me")
    forged = [
        {"name": "pause"},
        {"name": "kill", "who": "mallory"},
        {**good, "name": "resume"},
        {**good, "who": "mallory"},
        {**good, "force": True},
        {**good, "id": "another"},
        {**good, "signature": "0" * 64},
        {**good, "signature": None},
        {**good, "signature": "\u00e9" * 64},
        {**good, "signature": signature({**good}, "another-token-000000")},
    ]
    for body in forged:
        assert await locked.give(body) == ("refused", "the signature is missing or wrong")
    unnamed = {"name": "pause"}
    assert (
        "id and the time"
        in (await locked.give({**unnamed, "signature": signature(unnamed, TOKEN)}))[1]
    )
    assert locked.taken == []
    assert (await locked.give(good))[0] == "taken"
    assert "given before" in (await locked.give(good))[1], "a replayed command is not obeyed twice"
    assert len(locked.taken) == 1


async def test_an_old_command_is_not_obeyed_but_a_genuine_kill_is(locked: Bench) -> None:
    resume, kill = locked.signed("resume"), locked.signed("kill")
    locked.clock.pass_s(STALE_MS / 1000 + 60)
    verdict, text = await locked.give(resume)
    assert (verdict, "360 s ago" in text) == ("refused", True)
    assert (await locked.give(kill))[0] == "taken", "given while nobody listened"
    assert (await locked.give(kill))[1].endswith("given before)"), "and not a second time"
    assert [command.name for command in locked.taken] == ["kill"]
    early = locked.signed("resume")
    locked.clock.pass_s(-STALE_MS / 1000 - 60)
    assert (await locked.give(early))[0] == "refused", "nor one from the future"


async def test_while_the_lease_is_elsewhere_only_what_is_said_of_the_bot_is_obeyed(
    bench: Bench,
) -> None:
    bench.held = False
    for name in ("reload", "set", "revert"):
        assert (await bench.give({"name": name, "arguments": {}}))[0] == "elsewhere"
    assert bench.taken == []
    for name in ("kill", "flatten"):
        assert (await bench.give({"name": name}))[0] == "taken"
    for name in ("pause", "resume", "reset"):
        assert await bench.give({"name": name}) == (
            "elsewhere",
            "the lease is held elsewhere; noted here",
        )
    assert [command.name for command in bench.taken] == [
        "kill",
        "flatten",
        "pause",
        "resume",
        "reset",
    ]


async def test_what_ends_a_kill_is_read_in_order_however_late(locked: Bench) -> None:
    """A standby that takes over a day later must not close everything because of an old kill."""
    kill, reset = locked.signed("kill"), locked.signed("reset")
    entry = f"{locked.clock.now_ms()}-0"
    locked.clock.pass_s(86_400.0)
    for body in (kill, reset):
        assert (await locked.give(body, entry_id=entry, age_ms=86_400_000))[0] == "taken"
    replayed = locked.signed("reset", time_ms=locked.clock.now_ms() - 86_400_000)
    now = f"{locked.clock.now_ms()}-0"
    assert (await locked.give(replayed, entry_id=now))[0] == "refused", "given long before"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("pause", "write {"),
        ([], "write {"),
        ({"name": 3}, "write {"),
        ({"name": "puase"}, "did you mean 'pause'"),
        ({"name": "set", "arguments": [1]}, "arguments"),
        ({"name": "set", "arguments": {"x": None}}, "arguments"),
        ({"name": "set"}, "name a parameter"),
        ({"name": "set", "arguments": {"momentum_treshold": 1}}, "did you mean 'momentum_thresh"),
        ({"name": "set", "arguments": {"momentum_threshold": "much"}}, "from 0.002 to 0.02"),
        ({"name": "set", "arguments": {"momentum_threshold": 0.5}}, "from 0.002 to 0.02"),
        ({"name": "set", "arguments": {"momentum_threshold": "nan"}}, "from 0.002 to 0.02"),
    ],
)
async def test_what_is_no_command_is_answered_and_not_obeyed(
    bench: Bench, body: Any, said: str
) -> None:
    verdict, text = await bench.give(body)
    assert (verdict, said in text) == ("refused", True), text
    assert bench.taken == []


async def test_set_shows_the_replays_verdict_and_needs_force_against_it(bench: Bench) -> None:
    change = {"name": "set", "arguments": {"momentum_threshold": 0.01}}
    verdict, text = await bench.give(change)
    assert (verdict, "0 bars, too few" in text, "--force" in text) == ("refused", True, True)
    for _ in range(100):
        bench.core.close({"BTCUSDT": LONG_ROW})
    before = bench.core.state.adaptive()
    verdict, text = await bench.give(change)
    assert verdict == "refused", "nothing shows that it is better"
    assert "the replay of" in text
    assert bench.core.state.adaptive() == before, "a verdict changes nothing"
    verdict, text = await bench.give({**change, "force": True})
    assert (verdict, text.endswith("forced")) == ("taken", True)
    assert bench.taken[-1].arguments == {"momentum_threshold": 0.01}
    verdict, text = await bench.give({"name": "revert", "who": "me"})
    assert verdict == "taken", "what the gate judged needs no force"
    assert text.startswith("back to the model's own, by me; the replay of")
    model = bench.core.state.model
    assert model is not None
    for name, value in bench.taken[-1].arguments.items():
        assert value == getattr(model.info.signal, name), "back to the model's own"
    assert len(bench.taken[-1].arguments) == 6


async def test_the_answer_says_what_goes_on_holding_entries_back(bench: Bench) -> None:
    guard = bench.core.state.guard
    guard.killed = "killed by me"
    text = "resume by me; entries stay halted (killed by me) until a reset"
    assert await bench.give({"name": "resume", "who": "me"}) == ("taken", text)
    guard.killed, guard.paused = "", True
    text = "reset by me; entries stay paused until a resume"
    assert await bench.give({"name": "reset", "who": "me"}) == ("taken", text)
    assert await bench.give({"name": "resume", "who": "me"}) == ("taken", "resume by me")


async def test_what_is_set_is_a_number_whatever_way_it_came(bench: Bench) -> None:
    change = {"name": "set", "arguments": {"momentum_threshold": "0.006"}, "force": True}
    assert (await bench.give(change))[0] == "taken"
    assert bench.taken[-1].arguments == {"momentum_threshold": 0.006}
    bench.core.do(bench.taken[-1])
    assert bench.core.state.adaptive()["momentum_threshold"] == 0.006


async def test_a_kill_is_verified_against_the_venue(bench: Bench) -> None:
    class Looks:
        """A reconciler that asks when it is nudged."""

        problem, asked_at = "", -1e9

        @property
        def age_ms(self) -> int:
            return int((bench.clock.monotonic() - self.asked_at) * 1000)

        def nudge(self, missed: bool) -> None:
            self.asked_at = bench.clock.monotonic()

    bench.parts.reconciler = Looks()  # type: ignore[assignment]  # a fake
    assert (await bench.desk.verified_flat()).verdict == "done"
    (intent,) = bench.core.close({"BTCUSDT": LONG_ROW}).intents
    bench.core.fill(intent)
    answer = await bench.desk.verified_flat()
    assert (answer.verdict, "BTCUSDT" in answer.text) == ("failed", True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
fields = st.dictionaries(
    st.sampled_from(["name", "who", "arguments", "id", "time_ms", "force", "signature", "x"]),
    json_values | st.sampled_from(NAMES),
)


@given(fields | json_values)
def test_no_message_passes_without_the_token(body: Any) -> None:
    assert not (isinstance(body, dict) and is_signed(body, TOKEN))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.lists(fields | json_values, max_size=5))
async def test_whatever_is_said_gets_an_answer(tmp_path: Path, bodies: list[Any]) -> None:
    bench = Bench(tmp_path)
    for body in bodies:
        verdict, text = await bench.give(body)
        assert verdict in {"taken", "done", "refused"}
        assert text
    bench.journal._db.close()


class Served:
    """The HTTP surface of an executor with a command desk."""

    def __init__(self, folder: Path, token: str) -> None:
        self.bench = Bench(folder, token=token)
        self.overview = Overview(
            settings=Settings(control=Control(token=SecretStr(token))),
            clock=SystemClock(),
            counters=Counters(),
        )
        self.overview.phase = Status.RUNNING
        self.overview.parts.state = self.bench.core.state
        self.overview.parts.params = self.bench.core.params
        self.overview.commands.desk = self.bench.desk
        self.server = HealthServer(self.overview, "127.0.0.1", 0)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    served = Served(tmp_path, TOKEN)
    async with served.server:
        yield served


async def test_http_takes_commands_from_who_has_the_token(served: Served) -> None:
    url, body = served.server.url, b'{"name": "pause", "who": "me", "id": "1"}'
    async with aiohttp.ClientSession() as session:
        for path, method in (("/commands", "POST"), ("/status", "GET"), ("/nothing", "GET")):
            for headers in (
                {}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN},
                {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer "},
                {"Authorization": "Bearer \u00e9"},
            ):  # fmt: skip
                async with session.request(method, url + path, data=body, headers=headers) as reply:
                    assert reply.status == 401
        assert served.bench.taken == []
        for path in ("/health", "/metrics"):
            async with session.get(url + path) as reply:
                assert reply.status == 200, "open on loopback"
        held = {"Authorization": f"Bearer {TOKEN}"}
        async with session.post(url + "/commands", data=body, headers=held) as reply:
            assert (reply.status, (await reply.json())["verdict"]) == (202, "taken")
        async with session.post(url + "/commands", data=body, headers=held) as reply:
            assert "given before" in (await reply.json())["text"]
        async with session.get(url + "/status", headers=held) as reply:
            assert reply.status == 200
            assert TOKEN not in await reply.text()
    assert served.bench.taken == [Command(name="pause", time_ms=77, who="me")]


async def test_an_instance_that_stands_by_says_so(served: Served) -> None:
    served.overview.commands.desk = None
    served.overview.commands.not_yet = "standing by: 7:host-1 holds the lease"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(served.server.url + "/commands", data=b'{"name": "kill"}') as reply,
    ):
        said = await reply.json()
    assert (reply.status, said["verdict"]) == (409, "elsewhere")
    assert "7:host-1 holds the lease" in said["text"]


async def test_without_a_token_nobody_commands_by_http(tmp_path: Path) -> None:
    served = Served(tmp_path, "")
    async with served.server, aiohttp.ClientSession() as session:
        async with session.post(served.server.url + "/commands", data=b"{}") as reply:
            assert reply.status == 401
        async with session.get(served.server.url + "/status") as reply:
            assert reply.status == 200, "open to this machine"


paths = st.sampled_from(["/", "/health", "/status", "/metrics", "/commands", "/x", "/%2e%2e", "//"])
headers = st.dictionaries(
    st.sampled_from(["Authorization", "Content-Type", "X-Y", "Expect", "Host"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
)


async def say(port: int, text: bytes) -> bytes:
    """Send raw bytes to a socket and return everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    await writer.drain()
    try:
        async with asyncio.timeout(20.0):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.slow
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None
)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"]),
    path=paths,
    query=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=10),
    extra=headers,
    body=st.binary(max_size=60) | (fields | json_values).map(lambda v: json.dumps(v).encode()),
    with_token=st.booleans(),
)
async def test_the_http_surface_never_breaks(
    served: Served,
    method: str,
    path: str,
    query: str,
    extra: dict[str, str],
    body: bytes,
    with_token: bool,
) -> None:
    """Raw bytes on a socket: the answer is below 500 (but /health's 503), or 401 without token."""
    port = int(served.server.url.rsplit(":", 1)[1])
    sent = {"Host": "127.0.0.1", **extra}
    if with_token:
        sent["Authorization"] = f"Bearer {TOKEN}"
    lines = [f"{method} {path}?{query} HTTP/1.1", "Connection: close"]
    lines += [f"{key}: {value}" for key, value in sent.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    served.bench.taken.clear()
    reply = await say(port, "\r\n".join(lines).encode("latin-1") + body)
    code = int(reply.split(b" ", 2)[1]) if reply else 400
    assert code < 500 or (path == "/health" and code == 503), reply
    assert TOKEN.encode() not in reply
    if with_token:
        return
    assert served.bench.taken == []
    if path in ("/status", "/commands", "/x"):
        assert code in (400, 401, 417), reply


@pytest.mark.servers
async def test_the_stream_is_read_once_in_order_across_restarts(
    bench: Bench, valkey_url: str
) -> None:
    redis = Redis.from_url(valkey_url, decode_responses=True)
    keys = Keys(f"told-{bench.folder.name}:")
    await bench.set_by(redis)
    answers: list[dict[str, str]] = []

    def reader() -> Commands:
        return Commands(
            redis, keys, bench.journal, bench.clock, desk=bench.desk, answer=answers.append
        )

    commands = reader()
    await redis.xadd(keys.commands, {"command": '{"name": "set", "who": "before"}'})
    await commands._look()
    assert bench.taken == [], "what was said before the first start is not for us"
    await redis.xadd(keys.commands, {"command": '{"name": "pause", "who": "me"}'})
    await commands._look()
    await commands._look()
    await redis.xadd(keys.commands, {"command": "pause"})
    await redis.xadd(keys.commands, {"x": "y"})
    await commands._look()
    said = [orjson.loads(answer["answer"]) for answer in answers]
    assert [answer["verdict"] for answer in said] == ["taken", "refused", "refused"]
    await redis.xadd(keys.commands, {"command": '{"name": "resume"}'})
    await reader()._look()
    assert [command.name for command in bench.taken] == ["pause", "resume"]
    bench.held = False
    await redis.xadd(keys.commands, {"command": '{"name": "pause"}'})
    await commands._look()
    newest: Any = await redis.xrevrange(keys.events, count=1)
    assert "elsewhere" in newest[0][1]["answer"], "a standby answers although it never beats"
    await redis.aclose()


@pytest.mark.servers
@pytest.mark.parametrize("name", ["kill", "flatten", "pause"])
async def test_a_command_is_taken_again_where_the_process_died_before_the_journal_had_it(
    bench: Bench, valkey_url: str, name: str
) -> None:
    """Found by seed 100: a crash amid a kill, and the next process entered."""
    redis = Redis.from_url(valkey_url, decode_responses=True)
    keys = Keys(f"amid-{bench.folder.name}-{name}:")
    await bench.set_by(redis)
    bench.writes = False

    async def start() -> list[str]:
        """Start the reader anew; return what it takes."""
        bench.taken.clear()
        bench.desk = bench.make()
        await Commands(
            redis, keys, bench.journal, bench.clock, desk=bench.desk, answer=lambda fields: None
        ).catch_up()
        return [str(command.name) for command in bench.taken]

    read = await redis.xadd(keys.commands, {"command": '{"name": "resume"}'})
    bench.journal.set_meta("command_cursor", str(read))
    body = orjson.dumps({"name": name, "id": f"given-once-{name}"}).decode()
    await redis.xadd(keys.commands, {"command": body})
    assert await start() == [name]
    await redis.xadd(keys.commands, {"command": '{"name": "reload"}'})
    assert await start() == [name, "reload"], "died before the journal had it"
    bench.desk.after(bench.taken[0], Outcome())
    assert await start() == [name, "reload"], "died with the second of them unwritten"
    bench.written()
    assert await start() == [], "each was taken, and is known"
    await redis.aclose()


@pytest.mark.servers
@pytest.mark.parametrize("token", ["", TOKEN])
async def test_a_kill_is_put_on_the_stream_again_where_redis_lost_it(
    tmp_path: Path, valkey_url: str, token: str
) -> None:
    """Found by seed 1420: a machine that was down during the kill took over and entered."""
    redis = Redis.from_url(valkey_url, decode_responses=True)
    keys = Keys(f"lost-{tmp_path.name}-{token}:")
    seconds, microseconds = await redis.time()
    bench = Bench(tmp_path, token)
    bench.clock._now_ms = int(seconds) * 1000 + int(microseconds) // 1000

    def reader(one: Bench) -> Commands:
        return Commands(
            redis, keys, one.journal, one.clock, desk=one.desk, answer=lambda fields: None
        )

    async def look_later() -> None:
        bench.clock.pass_s(LOST_LOOK_S)
        await knows._look()

    knows = reader(bench)
    body = bench.signed("kill") if token else {"name": "kill"}
    await redis.xadd(keys.commands, {"command": orjson.dumps(body).decode()})
    await knows._look()
    bench.core.state.guard.killed = "killed by me"
    await look_later()
    assert await redis.xlen(keys.commands) == 1, "nothing was lost"
    await redis.delete(keys.commands)
    await look_later()
    await look_later()
    assert await redis.xlen(keys.commands) == 1
    assert len(bench.taken) == 1, "who gave it again knows of it"
    other = Bench(tmp_path, token, clock=bench.clock)
    await reader(other).catch_up()
    assert [command.name for command in other.taken] == ["kill"]
    bench.core.state.guard.killed = ""
    await redis.delete(keys.commands)
    await look_later()
    assert await redis.xlen(keys.commands) == 0, "it is over"
    await redis.aclose()


async def test_a_disk_that_is_full_keeps_no_command_back(bench: Bench) -> None:
    class Full:
        def set_meta(self, key: str, value: str) -> None:
            raise JournalError("no space left")

    journal, bench.desk._journal = bench.journal, cast("Journal", Full())
    assert await bench.give({"id": "a", "name": "kill"}) == ("taken", "kill by somebody")
    bench.desk._journal = journal
    assert await bench.give({"id": "b", "name": "pause"}) == ("taken", "pause by somebody")
    bench.desk = bench.make()
    assert "given before" in (await bench.give({"id": "a", "name": "kill"}))[1]


@pytest.mark.servers
async def test_a_machine_that_read_nothing_yet_obeys_a_kill_that_is_in_force(
    bench: Bench, valkey_url: str
) -> None:
    """A standby on a machine of its own takes over: the kill switch is latched there, too."""
    redis = Redis.from_url(valkey_url, decode_responses=True)
    keys = Keys(f"latched-{bench.folder.name}:")
    await bench.set_by(redis)

    def reader() -> Commands:
        return Commands(
            redis, keys, bench.journal, bench.clock, desk=bench.desk, answer=lambda fields: None
        )

    for name in ("kill", "reset"):
        await redis.xadd(keys.commands, {"command": f'{{"name": "{name}"}}'})
    await reader().catch_up()
    assert bench.taken == [], "a reset came after it"
    bench.journal.set_meta("command_cursor", "")
    for name in ("pause", "kill", "set"):
        await redis.xadd(keys.commands, {"command": f'{{"name": "{name}"}}'})
    await reader().catch_up()
    assert [command.name for command in bench.taken] == ["pause", "kill"]
    bench.taken.clear()
    bench.journal.set_meta("command_cursor", "")
    for name in ("reset", "flatten", "resume", "flatten", "pause"):
        await redis.xadd(keys.commands, {"command": f'{{"name": "{name}"}}'})
    await reader().catch_up()
    assert [command.name for command in bench.taken] == ["flatten", "pause"]
    await redis.aclose()
