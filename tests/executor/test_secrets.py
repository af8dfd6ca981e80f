"""No secret anywhere: one program whose every secret is a canary, and all that it ever puts out.

Secrets come in every way there is (environment, `*_FILE`, `.env`, other tools' names). What is
searched: the terminal, the log files, every byte of the journal, its backups, the whole of Redis,
every answer over HTTP, every alert, what the command line prints, and the processes' arguments;
while all is well, and while Redis, MLflow and the exchange refuse the secret they are shown.
"""

import base64
import json
import signal
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest
from redis.asyncio import Redis

from executor.__main__ import main
from executor.journal.backup import Plan, Sources, make
from executor.venue import lean_ccxt
from executor.venue.errors import classify
from tests.support.bundles import small_bundle
from tests.support.executor_program import ExecutorProgram
from tests.support.mlflow_fake import FakeMlflow
from tests.support.paper import paper_program
from tests.support.receiver import Receiver
from tests.support.staging import Stage, paper_arguments
from tests.support.walking import walking

KEY, SECRET, TOKEN = "CANARYkey10001", "CANARYsecret10002", "CANARYtoken0000010003"
REDIS, REGISTRY, BACKUP = "CANARY/red:s%10004", "CANARYmlf10005", "CANARYbak10006"
ALERT, PING, WRONG = "CANARYalert10007", "5ca1ab1e-cafe-4000", "CANARYwrong10008"
CANARIES = (KEY, SECRET, TOKEN, REDIS, REGISTRY, BACKUP, ALERT, PING, WRONG)
USER = "canaries"


def forms(secret: str) -> set[bytes]:
    """Return the ways in which a secret may stand somewhere."""
    logins = {f"{USER}:{secret}", f":{secret}", secret}
    coded = {base64.b64encode(login.encode()).rstrip(b"=") for login in logins}
    return {
        secret.encode(),
        quote(secret, safe="").encode(),
        secret.encode().hex().encode(),
    } | coded


def leaks(said: Mapping[str, bytes]) -> list[str]:
    """Return where a canary was found, and which, with what stands around it."""
    return [
        f"{place}: {canary}: …{text[max(0, text.index(form) - 80) : text.index(form) + 40]!r}"
        for place, text in said.items()
        for canary in CANARIES
        for form in forms(canary)
        if form in text
    ]


