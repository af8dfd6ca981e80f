"""The HTTP server: every request's way from the socket to the venue and back.

Decides the order of the steps (faults, signature, endpoint, envelope) and the routes. Never holds
a price or an order. Rule: whatever a client sends is answered in the venue's form; only a path
that does not exist gets a plain 404.
"""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from executor.paper import control, rest_account, rest_market, rest_trade, websocket
from executor.paper.conductor import Conductor
from executor.paper.exchange import Exchange
from executor.paper.faults import REQUEST_KINDS, Fault
from executor.paper.params import Params
from executor.paper.rest_market import Call
from executor.paper.signature import authenticate
from executor.paper.venue.errors import PARAMS_ERROR, VenueError

BODY_BYTES_MAX = 1 << 20
HANG_SECONDS = 60.0
PRIVATE = {**rest_trade.ENDPOINTS, **rest_account.ENDPOINTS}


class Rest:
    """Answers every ``/v5/`` request."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, or fail it as a planned fault says."""
        key = (request.method, request.path)
        if key not in rest_market.ENDPOINTS and key not in PRIVATE:
            return web.Response(status=404, text="404 page not found")
        try:
            body = (await request.read()).decode()
        except (web.HTTPRequestEntityTooLarge, UnicodeDecodeError):
            return self._reply(PARAMS_ERROR, "params error: body invalid", {})
        now = self._exchange.clock.now_ms()
        fault = self._exchange.faults.take(REQUEST_KINDS, request.path, now)
        if fault is not None:
            early = await self._before(request, fault)
            if early is not None:
                return early
        reply = self._answer(request, body)
        if fault is not None:
            await self._after(fault)
        return reply

    async def _before(self, request: web.Request, fault: Fault) -> web.Response | None:
        """Carry out a fault that comes before the venue sees the request."""
        arguments = fault.arguments
        if fault.kind == "http":
            return web.Response(
                status=int(arguments.get("status", 502)),
                text=str(arguments.get("body", "<html>Bad gateway</html>")),
                content_type=str(arguments.get("content_type", "text/html")),
            )
        if fault.kind == "retcode":
            code = int(arguments.get("code", 10016))
            return self._reply(code, str(arguments.get("message", "Server error")), {})
        if fault.kind == "hang_before":
            await asyncio.sleep(float(arguments.get("seconds", HANG_SECONDS)))
            return web.Response(status=504)
        if fault.kind == "late":
            await asyncio.sleep(float(arguments.get("seconds", 1.0)))
        if fault.kind == "disconnect" and request.transport is not None:
            request.transport.abort()
        return None

    async def _after(self, fault: Fault) -> None:
        """Carry out a fault that comes after the venue accepted the request."""
        if fault.kind == "hang_after":
            await asyncio.sleep(float(fault.arguments.get("seconds", HANG_SECONDS)))
        elif fault.kind == "slow":
            await asyncio.sleep(float(fault.arguments.get("seconds", 0.5)))

    def _answer(self, request: web.Request, body: str) -> web.Response:
        key = (request.method, request.path)
        query = request.rel_url.raw_query_string
        try:
            account = None
            if key in PRIVATE:
                payload = body if request.method == "POST" else query
                now = self._exchange.clock.now_ms()
                account = authenticate(self._exchange.by_key, request.headers, payload, now)
            params = _params(request.method, body, query)
            endpoint = PRIVATE.get(key) or rest_market.ENDPOINTS[key]
            result = endpoint(Call(self._exchange, params, account))
        except VenueError as error:
            return self._reply(error.code, error.message, {})
        if request.method == "POST":
            self._exchange.acted()
        return self._reply(0, "OK", result)

    def _reply(self, code: int, message: str, result: dict[str, Any]) -> web.Response:
        now = self._exchange.clock.now_ms()
        envelope = {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": result.pop("retExtInfo", {}),
            "time": now,
        }
        headers = {
            "X-Bapi-Limit": "20",
            "X-Bapi-Limit-Status": "19",
            "X-Bapi-Limit-Reset-Timestamp": str(now),
        }
        return web.Response(
            body=orjson.dumps(envelope), content_type="application/json", headers=headers
        )


def _params(method: str, body: str, query: str) -> Params:
    if method == "GET":
        return Params(dict(parse_qsl(query, keep_blank_values=True)))
    try:
        values = json.loads(body or "{}", parse_float=str)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise VenueError(PARAMS_ERROR, "params error: body is not a JSON object")
    return Params(values)


def application(exchange: Exchange, conductor: Conductor) -> web.Application:
    """Return the server of ``exchange``; ``conductor`` runs for as long as it does."""
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    route = app.router
    route.add_get("/v5/public/linear", websocket.handler(exchange, "public"))
    route.add_get("/v5/private", websocket.handler(exchange, "private"))
    route.add_get("/v5/trade", websocket.handler(exchange, "trade"))
    control.add_routes(app, exchange, conductor)
    route.add_route("*", "/{path:.*}", Rest(exchange).serve)

    async def running(_app: web.Application) -> Any:
        task = asyncio.create_task(conductor.run())
        yield
        task.cancel()
        await asyncio.wait([task], timeout=5)
        await exchange.hub.close()
        exchange.log.close()

    app.cleanup_ctx.append(running)
    return app
