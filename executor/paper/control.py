"""The control endpoints of the paper exchange, under ``/__paper/``.

Decides how clients report a lockstep done, how faults are planned and how the state is read. Never
part of the venue's protocol: a client that trades needs only ``acknowledge``. Rule: bad input gets
a 400 with one line; nothing here waits.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from executor.paper.assembly import Assembly
from executor.paper.faults import KINDS, fault_of
from executor.paper.params import Params, json_of
from executor.paper.replies import order_row, position_row, wallet_row
from executor.paper.venue.errors import VenueError
from executor.paper.venue.margin import totals, view
from features.errors import InputError

PAGE = Path(__file__).with_name("page.html")


class Control:
    """Answers the control requests of one exchange."""

    def __init__(self, parts: Assembly) -> None:
        self._exchange = parts.exchange
        self._conductor = parts.conductor
        self._commands = parts.commands

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Note that a client has done everything of a close."""
        try:
            params = await _body(request)
            client = params.needed("client")
            finished = self._conductor.acknowledge(
                client, params.integer("close_ms", 0), openings=params.flag("openings")
            )
        except (VenueError, InputError) as error:
            return _refused(error)
        return _json({"ok": True, "finished": finished})

    async def plan_fault(self, request: web.Request) -> web.Response:
        """Plan a fault, or carry it out where it acts at once."""
        try:
            self._commands.plan(fault_of(await _body(request)))
        except (VenueError, InputError) as error:
            return _refused(error)
        return _json({"ok": True, "planned": len(self._exchange.faults.planned)})

    async def faults(self, _request: web.Request) -> web.Response:
        """Return the faults still planned, those that acted, and what kinds there are."""
        faults = self._exchange.faults
        return _json(
            {
                "planned": [asdict(fault) for fault in faults.planned],
                "hits": [asdict(hit) for hit in faults.hits],
                "kinds": dict(KINDS),
            }
        )

    async def market(self, request: web.Request) -> web.Response:
        """Pause, resume, step, jump or change the speed of the market."""
        pace = self._conductor.pace
        try:
            params = await _body(request)
            if params.flag("pause"):
                pace.pause()
            if "speed" in params:
                pace.set_speed(float(params.decimal("speed")))
            if "jump_ms" in params:
                pace.jump(params.integer("jump_ms", 0))
            if "step" in params:
                pace.step(params.integer("step", 0))
            if params.flag("resume"):
                pace.resume()
        except (VenueError, InputError) as error:
            return _refused(error)
        return _json({"ok": True, "paused": pace.is_paused, "speed": pace.speed})

    async def state(self, _request: web.Request) -> web.Response:
        """Return where the market stands."""
        exchange, conductor = self._exchange, self._conductor
        mover = conductor.mover
        return _json(
            {
                "finished": mover.finished,
                "paused": conductor.pace.is_paused,
                "speed": conductor.pace.speed,
                "step": mover.bars_done,
                "close_ms": mover.close_ms,
                "market_ms": exchange.state.now_ms,
                "bars_left": mover.bars_left,
                "clients": conductor.clients,
                "events": exchange.log.lines,
                "event_digest": exchange.log.digest,
                "faults": len(exchange.faults.hits),
                "connections": {
                    "public": len(exchange.hub.public),
                    "private": len(exchange.hub.private),
                    "trade": len(exchange.hub.trade),
                },
            }
        )

    async def dump(self, _request: web.Request) -> web.Response:
        """Return every account with its wallet, positions and open orders."""
        state = self._exchange.state
        accounts = {
            name: {
                "wallet": wallet_row(totals(state, account)),
                "booked": {str(kind): f"{sum_:f}" for kind, sum_ in account.booked.items()},
                "positions": [
                    position_row(view(state, account, position))
                    for position in account.open_positions()
                ],
                "orders": [order_row(order) for order in state.orders.open_of(name)],
            }
            for name, account in state.accounts.items()
        }
        prices = {symbol: f"{price:f}" for symbol, price in state.prices.items()}
        insurance = f"{state.insurance:f}"
        return _json({"prices": prices, "insurance": insurance, "accounts": accounts})

    async def page(self, _request: web.Request) -> web.Response:
        """Return the status page."""
        return web.Response(text=PAGE.read_text(), content_type="text/html")


async def _body(request: web.Request) -> Params:
    try:
        values = json_of((await request.read()).decode() or "{}")
    except (UnicodeDecodeError, web.HTTPRequestEntityTooLarge, web.RequestPayloadError):
        values = None
    if not isinstance(values, dict):
        raise InputError("the body is not a JSON object")
    return Params(values)


def _json(content: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json", status=status)


def _refused(error: VenueError | InputError) -> web.Response:
    return _json({"ok": False, "error": str(error)}, status=400)


def add_routes(app: web.Application, parts: Assembly) -> None:
    """Add the control endpoints to the server."""
    control = Control(parts)
    app.router.add_get("/", control.page)
    app.router.add_post("/__paper/acknowledge", control.acknowledge)
    app.router.add_post("/__paper/fault", control.plan_fault)
    app.router.add_get("/__paper/faults", control.faults)
    app.router.add_post("/__paper/market", control.market)
    app.router.add_get("/__paper/state", control.state)
    app.router.add_get("/__paper/dump", control.dump)