@dataclass
class House:
    """A stage where everything is locked, and everything that was ever said in it."""

    stage: Stage
    home: Path
    receiver: Receiver
    admin: Any
    programs: list[ExecutorProgram] = field(default_factory=list)
    said: dict[str, bytes] = field(default_factory=dict)

    def note(self, place: str, text: object) -> None:
        """Keep what was said."""
        self.said[f"{len(self.said)} {place}"] = str(text).encode()

    def locked(self, address: str, password: str) -> str:
        return address.replace("://", f"://{USER}:{quote(password, safe='')}@")

    def secrets(self, **instead: str) -> dict[str, str]:
        """Return the environment; some secrets lie in files, one in `.env`."""
        given = {"KEY": KEY, "REDIS": REDIS} | instead
        held = self.home.parent / "secrets"
        held.mkdir(exist_ok=True)
        (held / "key").write_text(given["KEY"] + "\n")
        (held / "redis").write_text(self.locked(self.stage.redis_url, given["REDIS"]))
        (held / "ping").write_text(f"{self.receiver.ping_url.rpartition('/')[0]}/{PING}")
        dot_env = self.home / ".env"
        dot_env.write_text(f"TRIBAR_CONTROL__TOKEN={TOKEN}\n")
        dot_env.chmod(0o600)
        return {
            "TRIBAR_HOME": str(self.home),
            "TRIBAR_VENUE__API_KEY_FILE": str(held / "key"),
            "TRIBAR_VENUE__API_SECRET": SECRET,
            "TRIBAR_REDIS_URL_FILE": str(held / "redis"),
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": REGISTRY,
            "TRIBAR_ALERTS__URLS": self.locked(self.receiver.alert_url, ALERT),
            "TRIBAR_ALERTS__PING_URL_FILE": str(held / "ping"),
            "TRIBAR_BACKUP__URL": f"http://127.0.0.1:1/shelf?token={BACKUP}",
        }

    def program(self, name: str, **instead: str) -> ExecutorProgram:
        """Return a program that was told its secrets in every way there is."""
        made = self.stage.program(
            name,
            changes={
                "alerts": {"ping_interval_ms": 300, "hourly_max": 5_000, "trades": True},
                "health": {"report_interval_ms": 1_000},
                "log": {"level": "DEBUG"},
            },
            without=(("venue", "api_key"), ("venue", "api_secret"), ("redis", "url")),
            env=self.secrets(**instead),
            token=TOKEN,
        )
        self.programs.append(made)
        return made

    async def told(self, program: ExecutorProgram, *arguments: str) -> tuple[int, str]:
        code, text = await program.told(*arguments)
        self.note(f"tribar-executor {' '.join(arguments)}", text)
        return code, text

    async def look_around(self, program: ExecutorProgram) -> None:
        """Note what HTTP answers, with and without the token, and the processes' arguments."""
        async with aiohttp.ClientSession() as session:
            for path in ("/health", "/status", "/metrics", "/commands", "/nothing"):
                for headers in ({"Authorization": f"Bearer {TOKEN}"}, {}):
                    async with session.get(program.url + path, headers=headers) as reply:
                        self.note(f"GET {path}", (reply.headers, await reply.text()))
        self.said |= arguments_of_programs()

    async def everything(self) -> dict[str, bytes]:
        """Return all that was ever said."""
        for program in self.programs:
            for text in unpacked(copy_of(program)):
                self.note(f"backup of {program.journal.name}", text)
        for path in self.stage.folder.rglob("*"):
            if path.is_file() and self.home not in path.parents and "secrets" not in path.parts:
                self.said[str(path)] = path.read_bytes()
        self.note("alerts", json.dumps(self.receiver.got))
        async for key in self.admin.scan_iter("*"):
            try:
                self.said[f"redis {key!r}"] = await self.admin.dump(key) or b""
            finally:
                self.note(f"redis {key!r}", await shown(self.admin, key))
        return self.said


def arguments_of_programs() -> dict[str, bytes]:
    """Return what `ps` shows of every executor and of the processes that it started."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:  # it has ended
            continue
        if b"executor" in words and b"executor.paper" not in words:
            found[str(path)] = words
    return found


def copy_of(program: ExecutorProgram) -> Path:
    """Return a backup of a program's own journal, models and configuration."""
    store = program.folder / f"{program.journal.stem}-models"
    sources = Sources(journal=program.journal, models=store, config=program.config)
    plan = Plan(folder=program.folder / f"{program.journal.stem}-copies", interval_ms=1, kept=9)
    return make(sources, plan, 1_700_000_000_000)


def unpacked(backup: Path) -> Iterator[bytes]:
    with tarfile.open(backup) as archive:
        for member in archive:
            file = archive.extractfile(member)
            yield file.read() if file is not None else b""


async def shown(redis: Any, key: bytes) -> object:
    match await redis.type(key):
        case b"string":
            return await redis.get(key)
        case b"hash":
            return await redis.hgetall(key)
        case b"list":
            return await redis.lrange(key, 0, -1)
        case b"stream":
            return await redis.xrange(key)
        case _:
            return await redis.smembers(key)


@pytest.fixture
async def house(tmp_path: Path, valkey_url: str) -> AsyncIterator[House]:
    home = tmp_path / "home"
    home.mkdir()
    arguments = [*paper_arguments(5_000), "--api-key", KEY, "--api-secret", SECRET]
    admin: Any = Redis.from_url(valkey_url)
    await admin.acl_setuser(
        USER, enabled=True, passwords=[f"+{REDIS}"], categories=["+@all"], keys=["*"],
        channels=["*"], reset=True,
    )  # fmt: skip
    with paper_program(*arguments) as paper:
        async with FakeMlflow() as mlflow, Receiver() as receiver, admin:
            mlflow.register(small_bundle())
            mlflow.login = aiohttp.encode_basic_auth(USER, REGISTRY, "utf-8")
            known = replace(paper, api_key=KEY, secret=SECRET)
            async with walking(paper):
                yield House(Stage(tmp_path, known, mlflow, valkey_url), home, receiver, admin)
            await admin.acl_deluser(USER)


