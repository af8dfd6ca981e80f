"""The executor in operation, as a person meets it: commands, alerts, health, and no secret.

One program on the paper exchange, with every secret a canary; at the end everything that it said to
anybody is searched for them.
"""

import asyncio
import getpass
import json
import signal
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from redis.asyncio import Redis

from executor.control.signatures import signature
from executor.core.contract import Keys
from tests.support.bundles import small_bundle
from tests.support.executor_program import ExecutorProgram
from tests.support.mlflow_fake import FakeMlflow
from tests.support.paper import paper_program
from tests.support.receiver import Receiver
from tests.support.staging import Stage, paper_arguments
from tests.support.walking import walking

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(150)]
KEY, SECRET, TOKEN = "CANARYkey00001", "CANARYsecret00002", "CANARYtoken000003"
PASSWORD, REGISTRY_PASSWORD, BACKUP_TOKEN = "CANARYpass00004", "CANARYmlf00005", "CANARYbak00006"
CANARIES = (
    KEY, SECRET, TOKEN, PASSWORD, REGISTRY_PASSWORD, BACKUP_TOKEN, "5ca1ab1e-0000-4000",
)  # fmt: skip


@dataclass
class Operated:
    """A stage whose secrets are canaries, and the ears of whoever is told."""

    stage: Stage
    receiver: Receiver
    heard: list[str]

    @property
    def registry_url(self) -> str:
        return self.stage.mlflow.url.replace("://", f"://user:{REGISTRY_PASSWORD}@")

    @property
    def keys(self) -> Keys:
        return Keys(f"{self.stage.folder.name}:")

    def program(self) -> ExecutorProgram:
        alert_url = self.receiver.alert_url.replace("://", f"://user:{PASSWORD}@")
        changes: dict[str, dict[str, object]] = {
            "control": {"token": TOKEN},
            "alerts": {"urls": alert_url, "ping_url": self.receiver.ping_url,
                       "ping_interval_ms": 300, "hourly_max": 5_000},
            "health": {"report_interval_ms": 1_000},
            "model": {"registry_url": self.registry_url},
            "backup": {"url": self.receiver.ping_url + f"?token={BACKUP_TOKEN}",
                       "interval_ms": 10_000},
        }  # fmt: skip
        return self.stage.program(changes=changes)

    async def tell(self, program: ExecutorProgram, *arguments: str) -> tuple[int, str]:
        code, said = await program.told(*arguments)
        self.heard.append(said)
        return code, said


@pytest.fixture
async def operated(tmp_path: Path, valkey_url: str) -> AsyncIterator[Operated]:
    arguments = [*paper_arguments(5_000), "--api-key", KEY, "--api-secret", SECRET]
    with paper_program(*arguments) as paper:
        async with FakeMlflow() as mlflow, Receiver() as receiver:
            mlflow.register(small_bundle())
            known = replace(paper, api_key=KEY, secret=SECRET)
            async with walking(paper):
                yield Operated(Stage(tmp_path, known, mlflow, valkey_url), receiver, [])


async def everything_said(operated: Operated, program: ExecutorProgram) -> str:
    """Return all that the program wrote or told: logs, journal, summary, Redis, HTTP, alerts."""
    heard = [*operated.heard, json.dumps(operated.receiver.got)]
    heard += [p.read_text(errors="replace") for p in operated.stage.folder.glob("executor.*log*")]
    heard += [p.read_text(errors="replace") for p in operated.stage.folder.glob("executor.json*")]
    heard.append(program.summary.read_text())
    with sqlite3.connect(program.journal) as journal:
        heard += list(journal.iterdump())
    redis: Any = Redis.from_url(operated.stage.redis_url, decode_responses=True)
    async with redis:
        async for key in redis.scan_iter(f"{operated.stage.folder.name}:*"):
            match await redis.type(key):
                case "string":
                    heard.append(str(await redis.get(key)))
                case "hash":
                    heard.append(str(await redis.hgetall(key)))
                case "list":
                    heard.append(str(await redis.lrange(key, 0, -1)))
                case _:
                    heard.append(str(await redis.xrange(key)))
    return "\n".join(heard)


