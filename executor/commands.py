"""What people ask for: the stream ``bot:commands``.

Decides which messages are commands, that each is taken once and answered, and that one from before
the last few minutes is not obeyed any more (but kill and flatten always are). Never carries one
out: the core does, through the trader's queue, where it is journaled with who and when.
Rule: a message that is not a command is answered with one line that says why.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from executor.clock import Clock
from executor.core.contract import CommandName, Keys
from executor.core.events import Command
from executor.journal import Journal
from executor.supervisor import heed_cancellation
from features.suggest import unknown_name

POLL_S: Final = 0.5
STALE_MS: Final = 300_000
READ_AT_ONCE: Final = 20
CURSOR: Final = "command_cursor"
ALWAYS: Final = frozenset({CommandName.KILL, CommandName.FLATTEN})

log = structlog.get_logger("commands")

Answer = Callable[[dict[str, str]], None]


class Commands:
    """Reads the stream for as long as the process runs."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        journal: Journal,
        clock: Clock,
        *,
        put: Callable[[Command], None],
        answer: Answer,
        market_ms: Callable[[], int],
        reload: Callable[[], Awaitable[str]],
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._journal = journal
        self._clock = clock
        self._put = put
        self._answer = answer
        self._market_ms = market_ms
        self._reload = reload
        self._cursor = journal.meta(CURSOR) or ""

    async def run(self) -> None:
        """Take what comes; a Redis that is away is tried again at the next look."""
        while True:
            try:
                await self._look()
            except (RedisError, OSError, TimeoutError) as error:
                log.debug("commands_unreadable", error=str(error))
            heed_cancellation()
            await self._clock.sleep(POLL_S)

    async def _look(self) -> None:
        if not self._cursor:
            newest = await self._redis.xrevrange(self._keys.commands, count=1)
            self._cursor = str(newest[0][0]) if newest else "0-0"
        # redis-py types a reply for every protocol at once; here it is a list of pairs.
        found: Any = await self._redis.xread(
            {self._keys.commands: self._cursor}, count=READ_AT_ONCE
        )
        for _, entries in found:
            for entry_id, fields in entries:
                self._cursor = str(entry_id)
                self._journal.set_meta(CURSOR, self._cursor)
                await self._take(self._cursor, fields)

    async def _take(self, entry_id: str, fields: Mapping[str, str]) -> None:
        """Obey one message, or say why not."""
        try:
            body = orjson.loads(fields.get("command", ""))
        except orjson.JSONDecodeError:
            self._say(entry_id, "refused", "field `command` must hold a JSON object")
            return
        refusal = self._refusal(entry_id, body)
        if refusal:
            self._say(entry_id, "refused", refusal)
            return
        name = CommandName(body["name"])
        if name is CommandName.RELOAD:
            self._say(entry_id, "done", await self._reload())
            return
        command = Command(
            name=name,
            time_ms=self._market_ms(),
            who=str(body.get("who", "")),
            arguments=body.get("arguments") or {},
        )
        log.warning("command", name=name, who=command.who)
        self._put(command)
        self._say(entry_id, "taken", f"{name} by {command.who or 'somebody'}")

    def _refusal(self, entry_id: str, body: Any) -> str:
        """Return why a message is not obeyed, "" where it is."""
        if not isinstance(body, dict) or not isinstance(body.get("name"), str):
            return 'write {"name": "pause", "who": "you"}'
        name = body["name"]
        if name not in set(CommandName):
            return unknown_name("command", name, [str(known) for known in CommandName])
        arguments = body.get("arguments") or {}
        if not isinstance(arguments, dict) or not all(
            isinstance(value, str | int | float) for value in arguments.values()
        ):
            return "arguments must be an object of numbers or text"
        age_ms = self._clock.now_ms() - int(entry_id.partition("-")[0])
        if age_ms > STALE_MS and name not in ALWAYS:
            return f"{name} was given {age_ms // 1000} s ago; give it again"
        return ""

    def _say(self, entry_id: str, verdict: str, text: str) -> None:
        self._answer({"answer": orjson.dumps(
            {"command": entry_id, "verdict": verdict, "text": text}
        ).decode()})  # fmt: skip