async def refused(program: ExecutorProgram, *words: str) -> None:
    """Wait until the program says of itself what is the matter."""
    await program.until(
        lambda s: all(word in str(s["health"]["reasons"]) for word in words),
        f"saying {words}",
        60.0,
    )


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_secret_is_ever_said(house: House) -> None:
    async with house.program("well") as program:
        await program.until_running()
        await house.receiver.until("started", "running", "model_swapped")
        for verb in ("config", "status", "keys"):
            await house.told(program, verb)
        code, text = await house.told(program, "alerts", "test")
        assert (code, "every service took" in text) == (0, True), text
        await program.until(lambda s: bool(s["positions"]), "in a position", 60.0)
        assert (await house.told(program, "flatten"))[0] == 0
        await house.look_around(program)
        house.stage.mlflow.login = aiohttp.encode_basic_auth(USER, "changed")
        await refused(program, "HTTP 401", "MLFLOW_TRACKING_USERNAME")
        await house.admin.acl_setuser(USER, enabled=True, reset_passwords=True)
        await house.admin.execute_command("CLIENT", "KILL", "USER", USER)
        await refused(program, "redis: ", "invalid username-password pair")
        await house.look_around(program)
        program.signal(signal.SIGTERM)
        assert await program.stopped(20.0) == 0
    await house.receiver.until("stopped")
    assert house.receiver.pings > 0
    async with house.program("no-redis", REDIS=WRONG) as program:
        await refused(program, "Redis", "invalid username-password pair")
        await house.told(program, "kill")
        await house.look_around(program)
    await house.admin.acl_setuser(USER, enabled=True, passwords=[f"+{REDIS}"])
    await house.admin.delete(f"{house.stage.folder.name}:lease")
    async with house.program("no-venue", KEY=WRONG) as program:
        await refused(program, "10003")
        await house.told(program, "keys")
        await house.look_around(program)
    said = await house.everything()
    assert len(said) > 100
    assert sum(map(len, said.values())) > 200_000
    assert leaks(said) == []


@pytest.mark.parametrize(
    "name",
    ["TRIBAR_REDIS_URL", "MLFLOW_TRACKING_URI", "TRIBAR_ALERTS__PING_URL", "TRIBAR_BACKUP__URL"],
)
def test_an_address_that_is_none_is_named_and_not_shown(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slash in a password, a port that is no number, no host: everybody's first mistakes."""
    monkeypatch.setenv("TRIBAR_HOME", str(tmp_path))
    config = tmp_path / "executor.toml"
    config.write_text('[venue]\nurl="http://h"\nws_url="ws://h"\napi_key="k"\napi_secret="s"\n')
    scheme = "redis" if "REDIS" in name else "http"
    for rest in (
        "://:CANARY/1@h:1",
        "://u:CANARY@h:CANARY",
        ":CANARY@h",
        "://CANARY@",
        "://[CANARY",
    ):
        monkeypatch.setenv(name, scheme + rest)
        assert main(["config", "--config", str(config)]) == 2
        text = capsys.readouterr().err
        assert f"tribar-executor: {name}: give {scheme}://" in text
        assert "CANARY" not in text


def test_what_a_venue_echoes_is_hidden_where_it_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.logs._known", [KEY])
    error = lean_ccxt.errors().AuthenticationError(
        f'bybit {{"retCode":10003,"retMsg":"API key {KEY} is invalid."}}'
    )
    assert KEY not in str(classify(error, change=True))
    assert "API key *** is invalid" in str(classify(error, change=True))


def test_the_search_finds_a_secret_in_every_form() -> None:
    host = urlsplit("redis://h").hostname or ""
    for canary in CANARIES:
        for form in forms(canary):
            assert leaks({"a log": b"before " + form + b" after"}), form
    assert leaks({"a log": host.encode()}) == []
