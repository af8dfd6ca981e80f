"""The control endpoints of the paper exchange, under ``/__paper/``.

Decides how clients report a lockstep done, how faults are planned and how the state is read. Never
part of the venue's protocol: a client that trades needs only ``acknowledge``. Rule: bad input gets
a 400 with one line; nothing here waits.
"""

import json
from typing import Any

import orjson
from aiohttp import web

from executor.paper.conductor import Conductor
from executor.paper.exchange import Exchange
from executor.paper.faults import Fault
from executor.paper.params import Params
from executor.paper.replies import order_row, position_row, wallet_row
from executor.paper.venue.errors import VenueError
from executor.paper.venue.margin import totals, view
from features.errors import InputError


class Control:
    """Answers the control requests of one exchange."""

    def __init__(self, exchange: Exchange, conductor: Conductor) -> None:
        self._exchange = exchange
        self._conductor = conductor

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Note that a client has done everything of a close."""
        try:
            params = await _body(request)
            client = params.needed("client")
            finished = self._conductor.acknowledge(client, params.integer("close_ms", 0))
        except (VenueError, InputError) as error:
            return _refused(error)
        return _json({"ok": True, "finished": finished})

    async def fault(self, request: web.Request) -> web.Response:
        """Plan a fault."""
        try:
            params = await _body(request)
            fault = Fault(
                kind=params.needed("kind"),
                match=params.text("match"),
                count=max(1, params.integer("count", 1)),
                arguments=params.mapping("arguments"),
            )
            self._exchange.faults.plan(fault)
        except (VenueError, InputError) as error:
            return _refused(error)
        return _json({"ok": True, "planned": len(self._exchange.faults.planned)})

    async def state(self, _request: web.Request) -> web.Response:
        """Return where the market stands."""
        exchange, conductor = self._exchange, self._conductor
        return _json(
            {
                "finished": conductor.finished,
                "step": conductor.bars_done,
                "close_ms": conductor.close_ms,
                "market_ms": exchange.state.now_ms,
                "bars_left": conductor.bars_left,
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
        return _json({"insurance": f"{state.insurance:f}", "accounts": accounts})


async def _body(request: web.Request) -> Params:
    try:
        values = json.loads(await request.text() or "{}")
    except (ValueError, RecursionError, web.HTTPRequestEntityTooLarge):
        values = None
    if not isinstance(values, dict):
        raise InputError("the body is not a JSON object")
    return Params(values)


def _json(content: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json", status=status)


def _refused(error: VenueError | InputError) -> web.Response:
    return _json({"ok": False, "error": str(error)}, status=400)


def add_routes(app: web.Application, exchange: Exchange, conductor: Conductor) -> None:
    """Add the control endpoints to the server."""
    control = Control(exchange, conductor)
    app.router.add_post("/__paper/acknowledge", control.acknowledge)
    app.router.add_post("/__paper/fault", control.fault)
    app.router.add_get("/__paper/state", control.state)
    app.router.add_get("/__paper/dump", control.dump)