async def test_a_person_is_never_left_guessing(operated: Operated) -> None:
    """Status, pause, resume, a forged kill, a kill; each answered, told, journaled; no secret."""
    program, receiver = operated.program(), operated.receiver
    async with program:
        await program.until_running()
        await receiver.until("started", "model_swapped")
        code, said = await operated.tell(program, "status")
        assert (code, json.loads(said)["alerts"]["configured"]) == (0, True)
        assert await operated.tell(program, "pause", "--who", "ann") == (0, "taken: pause by ann\n")
        await program.until(lambda s: s["status"] == "PAUSED", "paused")
        for body, code in (
            (b'{"name": "resume", "who": "ann"}', 202),
            (b'{"name": "set", "arguments": {"momentum_threshold": 9}}', 400),
            (b'{"name": "revert"}', 202),
            (b'{"name": "reload"}', 200),
        ):
            got, said = await answer(program.url + "/commands", TOKEN, body)
            operated.heard.append(said)
            assert got == code, said
        await set_by_hand(operated, program)
        await forged(operated)
        await refused_without_token(operated, program)
        await program.until(lambda s: bool(s["positions"]), "in a position", 60.0)
        code, said = await operated.tell(program, "flatten", "--who", "cid")
        assert (code, "done: flat, and the venue confirms it" in said) == (0, True), said
        await program.until(lambda s: s["status"] == "PAUSED" and not s["positions"], "flat")
        assert await operated.tell(program, "resume") == (
            0,
            f"taken: resume by {getpass.getuser()}\n",
        )
        operated.stage.mlflow.down = True  # what its address holds would be said now
        await program.until(lambda s: "registry" in str(s["health"]["reasons"]), "complaining")
        await program.until(lambda s: bool(s["positions"]), "in a position again", 60.0)
        code, said = await operated.tell(program, "kill", "--who", "bob")
        assert (code, "done: flat, and the venue confirms it" in said) == (0, True), said
        status = await program.until(lambda s: s["status"] == "HALTED", "halted")
        assert status["positions"] == []
        assert (await operated.tell(program, "check"))[0] == 1, "a container sees it"
        code, said = await operated.tell(program, "resume")
        assert (code, "entries stay halted (killed by bob) until a reset" in said) == (0, True)
        assert (await program.get())[1]["status"] == "HALTED", "a latch is no pause"
        assert await operated.tell(program, "reset", "--who", "ann") == (0, "taken: reset by ann\n")
        await program.until(lambda s: s["status"] in {"RUNNING", "DEGRADED"}, "trading again")
        await receiver.until("killed", "paused", "resumed", "params_adopted", "reset")
        for path in ("/health", "/metrics", "/status"):
            operated.heard.append(str(await answer(program.url + path, TOKEN)))
        program.signal(signal.SIGTERM)
        assert await program.stopped(20.0) == 0
    await receiver.until("stopped")
    assert receiver.pings > 0
    with sqlite3.connect(program.journal) as journal:
        rows = journal.execute("SELECT body FROM events WHERE kind = 'Command'").fetchall()
    journaled = [(body["name"], body["who"]) for (text,) in rows for body in [json.loads(text)]]
    assert ("pause", "ann") in journaled
    assert ("kill", "bob") in journaled
    assert ("kill", "mallory") not in journaled
    said = await everything_said(operated, program)
    assert "health_report" in said
    assert len(said) > 20_000
    for canary in CANARIES:
        assert canary not in said, said[said.index(canary) - 200 : said.index(canary) + 50]


async def set_by_hand(operated: Operated, program: ExecutorProgram) -> None:
    """Set a parameter on the command line, as text: it arrives as a number and is in force."""
    name = "momentum_threshold"
    code, said = await operated.tell(program, "set", f"{name}=0.0065")
    assert (code, "--force" in said) == (1, True), said
    code, said = await operated.tell(program, "set", f"{name}=0.0065", "--force", "--who", "ann")
    assert (code, said.startswith("taken: the replay")) == (0, True), said
    await program.until(lambda s: s["adaptive_params"][name] == 0.0065, "set")
    code, said = await operated.tell(program, "revert", "--who", "ann")
    assert (code, "back to the model's own, by ann" in said) == (0, True), said
    await program.until(lambda s: s["adaptive_params"][name] == 0.004, "reverted")


async def forged(operated: Operated) -> None:
    """Give commands that are not signed, or signed with another token: nothing happens."""
    keys = operated.keys
    redis: Any = Redis.from_url(operated.stage.redis_url, decode_responses=True)
    async with redis:
        newest = await redis.xrevrange(keys.events, count=1)
        body: dict[str, Any] = {"name": "kill", "who": "mallory", "id": "1", "time_ms": 1}
        for token in ("", "another-token-00000"):
            signed = {**body, "signature": signature(body, token)} if token else body
            await redis.xadd(keys.commands, {"command": orjson.dumps(signed).decode()})
        refused = 0
        async with asyncio.timeout(20.0):
            while refused < 2:  # a bounded look
                rows = await redis.xrange(keys.events, f"({newest[0][0]}")
                said = [json.loads(fields.get("answer", "{}")) for _, fields in rows]
                refused = sum("signature" in answer.get("text", "") for answer in said)
                await asyncio.sleep(0.05)


async def answer(url: str, token: str, body: bytes | None = None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    method = "GET" if body is None else "POST"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, url, data=body) as reply,
    ):
        return reply.status, await reply.text()


async def refused_without_token(operated: Operated, program: ExecutorProgram) -> None:
    kill = b'{"name": "kill", "who": "mallory"}'
    for token in ("", "wrong-token-0000000"):
        code, said = await answer(program.url + "/commands", token, kill)
        operated.heard.append(said)
        assert code == 401
        assert (await answer(program.url + "/status", token))[0] == 401
    assert (await answer(program.url + "/health", ""))[0] in (200, 503)


async def test_a_kill_gets_through_over_http_while_redis_is_away(operated: Operated) -> None:
    program = operated.program()
    async with program:
        await program.until(lambda s: bool(s["positions"]), "in a position", 60.0)
        text = program.config.read_text()
        program.config.write_text(text.replace(operated.stage.redis_url, "redis://127.0.0.1:1/0"))
        code, said = await program.told("kill", "--who", "ann")
        assert (code, said.strip()) == (0, "done: flat, and the venue confirms it"), said
        await program.until(lambda s: s["status"] == "HALTED" and not s["positions"], "flat")
