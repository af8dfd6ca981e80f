"""Redis as the executor uses it: strings with expiry, streams, and the lease's three scripts.

Decides what a command does to the server's memory, in virtual time, and what a faulty network does
to a command. Never speaks the protocol. Rule: the scripts' meaning is written here a second time;
`test_redis_port` runs both against each other on a real Valkey. A script without a meaning here is
an error.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from executor.lease import lease
from tests.simulation.faults import Faults
from tests.simulation.loop import WORLD, Process, VirtualLoop

TIMEOUT_S = 2.0


class RedisServer:
    """The server's memory. ``now_ms`` is its clock."""

    def __init__(self, now_ms: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self._strings: dict[str, tuple[str, float | None]] = {}
        self._streams: dict[str, list[tuple[str, dict[str, str]]]] = {}
        self._forgotten: dict[str, tuple[str, float | None]] = {}
        self.out_until = 0.0
        self.cut_until: dict[str, float] = {}
        """Until when a process does not reach the server, by its name."""

    def get(self, key: str) -> str | None:
        """Return a string, None where there is none or it has expired."""
        found = self._strings.get(key)
        if found is None or (found[1] is not None and found[1] <= self._now_ms()):
            self._strings.pop(key, None)
            return None
        return found[0]

    def set(self, key: str, value: str, px: float | None = None) -> None:
        """Write a string that expires after ``px`` ms."""
        self._strings[key] = (value, None if px is None else self._now_ms() + px)

    def delete(self, key: str) -> int:
        """Remove a string; say how many there were."""
        was = self.get(key)
        self._strings.pop(key, None)
        return int(was is not None)

    def forgotten(self, key: str) -> str:
        """Return what a string was before the last flush, "" once it would have expired."""
        value, expires = self._forgotten.get(key, ("", None))
        return value if expires is None or expires > self._now_ms() else ""

    def remaining_ms(self, key: str) -> float:
        """Return how long a string has to live, 0 where it is gone."""
        if self.get(key) is None:
            return 0.0
        expires = self._strings[key][1]
        return float("inf") if expires is None else expires - self._now_ms()

    def flush(self) -> None:
        """Lose everything, as a restart without a file does."""
        self._forgotten = dict(self._strings)
        self._strings.clear()
        self._streams.clear()

    def add(self, key: str, fields: dict[str, str], entry_id: str = "") -> str:
        """Append to a stream; the id is the time, as Redis makes it."""
        stream = self._streams.setdefault(key, [])
        if not entry_id:
            at, number = int(self._now_ms()), 0
            if stream:
                last, _, count = stream[-1][0].partition("-")
                if int(last) >= at:
                    at, number = int(last), int(count) + 1
            entry_id = f"{at}-{number}"
        stream.append((entry_id, dict(fields)))
        return entry_id

    def stream(self, key: str) -> list[tuple[str, dict[str, str]]]:
        """Return a stream, oldest first."""
        return self._streams.get(key, [])

    def eval(self, script: str, keys: list[str], arguments: list[str]) -> Any:
        """Run one of the known scripts."""
        return SCRIPTS[script](self, keys, arguments)


def acquire(server: RedisServer, keys: list[str], arguments: list[str]) -> Any:
    """Take the lease where nobody, or a predecessor of ours, holds it and nothing was forgotten."""
    owner, ttl_ms, known, is_ours = arguments
    held = server.get(keys[0])
    if held is not None and held.partition(":")[2] != owner:
        return [0, held]
    token = int(server.get(keys[1]) or 0)
    if token < int(known) and is_ours != "1":
        server.set(keys[1], known)
        server.set(keys[0], f"{known}:", float(ttl_ms))
        return [0, f"{known}:"]
    token = max(token, int(known)) + 1
    server.set(keys[1], str(token))
    server.set(keys[0], f"{token}:{owner}", float(ttl_ms))
    return [token, ""]


def renew(server: RedisServer, keys: list[str], arguments: list[str]) -> Any:
    """Prolong the lease where it is ours."""
    value, ttl_ms = arguments
    if server.get(keys[0]) != value:
        return 0
    server.set(keys[0], value, float(ttl_ms))
    return 1


def release(server: RedisServer, keys: list[str], arguments: list[str]) -> Any:
    """Give the lease back where it is ours."""
    if server.get(keys[0]) != arguments[0]:
        return 0
    return server.delete(keys[0])


Script = Callable[[RedisServer, list[str], list[str]], Any]
SCRIPTS: dict[str, Script] = {
    lease.ACQUIRE: acquire,
    lease.RENEW: renew,
    lease.RELEASE: release,
}


class RedisPort:
    """One process's connection."""

    def __init__(self, server: RedisServer, process: Process, faults: Faults) -> None:
        self._server = server
        self._process = process
        self._faults = faults
        self._loop: VirtualLoop = process.loop
        self.read: Callable[[Process, str, str], None] = lambda process, entry, command: None

    async def _ask(self, command: Callable[[], Any]) -> Any:
        """Send a command: it may be lost on either way, and the server may be away."""
        faults, loop = self._faults, self._loop
        faults.touch(self._process, "redis")
        answer = loop.create_future()
        delay = 0.001 + 0.002 * faults.rng.random()
        if faults.happens(faults.rates.redis_slow):
            faults.count("redis_slow")
            delay += 1.5 * faults.rng.random()
        cut = loop.time() < self._server.cut_until.get(self._process.name, 0.0)
        arrives = not (cut or faults.happens(faults.rates.redis))
        replies = arrives and not faults.happens(faults.rates.redis)
        loop.call_later(delay, self._serve, command, answer, arrives, replies, context=WORLD)
        result = await answer
        faults.touch(self._process, "redis_reply")
        return result

    def _serve(
        self,
        command: Callable[[], Any],
        answer: "asyncio.Future[Any]",
        arrives: bool,
        replies: bool,
    ) -> None:
        """Carry a command out at the server; the answer may not come back."""
        loop = self._loop
        if loop.time() < self._server.out_until:
            _fail(answer, RedisConnectionError("refused"))
            return
        result = command() if arrives else None
        if replies:
            if not answer.done():
                answer.set_result(result)
            return
        self._faults.count("redis_lost_reply" if arrives else "redis_lost_command")
        lost = RedisTimeoutError("timed out")
        loop.call_later(TIMEOUT_S, _fail, answer, lost, context=WORLD)

    async def eval(self, script: str, count: int, *values: Any) -> Any:
        """Run a script."""
        texts = [str(value) for value in values]
        return await self._ask(lambda: self._server.eval(script, texts[:count], texts[count:]))

    async def xrevrange(self, key: str, max: str = "+", min: str = "-", count: int = 0) -> Any:  # noqa: A002 - redis-py's names
        """Return a stream newest first."""
        rows = await self._ask(lambda: list(reversed(self._server.stream(key))))
        return rows[:count] if count else rows

    async def xrange(self, key: str, min: str = "-", max: str = "+", count: int = 0) -> Any:  # noqa: A002 - redis-py's names
        """Return a stream oldest first."""
        low, high = (_id(edge) if edge not in "-+" else None for edge in (min, max))
        rows = [
            row
            for row in await self._ask(lambda: list(self._server.stream(key)))
            if (low is None or _id(row[0]) >= low) and (high is None or _id(row[0]) <= high)
        ]
        return rows[:count] if count else rows

    async def xread(self, streams: dict[str, str], count: int = 0, block: int | None = None) -> Any:
        """Return what came after the cursors."""
        del block
        found = await self._ask(lambda: self._after(streams, count))
        for _, rows in found:
            for entry, fields in rows:
                self.read(self._process, entry, fields.get("command", ""))
        return found

    def _after(self, streams: dict[str, str], count: int) -> list[Any]:
        found = []
        for key, cursor in streams.items():
            after = _id(cursor)
            rows = [row for row in self._server.stream(key) if _id(row[0]) > after]
            if rows:
                found.append([key, rows[:count] if count else rows])
        return found

    async def get(self, key: str) -> str | None:
        """Return a string."""
        return await self._ask(lambda: self._server.get(key))  # type: ignore[no-any-return]  # as asked

    async def set(self, key: str, value: Any, px: float | None = None, **_: Any) -> bool:
        """Write a string."""
        await self._ask(lambda: self._server.set(key, str(value), px))
        return True

    async def xadd(self, key: str, fields: dict[str, str], **_: Any) -> str:
        """Append to a stream."""
        return str(await self._ask(lambda: self._server.add(key, fields)))

    def pipeline(self, transaction: bool = True) -> "Pipeline":
        """Return a queue of commands that arrive together or not at all."""
        del transaction
        return Pipeline(self)

    async def aclose(self) -> None:
        """Close the connection."""


class Pipeline:
    """Commands of which only writes of strings matter to anybody here; the rest is counted."""

    def __init__(self, port: RedisPort) -> None:
        self._port = port
        self._writes: list[tuple[str, str, float | None]] = []
        self._count = 0

    def set(self, key: str, value: Any, px: float | None = None) -> None:
        """Write a string."""
        self._writes.append((key, str(value), px))

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)

        def command(*_: Any, **__: Any) -> None:
            self._count += 1

        return command

    async def execute(self) -> list[Any]:
        """Carry everything out."""
        server = self._port._server

        def write() -> list[Any]:
            for key, value, px in self._writes:
                server.set(key, value, px)
            return []

        return list(await self._port._ask(write))


def _fail(answer: "asyncio.Future[Any]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


def _id(text: str) -> tuple[int, int]:
    at, _, number = text.partition("-")
    return int(at), int(number or 0)
