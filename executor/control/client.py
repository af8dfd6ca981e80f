"""Asking and telling a running executor from the command line.

Decides how `check`, `status` and the commands reach it: HTTP on its health address, and the stream
``bot:commands`` in Redis, signed where a token is set; where Redis is away, HTTP. Never starts or
stops a process. Rule: every wait is bounded, and an executor that does not answer is one line and
exit code 1.
"""

import asyncio
import secrets
import sys
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from executor.clock import Clock
from executor.control.names import ALWAYS, FLAT_S
from executor.control.signatures import SIGNATURE, signature
from executor.core.contract import Keys
from executor.settings.settings import Settings

TIMEOUT_S: Final = 3.0
ANSWER_S: Final = 8.0
OBEYED: Final = frozenset({"taken", "done"})


async def check(settings: Settings) -> int:
    """Print the health of a running executor; 0 when healthy, else 1."""
    code, body = await _ask(settings, "GET", "/health")
    if body is None:
        return _fail(_nobody(settings, code))
    reasons = "; ".join(body.get("reasons", []))
    print(f"{body.get('status', '')} {reasons}".strip())  # noqa: T201 - the answer
    return 0 if code == 200 else 1


async def status(settings: Settings) -> int:
    """Print what a running executor says of itself."""
    code, body = await _ask(settings, "GET", "/status")
    if code != 200 or body is None:
        return _fail(_nobody(settings, code))
    print(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())  # noqa: T201 - the answer
    return 0


async def command(
    settings: Settings,
    clock: Clock,
    name: str,
    who: str,
    arguments: Mapping[str, float | str],
    *,
    force: bool,
) -> int:
    """Give a command and print every answer; 0 when it was obeyed (a kill: when all is flat)."""
    body: dict[str, Any] = {
        "id": secrets.token_hex(8),
        "time_ms": clock.now_ms(),
        "name": name,
        "who": who,
        "arguments": dict(arguments),
        "force": force,
    }
    token = settings.control.token.get_secret_value()
    if token:
        body[SIGNATURE] = signature(body, token)
    trouble = ""
    try:
        answers = await _by_redis(settings, body)
    except (RedisError, OSError, TimeoutError) as error:
        trouble, answers = f"{name} was not given: Redis says {error}", []
    if not answers and token:  # it may be cut off from Redis; the same id is not obeyed twice
        answers = await _by_http(settings, body)
    if not answers:
        return _fail(_unanswered(settings, name, trouble))
    return 0 if answers[-1]["verdict"] in OBEYED else 1


def _unanswered(settings: Settings, name: str, trouble: str) -> str:
    """Return what became of a command that nobody answered, and what to do next."""
    if not trouble:
        later = "at the next start" if name in ALWAYS else "within 5 minutes, not later"
        text = f"{name} lies in Redis and no executor answered; it is obeyed {later}"
        return f"{text}. Is one there? tribar-executor status"
    if settings.control.token.get_secret_value():
        return f"{trouble}; {_nobody(settings, 0)}"
    return (
        f"{trouble}; over HTTP it needs TRIBAR_CONTROL__TOKEN, set for the executor too. "
        "SIGTERM stops the process, stops stay at the exchange"
    )


async def _by_redis(settings: Settings, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give a command through the stream; return the answers."""
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
        entry_id = str(await redis.xadd(keys.commands, {"command": orjson.dumps(body).decode()}))
        return await _answers(redis, keys.events, cursor, entry_id, str(body["name"]))
    finally:
        await redis.aclose()


async def _answers(
    redis: Redis, stream: str, cursor: str, entry_id: str, name: str
) -> list[dict[str, Any]]:
    """Wait for the answers to one command: the holder's, and after a kill how it ended."""
    found: list[dict[str, Any]] = []
    elsewhere: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(ANSWER_S) as patience:
            while not _is_over(found, name):
                reply: Any = await redis.xread({stream: cursor}, count=100)
                for _, entries in reply:
                    for at, fields in entries:
                        cursor = str(at)
                        said = orjson.loads(fields.get("answer", "{}"))
                        if said.get("command") != entry_id:
                            continue
                        (elsewhere if said["verdict"] == "elsewhere" else found).append(said)
                        if said["verdict"] != "elsewhere":
                            _show(said)
                            # Somebody is there: how a kill ends is worth waiting for.
                            now = asyncio.get_running_loop().time()
                            patience.reschedule(now + FLAT_S + ANSWER_S)
                await asyncio.sleep(0.1)
    except TimeoutError:
        pass
    if not found and elsewhere:
        _show(elsewhere[0])
    return found or elsewhere


def _is_over(answers: list[dict[str, Any]], name: str) -> bool:
    """Say whether no further answer is to come."""
    last = answers[-1]["verdict"] if answers else ""
    return bool(last) and not (last == "taken" and name in ALWAYS)


async def _by_http(settings: Settings, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give a command over HTTP; return the answer."""
    wait_s = FLAT_S if body["name"] in ALWAYS else 0.0
    _, said = await _ask(
        settings, "POST", "/commands", data={**body, "wait": True}, more_s=wait_s + ANSWER_S
    )
    if said is None or "verdict" not in said:
        return []
    _show(said)
    return [said]


def _show(answer: Mapping[str, Any]) -> None:
    print(f"{answer['verdict']}: {answer['text']}", flush=True)  # noqa: T201 - the answer


def _nobody(settings: Settings, code: int) -> str:
    """Return why nothing was learned, and what to look at."""
    if code == 401:
        return f"{_address(settings)} asks for the token: set TRIBAR_CONTROL__TOKEN"
    return (
        f"no executor answers at {_address(settings)}; start it (tribar-executor run), or set "
        "TRIBAR_HEALTH__HOST and _PORT to where it is"
    )


def _fail(text: str) -> int:
    print(text, file=sys.stderr)  # noqa: T201 - the answer
    return 1


async def _ask(
    settings: Settings,
    method: str,
    path: str,
    *,
    data: Mapping[str, Any] | None = None,
    more_s: float = 0.0,
) -> tuple[int, dict[str, Any] | None]:
    """Ask over HTTP, with the token where there is one; (0, None) where nobody answers."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S + more_s)
    token = settings.control.token.get_secret_value()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = orjson.dumps(dict(data)) if data is not None else None
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.request(method, _address(settings) + path, data=body) as response,
        ):
            said = orjson.loads(await response.read())
            return response.status, said if isinstance(said, dict) else None
    except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError):
        return 0, None


def _address(settings: Settings) -> str:
    return f"http://{settings.health.host}:{settings.health.port}"
