"""Who may ask what over HTTP.

Decides that `/health` and `/metrics` are open to this machine and everything else needs the token
(without one configured: `/status` is open to this machine, commands to nobody), and what a command
over HTTP is answered. Never carries one out (`command_desk` does). Rule: whatever is sent, the
answer is below 500, but for `/health`'s 503; a wrong token is told from the right one in constant
time.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from executor.control.desk import Answer, CommandDesk
from executor.control.names import ALWAYS
from executor.control.signatures import same_token

OPEN: Final = frozenset({"/health", "/metrics"})
BODY_BYTES_MAX: Final = 16_384
CODES: Final = {"taken": 202, "done": 200, "refused": 400, "elsewhere": 409, "failed": 409}
BEARER: Final = "Bearer "

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard(token: str) -> Middleware:
    """Return the middleware that lets a request pass or answers 401."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _may_pass(request, token):
            return await handler(request)
        return _said(401, "give the token: Authorization: Bearer <TRIBAR_CONTROL__TOKEN>")

    return check


def _may_pass(request: web.Request, token: str) -> bool:
    given = request.headers.get("Authorization", "")
    if token and given.startswith(BEARER) and same_token(given.removeprefix(BEARER), token):
        return True
    if not _is_here(request.remote):
        return False
    return request.path in OPEN or (not token and request.method in ("GET", "HEAD"))


def _is_here(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


class HttpCommands:
    """Takes commands by ``POST /commands`` once there is a desk; ``not_yet`` says why none is."""

    def __init__(self) -> None:
        self.desk: CommandDesk | None = None
        self.not_yet = "the start is not over"

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one command."""
        if self.desk is None:
            text = f"not obeyed here, {self.not_yet}; one that lies in Redis is read at the start"
            return _said(409, text, "elsewhere")
        try:
            body = orjson.loads(await request.content.read(BODY_BYTES_MAX + 1))
        except orjson.JSONDecodeError:
            return _said(400, 'write {"name": "pause", "who": "you"}')
        answer = await self.desk.take(body, trusted=True)
        if answer.verdict == "taken" and body["name"] in ALWAYS and body.get("wait") is True:
            answer = await self.desk.verified_flat()
        return _answered(answer)


def _answered(answer: Answer) -> web.Response:
    return _said(CODES[answer.verdict], answer.text, answer.verdict)


def _said(code: int, text: str, verdict: str = "refused") -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if code == 401 else None
    body = orjson.dumps({"verdict": verdict, "text": text})
    return web.Response(body=body, status=code, content_type="application/json", headers=headers)
