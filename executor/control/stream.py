"""What people ask for by Redis: the stream ``bot:commands``.

Decides that each message is read in order, across restarts, and answered on ``bot:events``. Never
judges one (`desk` does). Rule: the cursor is on disk only when the journal holds what was read, so
that a kill amid which the process dies is taken again; what is latched is put on a stream that
Redis lost, for another machine may start from it; a Redis that is away costs one try a look.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from executor.clock import Clock
from executor.control.desk import Answer, CommandDesk
from executor.control.names import ALWAYS
from executor.core.contract import STREAM_KEPT, CommandName, Keys
from executor.journal.store import Journal
from executor.supervisor import heed_cancellation

POLL_S: Final = 0.5
LOST_LOOK_S: Final = 5.0
READ_AT_ONCE: Final = 20
ANSWERS_KEPT: Final = 10_000
CURSOR: Final = "command_cursor"
BEGINNING: Final = "0-0"
ENDS: Final = {
    str(CommandName.KILL): str(CommandName.RESET),
    str(CommandName.FLATTEN): str(CommandName.RESUME),
    str(CommandName.PAUSE): str(CommandName.RESUME),
}

log = structlog.get_logger("commands")

Say = Callable[[dict[str, str]], None]


class Commands:
    """Reads the stream for as long as the process runs."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        journal: Journal,
        clock: Clock,
        *,
        desk: CommandDesk,
        answer: Say,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._journal = journal
        self._clock = clock
        self._desk = desk
        self._answer = answer
        self._cursor = journal.meta(CURSOR) or ""
        self._looked_s = -LOST_LOOK_S
        self._checks: set[asyncio.Task[None]] = set()

    async def catch_up(self) -> None:
        """Take everything given until now, so that nothing is decided before a kill is known."""
        while await self._try() is not False:
            pass

    async def run(self) -> None:
        """Take what comes; a Redis that is away is tried again at the next look."""
        while True:
            await self._try()
            await self._clock.sleep(POLL_S)

    async def _try(self) -> bool | None:
        """Look once; say whether there was anything, None where Redis did not answer."""
        try:
            found = await self._look()
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("commands_unreadable", error=str(error))
            await self._clock.sleep(POLL_S)
            found = None
        heed_cancellation()
        return found

    async def _begin(self) -> str:
        """Return where a machine begins that read none: at what is still in force, else now."""
        rows: Any = await self._redis.xrevrange(self._keys.commands, count=STREAM_KEPT)
        begin, ended = -1, set[str]()
        for number, (_, fields) in enumerate(rows):
            name = _name(fields)
            ended.add(name)
            if ENDS.get(name, name) not in ended:
                begin = number
        if begin + 1 < len(rows):
            return str(rows[begin + 1][0])
        return BEGINNING

    async def _look(self) -> bool:
        """Read on and take what is new; say whether there was anything."""
        if not self._cursor:
            self._cursor = await self._begin()
        # redis-py types a reply for every protocol at once; here it is a list of pairs.
        found: Any = await self._redis.xread(
            {self._keys.commands: self._cursor}, count=READ_AT_ONCE
        )
        for _, entries in found:
            for entry_id, fields in entries:
                self._cursor = str(entry_id)
                await self._take(self._cursor, fields)
                self._desk.keep(CURSOR, self._cursor)
        heed_cancellation()
        await self._remind()
        return bool(found)

    async def _remind(self) -> None:
        """Give what is latched once more where the stream holds nothing of what was read."""
        now = self._clock.monotonic()
        if not self._cursor or now - self._looked_s < LOST_LOOK_S:
            return
        if not await self._redis.xrange(self._keys.commands, self._cursor, self._cursor, count=1):
            for body in self._desk.latched():
                log.warning("command_given_again", name=body["name"], why="Redis lost the stream")
                fields = {"command": orjson.dumps(body).decode()}
                await self._redis.xadd(self._keys.commands, cast("Any", fields))
        self._looked_s = now

    async def _take(self, entry_id: str, fields: Mapping[str, str]) -> None:
        """Hand one message over and answer it."""
        try:
            body = orjson.loads(fields.get("command", ""))
        except orjson.JSONDecodeError:
            text = "field `command` must hold a JSON object"
            await self._say(entry_id, Answer(verdict="refused", text=text))
            return
        age_ms = self._clock.now_ms() - int(entry_id.partition("-")[0])
        answer = await self._desk.take(body, entry_id=entry_id, age_ms=age_ms)
        await self._say(entry_id, answer)
        if answer.verdict == "taken" and body["name"] in ALWAYS:
            task = asyncio.get_running_loop().create_task(self._verify(entry_id))
            self._checks.add(task)
            task.add_done_callback(self._checks.discard)

    async def _verify(self, entry_id: str) -> None:
        """Say once more how a kill or flatten ended."""
        await self._say(entry_id, await self._desk.verified_flat())

    async def _say(self, entry_id: str, answer: Answer) -> None:
        """Answer at the next beat; who does not hold the lease has none and answers at once."""
        body = {"command": entry_id, "verdict": answer.verdict, "text": answer.text}
        fields = {"answer": orjson.dumps(body).decode()}
        if answer.verdict != "elsewhere":
            self._answer(fields)
            return
        try:
            await self._redis.xadd(
                self._keys.events, cast("Any", fields), maxlen=ANSWERS_KEPT, approximate=True
            )
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("answer_not_given", error=str(error))


def _name(fields: Mapping[str, str]) -> str:
    """Return the name in a message, "" where it holds none."""
    try:
        body = orjson.loads(fields.get("command", ""))
    except orjson.JSONDecodeError:
        return ""
    return str(body.get("name", "")) if isinstance(body, dict) else ""
