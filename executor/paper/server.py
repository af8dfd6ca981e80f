"""The HTTP server: every request's way from the socket to the venue and back.

Decides the order of the steps (ban, maintenance, faults, signature, rate limit, endpoint, envelope)
and the routes. Never holds a price or an order. Rule: whatever a client sends is answered in the
venue's form; only a path that does not exist gets a plain 404.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from aiohttp import web

from executor.paper import commands, control, rest_market, websocket
from executor.paper.assembly import Assembly
from executor.paper.calls import Call
from executor.paper.exchange import Exchange
from executor.paper.faults import HANG_SECONDS, REQUEST, SERVER_ERROR, WORDS_MAX, Fault
from executor.paper.limits import TOO_MANY_VISITS, Allowance
from executor.paper.params import Params, json_of, query_of
from executor.paper.signature import authenticate
from executor.paper.venue.errors import PARAMS_ERROR, VenueError

BODY_BYTES_MAX = 1 << 20
PRIVATE = commands.ENDPOINTS
OPEN_IN_MAINTENANCE = frozenset({"/v5/market/time", "/v5/system/status"})
SOCKETS = {
    "public": "/v5/public/linear",
    "private": "/v5/private",
    "trade": "/v5/trade",
}


class Rest:
    """Answers every ``/v5/`` request."""

    def __init__(self, exchange: Exchange, orders: commands.Commands) -> None:
        self._exchange = exchange
        self._commands = orders

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, or fail it as a planned fault says."""
        exchange, key = self._exchange, (request.method, request.path)
        if exchange.limits.is_banned(request.remote or "", exchange.clock.now_ms()):
            return web.Response(status=403, text="access too frequent. Please try again later.")
        if key not in rest_market.ENDPOINTS and key not in PRIVATE:
            return web.Response(status=404, text="404 page not found")
        if exchange.is_closed and request.path not in OPEN_IN_MAINTENANCE:
            return web.Response(status=503, text="<html>503 Service Temporarily Unavailable</html>")
        try:
            body = (await request.read()).decode()
        except (web.HTTPRequestEntityTooLarge, web.RequestPayloadError, UnicodeDecodeError):
            return self._reply(PARAMS_ERROR, "params error: body invalid", {}, None)
        words = (body or request.rel_url.raw_query_string)[:WORDS_MAX]
        where = f"{request.method} {request.path}"
        fault = exchange.faults.take(REQUEST, where, words, exchange.state.now_ms)
        if fault is not None:
            early = await self._before(request, fault)
            if early is not None:
                return early
        reply = self._answer(request, body)
        if fault is not None and fault.kind in ("hang_after", "slow"):
            await asyncio.sleep(
                fault.number("seconds", HANG_SECONDS if fault.kind == "hang_after" else 0.5)
            )
        return reply

    async def _before(self, request: web.Request, fault: Fault) -> web.Response | None:
        """Carry out a fault that comes before the venue sees the request."""
        now = self._exchange.clock.now_ms()
        if fault.kind == "http":
            return web.Response(
                status=int(fault.number("status", 502)),
                text=fault.text("body", "<html>502 Bad Gateway</html>"),
                content_type=fault.text("content_type", "text/html"),
            )
        if fault.kind == "retcode":
            code = int(fault.number("code", SERVER_ERROR))
            return self._reply(code, fault.text("message", "Server error"), {}, None)
        if fault.kind == "rate_limit":
            spent = Allowance(limit=10, left=0, reset_ms=now + 1000, refused=True)
            return self._reply(TOO_MANY_VISITS, "Too many visits!", {}, spent)
        if fault.kind == "hang_before":
            await asyncio.sleep(fault.number("seconds", HANG_SECONDS))
            return web.Response(status=504)
        if fault.kind == "late":
            await asyncio.sleep(fault.number("seconds", 1.0))
        if fault.kind == "disconnect" and request.transport is not None:
            request.transport.abort()
            return web.Response(status=502)
        return None

    def _answer(self, request: web.Request, body: str) -> web.Response:
        exchange, key = self._exchange, (request.method, request.path)
        query = request.rel_url.raw_query_string
        now = exchange.clock.now_ms()
        account, allowance = None, None
        try:
            if key in PRIVATE:
                payload = body if request.method == "POST" else query
                account = authenticate(exchange.by_key, request.headers, payload, now)
                allowance = exchange.limits.ask(account.name, request.path, now)
                allowance.demand()
            if account is not None and request.method == "POST":
                result = self._commands.call(request.path, account, _object(body))
            else:
                endpoint = PRIVATE.get(key) or rest_market.ENDPOINTS[key]
                result = endpoint(Call(exchange, Params(query_of(query)), account))
        except VenueError as error:
            reasons = [{"reasonCode": code, "reasonMsg": text} for code, text in error.reasons]
            result = {"reasons": reasons} if reasons else {}
            return self._reply(error.code, error.message, result, allowance)
        return self._reply(0, "OK", result, allowance)

    def _reply(
        self, code: int, message: str, result: dict[str, Any], allowance: Allowance | None
    ) -> web.Response:
        envelope = {
            "retCode": code,
            "retMsg": message,
            "retExtInfo": result.pop("retExtInfo", {}),
            "result": result,
            "time": self._exchange.clock.now_ms(),
        }
        return web.Response(
            body=orjson.dumps(envelope),
            content_type="application/json",
            headers=allowance.headers if allowance is not None else None,
        )


def _object(body: str) -> dict[str, Any]:
    """Return the JSON object of a body, its fractions as they are written."""
    values = json_of(body or "{}")
    if not isinstance(values, dict):
        raise VenueError(PARAMS_ERROR, "params error: body is not a JSON object")
    return values


def application(parts: Assembly) -> web.Application:
    """Return the server of an exchange, whose market runs for as long as it does."""
    exchange = parts.exchange
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    route = app.router
    for kind, path in SOCKETS.items():
        route.add_get(path, websocket.handler(exchange, parts.commands, kind))
    control.add_routes(app, parts)
    route.add_route("*", "/{path:.*}", Rest(exchange, parts.commands).serve)

    async def running(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(parts.conductor.run())
        yield
        task.cancel()
        await asyncio.wait([task], timeout=5)
        await exchange.hub.close()
        exchange.log.close()
        parts.journal.close()

    app.cleanup_ctx.append(running)
    return app
