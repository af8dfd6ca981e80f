"""Asking and telling a running executor from the command line.

Decides how `check`, `status` and the commands reach it: HTTP on its health address, and the stream
``bot:commands`` in Redis. Never starts or stops a process. Rule: every wait is bounded, and an
executor that does not answer is one line and exit code 1.
"""

import asyncio
import sys
from typing import Any, Final

import aiohttp
import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from executor.core.contract import Keys
from executor.settings import Settings

TIMEOUT_S: Final = 3.0
ANSWER_S: Final = 5.0


async def check(settings: Settings) -> int:
    """Print the health of a running executor; 0 when healthy, else 1."""
    code, body = await _get(settings, "/health")
    reasons = "; ".join(body.get("reasons", [])) if body else "it does not answer"
    word = body.get("status", "") if body else ""
    print(f"{word} {reasons}".strip())  # noqa: T201 - the answer
    return 0 if code == 200 else 1


async def status(settings: Settings) -> int:
    """Print what a running executor says of itself."""
    code, body = await _get(settings, "/status")
    if code != 200 or body is None:
        print(f"no executor answers at {_address(settings)}", file=sys.stderr)  # noqa: T201 - the answer
        return 1
    print(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())  # noqa: T201 - the answer
    return 0


async def command(settings: Settings, name: str, who: str) -> int:
    """Give a command and print the answer; 0 when it was taken."""
    keys = Keys(settings.redis.prefix)
    redis = Redis.from_url(
        settings.redis.url.get_secret_value(),
        decode_responses=True,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
    )
    try:
        newest = await redis.xrevrange(keys.events, count=1)
        cursor = str(newest[0][0]) if newest else "0-0"
        body = orjson.dumps({"name": name, "who": who}).decode()
        entry_id = str(await redis.xadd(keys.commands, {"command": body}))
        answer = await _answer(redis, keys.events, cursor, entry_id)
    except (RedisError, OSError, TimeoutError) as error:
        print(f"Redis does not answer: {error}", file=sys.stderr)  # noqa: T201 - the answer
        return 1
    finally:
        await redis.aclose()
    if answer is None:
        print(f"{name} was given; no executor answered yet", file=sys.stderr)  # noqa: T201 - the answer
        return 1
    print(f"{answer['verdict']}: {answer['text']}")  # noqa: T201 - the answer
    return 0 if answer["verdict"] in {"taken", "done"} else 1


async def _answer(redis: Redis, stream: str, cursor: str, entry_id: str) -> dict[str, Any] | None:
    """Wait for the answer to one command."""
    try:
        async with asyncio.timeout(ANSWER_S):
            while True:
                found: Any = await redis.xread({stream: cursor}, count=100)
                for _, entries in found:
                    for at, fields in entries:
                        cursor = str(at)
                        said = orjson.loads(fields.get("answer", "{}"))
                        if said.get("command") == entry_id:
                            return dict(said)
                await asyncio.sleep(0.1)
    except TimeoutError:
        return None


async def _get(settings: Settings, path: str) -> tuple[int, dict[str, Any] | None]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(_address(settings) + path) as response,
        ):
            return response.status, orjson.loads(await response.read())
    except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError):
        return 0, None


def _address(settings: Settings) -> str:
    return f"http://{settings.health.host}:{settings.health.port}"
