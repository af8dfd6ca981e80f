"""The exchange behind its port: the paper venue's core, reached without sockets.

Decides when a request arrives and whether its reply comes back, and how frames travel to those who
listen. Never judges an order (the venue core does, with its own signature and recv_window checks).
Rule: what was sent travels on when its sender dies; a reply is what the real server would have
answered, to the byte.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import aiohttp
import orjson

from executor.paper.assembly import Assembly, assemble
from executor.paper.exchange import Exchange
from executor.paper.faults import Fault
from executor.paper.server import Rest
from executor.paper.venue import placing
from executor.paper.venue.orders import OrderRequest, Side
from tests.simulation import market
from tests.simulation.faults import Faults
from tests.simulation.lines import Lines
from tests.simulation.loop import WORLD, Process, VirtualLoop

SERVER_ERROR = b'{"retCode":10016,"retMsg":"Server error","result":{},"retExtInfo":{},"time":0}'
TOO_MANY = b'{"retCode":10006,"retMsg":"Too many visits!","result":{},"retExtInfo":{},"time":0}'
PAGE = b"<html>502 Bad Gateway</html>"
HTML = {"Content-Type": "text/html"}
RECV_WINDOW_S = 5.0
WAITING = frozenset({"lost_request", "lost_reply", "late", "slow"})
UNSEEN = frozenset({"error", "html", "rate_limit", "http_429", "reset"})
LIMITED = frozenset({"rate_limit", "http_429"})
"""Fates after which the client waits for its timeout; those of which the venue knows nothing."""


class Held(NamedTuple):
    """A position as the venue shows it; ``quantity`` is signed, ``stop`` 0 where there is none."""

    quantity: float
    entry_price: float
    stop: float


@dataclass(slots=True)
class Sent:
    """One request on its way."""

    process: Process
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    at: float
    signed_ms: int
    answer: "asyncio.Future[Reply]" = field(repr=False)
    served_at: float = 0.0

    @property
    def opens(self) -> bool:
        """Say whether this asks for something that may open a position."""
        return self.path.endswith("order/create") and self.values.get("reduceOnly") is not True

    @property
    def closes(self) -> bool:
        """Say whether this asks for an order that only closes."""
        return self.path.endswith("order/create") and not self.opens

    @property
    def raw_query_string(self) -> str:
        return self.query

    @property
    def rel_url(self) -> "Sent":
        return self

    @property
    def values(self) -> dict[str, Any]:
        """The body as an object."""
        return dict(orjson.loads(self.body)) if self.body else {}


@dataclass(slots=True)
class Reply:
    """What comes back over HTTP."""

    status: int
    data: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    reason: str = ""

    async def text(self, errors: str = "strict") -> str:
        return self.data.decode(errors=errors)


class VenueClock:
    """The venue's clock is the world's."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew_ms = 0

    def now_ms(self) -> int:
        return market.START_MS + int(self._loop.time() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()


class QuietRest(Rest):
    """The server's answers, with the code of the last one kept."""

    last_code = 0

    def _reply(self, code: int, message: str, result: Any, allowance: Any) -> Any:
        self.last_code = code
        return super()._reply(code, message, result, allowance)


class VenuePort:
    """The venue and the network before it. ``arrived`` hears of every change that was judged."""

    def __init__(self, loop: VirtualLoop, faults: Faults, seed: int, bars: int) -> None:
        self._loop = loop
        self._faults = faults
        self.clock = VenueClock(loop)
        settings = market.paper_settings(seed, bars)
        self.parts: Assembly = assemble(settings, self.clock)  # type: ignore[arg-type]  # a clock by shape
        self.lines = Lines(loop, faults)
        self.exchange.hub = self.lines  # type: ignore[assignment]  # a hub by shape
        self._rest = QuietRest(self.exchange, self.parts.commands)
        self.out_until = 0.0
        self.lingers: dict[str, float] = {}
        self.entries_vanish_until = 0.0
        self.limits = 0.0, 0.0
        self.unseen_until: dict[str, float] = {}
        self.sent: Callable[[Sent], None] = lambda request: None
        self.arriving: Callable[[Sent], None] = lambda request: None
        self.arrived: Callable[[Sent, int], None] = lambda request, code: None
        self.spoiled: Callable[[float], None] = lambda seconds: None
        self.limited: Callable[[], None] = lambda: None
        self.looked: Callable[[Process], None] = lambda process: None
        self.priced: Callable[[Process, float], None] = lambda process, at: None

    @property
    def exchange(self) -> Exchange:
        """The venue."""
        return self.parts.exchange

    @property
    def rng(self) -> random.Random:
        """All chance of the run."""
        return self._faults.rng

    async def ask(
        self, process: Process, method: str, url: str, headers: Any, data: Any, timeout_s: float
    ) -> Reply:
        """Send a request and wait for its reply, which may never come."""
        faults, loop = self._faults, self._loop
        parts = urlsplit(url)
        given = dict(headers)
        request = Sent(
            process=process,
            method=method,
            path=parts.path,
            query=parts.query,
            headers=given,
            body=data.decode() if data else "",
            at=loop.time(),
            signed_ms=int(given.get("X-BAPI-TIMESTAMP", "0")),
            answer=loop.create_future(),
        )
        if method == "POST":
            self.sent(request)
        faults.touch(process, "fetch")
        self._post(request, timeout_s)
        reply = await request.answer
        if parts.path.endswith("kline") and reply.status == 200:
            self.priced(process, request.served_at)
        faults.touch(process, "reply")
        return reply

    def _post(self, request: Sent, timeout_s: float) -> None:
        """Put a request on the wire with its fate."""
        loop, rng, faults = self._loop, self.rng, self._faults
        delay = 0.015 + 0.05 * rng.random()
        fate = faults.request_fate()
        if loop.time() < self.out_until:
            fate = "reset" if rng.random() < 0.5 else "lost_request"
        if loop.time() < self.entries_vanish_until and request.opens:
            faults.count("entry_vanishes")
            fate = "reset"
        if request.method == "GET" and self.limits[0] < loop.time() < self.limits[1]:
            faults.count("limits")
            fate = "rate_limit"
        link = str(request.values.get("orderLinkId", "")) if request.closes else ""
        if link and link not in self.unseen_until and faults.happens(faults.rates.lag):
            fate, self.unseen_until[link] = "reset_executed", loop.time() + 4 + 16 * rng.random()
        if fate:
            self.spoiled(timeout_s + 5.0 if fate in WAITING else 4.0)
        if fate in LIMITED:
            self.limited()
        if fate == "slow":
            delay += 8.0 * rng.random()
        if fate == "late":
            delay += timeout_s * 0.3 + 12.0 * rng.random()
        if request.method == "POST" and loop.time() < self.lingers.get(request.process.name, 0.0):
            faults.count("lingers")
            delay = max(delay, self._to_the_last(request))
        if fate in WAITING:
            loop.call_later(timeout_s, _fail, request.answer, TimeoutError(), context=WORLD)
        if fate == "lost_request":
            return
        if fate in UNSEEN:
            loop.call_later(delay, self._turn_away, request, fate, context=WORLD)
            return
        loop.call_later(delay, self._arrive, request, fate, context=WORLD)

    def _to_the_last(self, request: Sent) -> float:
        """Return a delay after which the venue takes the request just so."""
        valid_s = (request.signed_ms - self.clock.now_ms()) / 1000 + RECV_WINDOW_S
        return valid_s - 0.02 - 0.5 * self.rng.random()

    def _turn_away(self, request: Sent, fate: str) -> None:
        """Answer without the venue having seen the request."""
        replies = {
            "error": Reply(200, SERVER_ERROR),
            "html": Reply(502, PAGE, dict(HTML), "Bad Gateway"),
            "rate_limit": Reply(200, TOO_MANY),
            "http_429": Reply(429, PAGE, dict(HTML), "Too Many Requests"),
        }
        if fate == "reset":
            _fail(request.answer, aiohttp.ClientConnectionError("reset"))
        elif not request.answer.done():
            request.answer.set_result(replies[fate])

    def _arrive(self, request: Sent, fate: str) -> None:
        """Let the venue judge a request; say what it answered, unless that is lost."""
        exchange = self.exchange
        exchange.state.now_ms = max(exchange.state.now_ms, self.clock.now_ms())
        request.served_at = self._loop.time()
        change = request.method == "POST"
        if request.path.endswith("position/list"):
            self.looked(request.process)
        if change:
            self._tamper(request)
            self.arriving(request)
        response = self._rest._answer(request, request.body)  # type: ignore[arg-type]  # a request by shape
        if change:
            self.arrived(request, self._rest.last_code)
        if fate == "lost_reply" or request.answer.done():
            return
        if fate in ("error_executed", "html_executed", "reset_executed"):
            _spoil(request.answer, fate)
            return
        body = response.body
        assert isinstance(body, bytes)
        request.answer.set_result(Reply(200, self._as_shown(request, body)))

    def _as_shown(self, request: Sent, body: bytes) -> bytes:
        """Return an answer as a venue gives it whose reads lag behind what it did."""
        asked = parse_qs(request.query).get("orderLinkId", [""])[0]
        if not self.unseen_until or self._loop.time() >= self.unseen_until.get(asked, 0.0):
            return body
        self._faults.count("lags")
        return orjson.dumps(orjson.loads(body) | {"result": {"list": [], "nextPageCursor": ""}})

    def _tamper(self, request: Sent) -> None:
        """Let the venue do to an order what venues do now and then."""
        if not request.path.endswith(("order/create", "trading-stop")) or not self._faults.on:
            return
        symbol = str(request.values.get("symbol", ""))
        opens = request.path.endswith("create") and not request.values.get("reduceOnly")
        for kind, chance in self._faults.rates.order.items():
            if kind == "stop_rejected" and "stopLoss" not in request.values:
                continue
            if kind != "stop_rejected" and not request.path.endswith("create"):
                continue
            if self.rng.random() < chance * (1.0 if opens else 0.5):
                self._faults.count(kind)
                self.spoiled(12.0)
                share = Decimal(repr(round(0.2 + 0.6 * self.rng.random(), 2)))
                self.exchange.state.tampering.wish(kind, symbol, share)

    def forget_wishes(self) -> None:
        """Leave no fault for later."""
        self.exchange.state.tampering.wishes.clear()

    def do(self, kind: str, symbol: str = "") -> None:
        """Do to the account what somebody else does: close by hand, liquidate."""
        self.exchange.state.now_ms = max(self.exchange.state.now_ms, self.clock.now_ms())
        self.parts.commands.plan(Fault(kind=kind, match=symbol))

    def trade_by_hand(self, symbol: str, side: int, notional: float) -> None:
        """Let somebody else send a market order on the account."""
        state = self.exchange.state
        state.now_ms = max(state.now_ms, self.clock.now_ms())
        instrument = state.instruments[symbol]
        quantity = Decimal(repr(notional)) / state.prices[symbol] // instrument.lot * instrument.lot
        request = OrderRequest(
            symbol=symbol,
            side=Side.BUY if side > 0 else Side.SELL,
            is_market=True,
            quantity=max(quantity, instrument.quantity_min),
        )
        placing.place(state, state.accounts["main"], request)
        self.exchange.match()

    def open_orders(self) -> list[Any]:
        """Return what rests at the venue."""
        return list(self.exchange.state.orders.open_of("main"))

    def held(self) -> dict[str, Held]:
        """Return what the account holds, by symbol."""
        account = self.exchange.state.accounts["main"]
        return {
            p.key.symbol: Held(float(p.quantity), float(p.entry_price), float(p.stop_loss))
            for p in account.open_positions()
        }

    def price(self, symbol: str) -> float:
        """Return the last price of a symbol."""
        return float(self.exchange.state.prices[symbol])

    def equity(self) -> float:
        """Return what the account is worth."""
        account = self.exchange.state.accounts["main"]
        prices = self.exchange.state.prices
        open_profit = sum(p.profit_at(prices[p.key.symbol]) for p in account.open_positions())
        return float(account.wallet + open_profit)


def _fail(answer: "asyncio.Future[Any]", error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)


def _spoil(answer: "asyncio.Future[Any]", fate: str) -> None:
    if fate == "error_executed":
        answer.set_result(Reply(200, SERVER_ERROR))
    elif fate == "html_executed":
        answer.set_result(Reply(504, PAGE, dict(HTML), "Gateway Time-out"))
    else:
        answer.set_exception(aiohttp.ClientConnectionError("reset after sending"))
