"""The one adapter over ccxt: everything the executor asks of the exchange.

Decides how a question or a change is put to the venue and what its answer is worth. Never decides
whether to trade, and never resends a change (its failure is classed by `venue_errors`, where the
tree stands). Rule: ccxt's symbols, dictionaries and exceptions do not leave this module and its
`venue_` parts; quantities and prices go out as the exact multiples of lot and tick they stand for.
"""

import asyncio
import math
from collections.abc import Awaitable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Final

from executor.clock import Clock
from executor.core.events import FillReceived, FundingPaid, OrderUpdated, VenueSnapshot
from executor.core.types import CancelIntent, Instrument, OrderIntent, Protect
from executor.core.universe import Liquidity
from executor.errors import UnknownOutcomeError, VenueError
from executor.settings.sections import Recovery
from executor.settings.sections import Venue as VenueSettings
from executor.venue import rows as venue_rows
from executor.venue import streams as venue_streams
from executor.venue.calls import PAGES_MAX, Calls
from executor.venue.client import Fence, Seam, build, configuration
from executor.venue.errors import NOT_MODIFIED, ORDER_GONE
from features.errors import InputError
from features.suggest import unknown_name
from features.types import Candle

SUPPORTED: Final = ("bybit",)
KLINES_PER_PAGE: Final = 1_000
SETTLEMENTS_PER_PAGE: Final = 200
LINEAR: Final = {"category": "linear", "settleCoin": "USDT"}


class Venue:
    """An open connection to one exchange account. Call :meth:`open` first, :meth:`close` last."""

    def __init__(
        self,
        settings: VenueSettings,
        *,
        environment: str,
        clock: Clock,
        fence: Fence,
        emit: venue_streams.Emit,
        recovery: Recovery | None = None,
    ) -> None:
        if settings.id not in SUPPORTED:
            raise InputError("[venue] id: " + unknown_name("venue", settings.id, SUPPORTED))
        seam = Seam(clock=clock, fence=fence, sink=partial(venue_streams.deliver, emit))
        # Two objects, two rate limiters: a backfill never delays an order.
        self._trade = build(settings.id, seam, configuration(settings, private=True))
        self._data = build(settings.id, seam, configuration(settings, private=False))
        if environment == "testnet" and not settings.url:
            self._trade.set_sandbox_mode(True)
            self._data.set_sandbox_mode(True)
        self.calls = Calls(self._trade.load_time_difference, clock, recovery)
        self._names: dict[str, str] = {}
        self.instruments: dict[str, Instrument] = {}
        self.lost_streams: dict[str, str] = {}
        self.free_margin = math.inf

    async def open(self) -> None:
        """Read the markets and the difference of the clocks."""
        await self.calls.query("markets", self._trade.load_markets)
        self._data.set_markets(self._trade.markets)
        await self.sync_clock()
        for market in self._trade.markets.values():
            if market["linear"] and market["swap"] and market["quote"] == "USDT":
                self._names[market["id"]] = market["symbol"]
                self.instruments[market["id"]] = _instrument(market)

    async def close(self) -> None:
        """Close both connections; whatever still waits on them ends with an error."""
        await asyncio.gather(self._trade.close(), self._data.close())

    def check_symbols(self, symbols: Sequence[str]) -> None:
        """Refuse a symbol that the venue does not list."""
        for symbol in symbols:
            if symbol not in self.instruments:
                raise InputError(unknown_name("symbol", symbol, self.instruments))

    async def sync_clock(self) -> int:
        """Measure how far our clock is ahead of the venue's, in milliseconds, and allow for it."""
        await self.calls.query("time", self._trade.load_time_difference)
        return self.clock_offset_ms

    @property
    def clock_offset_ms(self) -> int:
        """Return how far our clock was ahead of the venue's when last measured."""
        return int(self._trade.options.get("timeDifference") or 0)

    async def candles(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> list[Candle]:
        """Return the bars that start from ``start_ms`` to before ``end_ms``, ascending."""
        found: dict[int, Candle] = {}
        for _ in range(PAGES_MAX):
            since = max(found) + 1 if found else start_ms
            page = await self._klines(symbol, interval, since, {"until": end_ms - 1})
            fresh = {c.open_ms: c for c in page if since <= c.open_ms < end_ms}
            found |= fresh
            if len(fresh) < KLINES_PER_PAGE:
                break
        return [found[at] for at in sorted(found)]

    async def newest_candles(self, symbol: str, interval: str, count: int) -> list[Candle]:
        """Return the newest ``count`` bars or a few more, ascending; the last may be unfinished."""
        found: dict[int, Candle] = {}
        for _ in range(PAGES_MAX):
            before = {"until": min(found) - 1} if found else {}
            page = await self._klines(symbol, interval, None, before)
            fresh = {c.open_ms: c for c in page if c.open_ms not in found}
            found |= fresh
            if len(found) >= count or len(fresh) < KLINES_PER_PAGE - 1:
                break
        return [found[at] for at in sorted(found)]

    async def _klines(
        self, symbol: str, interval: str, since: int | None, params: Mapping[str, int]
    ) -> list[Candle]:
        ask = partial(
            self._data.fetch_ohlcv,
            self._names[symbol],
            interval,
            since,
            KLINES_PER_PAGE,
            dict(params),
        )
        return [venue_rows.candle(row) for row in await self.calls.query("kline", ask)]

    async def funding(self, symbol: str, start_ms: int) -> list[tuple[int, float]]:
        """Return the funding settlements (time, rate) since ``start_ms``, ascending."""
        found: dict[int, float] = {}
        request = {"category": "linear", "symbol": symbol, "limit": SETTLEMENTS_PER_PAGE}
        for _ in range(PAGES_MAX):
            ask = partial(self._data.publicGetV5MarketFundingHistory, dict(request))
            reply = await self.calls.query("funding", ask)
            page = dict(venue_rows.settlement(row) for row in venue_rows.rows(reply))
            found |= page
            if len(page) < SETTLEMENTS_PER_PAGE or min(page) <= start_ms:
                break
            request["endTime"] = min(page) - 1
        return sorted(item for item in found.items() if item[0] >= start_ms)

    async def next_settlements(self) -> dict[str, int]:
        """Return the time of the next funding settlement by symbol, of those that have one."""
        found = dict(venue_rows.announced(row) for row in await self._tickers())
        return {symbol: at for symbol, at in found.items() if at}

    async def liquidity(self) -> list[Liquidity]:
        """Return turnover and price of every symbol, in one call."""
        return [venue_rows.liquidity(row) for row in await self._tickers()]

    async def _tickers(self) -> list[venue_rows.Row]:
        ask = partial(self._data.publicGetV5MarketTickers, {"category": "linear"})
        return venue_rows.rows(await self.calls.query("tickers", ask))

    async def submit(self, intent: OrderIntent) -> str:
        """Send one order, once; return the venue's id of it.

        Raises
        ------
        FenceError, RejectedError, RateLimitedError, RetryableError, FatalError
            The order does not exist at the venue.
        UnknownOutcomeError
            It may exist: query by client order id before anything else.
        """
        symbol = intent.symbol
        request: dict[str, Any] = {
            "category": "linear",
            "symbol": symbol,
            "side": "Buy" if intent.side > 0 else "Sell",
            "orderType": "Limit" if intent.price else "Market",
            "qty": _snap(intent.quantity, self.instruments[symbol].lot),
            "orderLinkId": intent.client_order_id,
        }
        if intent.price:
            request["price"] = self._price(symbol, intent.price)
        if intent.reduce_only:
            request["reduceOnly"] = True
        if intent.stop_price:
            request["stopLoss"] = self._price(symbol, intent.stop_price)
        if intent.take_price:
            request["takeProfit"] = self._price(symbol, intent.take_price)
        send = partial(self._trade.privatePostV5OrderCreate, request)
        made = await self.calls.change("exit" if intent.reduce_only else "order", send)
        found = made.get("result") if isinstance(made, Mapping) else None
        if not isinstance(found, Mapping) or not found.get("orderId"):
            raise UnknownOutcomeError("the venue's acknowledgement holds no order id")
        return str(found["orderId"])

    async def protect(self, protect: Protect) -> None:
        """Set the stop and take of a position; the same again is no error."""
        request = {
            "category": "linear",
            "symbol": protect.symbol,
            "tpslMode": "Full",
            "positionIdx": 0,
        }
        if protect.stop_price:
            request["stopLoss"] = self._price(protect.symbol, protect.stop_price)
        if protect.take_price:
            request["takeProfit"] = self._price(protect.symbol, protect.take_price)
        send = partial(self._trade.privatePostV5PositionTradingStop, request)
        await self.calls.change("protect", send, fine=NOT_MODIFIED)

    async def cancel(self, cancel: CancelIntent) -> None:
        """Take one order away; an order that is gone already is no error."""
        request = {"category": "linear", "symbol": cancel.symbol}
        if cancel.venue_order_id:
            request["orderId"] = cancel.venue_order_id
        else:
            request["orderLinkId"] = cancel.client_order_id
        send = partial(self._trade.privatePostV5OrderCancel, request)
        await self.calls.change("cancel", send, fine=ORDER_GONE)

    async def key_info(self) -> Mapping[str, Any]:
        """Return what the venue says of our key, as it came."""
        reply = await self.calls.query("key", self._trade.privateGetV5UserQueryApi)
        found = reply.get("result") if isinstance(reply, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    async def set_leverage(self, symbol: str, leverage: float) -> None:
        """Set the leverage of a symbol; the same again is no error."""
        most = self.instruments[symbol].leverage_max
        text = _plain(Decimal(repr(min(leverage, most))))
        request = {
            "category": "linear",
            "symbol": symbol,
            "buyLeverage": text,
            "sellLeverage": text,
        }
        send = partial(self._trade.privatePostV5PositionSetLeverage, request)
        await self.calls.change("leverage", send, fine=NOT_MODIFIED)

    async def order(self, symbol: str, client_order_id: str) -> OrderUpdated | None:
        """Return what the venue knows of an order of ours, None where it knows none."""
        request = {"category": "linear", "symbol": symbol, "orderLinkId": client_order_id}
        for ask in (self._trade.privateGetV5OrderRealtime, self._trade.privateGetV5OrderHistory):
            reply = await self.calls.query("order_query", partial(ask, dict(request)))
            for row in venue_rows.rows(reply):
                if row.get("orderLinkId") == client_order_id:
                    return venue_rows.order_update(row)
        return None

    async def executions(
        self, since_ms: int, *, urgent: bool = False
    ) -> list[FillReceived | FundingPaid]:
        """Return our fills and funding payments since ``since_ms``, oldest first.

        An ``urgent`` query is made even while the venue wants to be left alone.
        """
        found: list[FillReceived | FundingPaid] = []
        cursor = ""
        for _ in range(PAGES_MAX):
            request = {"category": "linear", "limit": 100} | ({"cursor": cursor} if cursor else {})
            ask = partial(self._trade.privateGetV5ExecutionList, request)
            reply = await self.calls.query("executions", ask, urgent=urgent)
            page = [event for row in venue_rows.rows(reply) if (event := venue_rows.execution(row))]
            fresh = [event for event in page if _time_ms(event) >= since_ms]
            found += fresh
            cursor = str(reply["result"].get("nextPageCursor") or "")
            if not cursor or len(fresh) < len(page):
                break
        return found[::-1]

    async def snapshot(self, time_ms: int, *, urgent: bool = False) -> VenueSnapshot:
        """Return wallet, positions and open orders; any query that fails fails all of it.

        An ``urgent`` one is asked for even while the venue wants to be left alone.
        """
        trade, calls = self._trade, self.calls
        wallet = partial(trade.privateGetV5AccountWalletBalance, {"accountType": "UNIFIED"})
        every_position, every_order = {**LINEAR, "limit": 200}, {**LINEAR, "limit": 50}
        balance, positions, orders = await asyncio.gather(
            calls.query("wallet", wallet, urgent=urgent),
            calls.pages("positions", trade.privateGetV5PositionList, every_position, urgent=urgent),
            calls.pages("orders", trade.privateGetV5OrderRealtime, every_order, urgent=urgent),
        )
        self.free_margin = venue_rows.free_margin(balance)
        held = [venue_rows.position(row) for row in positions]
        return VenueSnapshot(
            time_ms=time_ms,
            wallet_balance=venue_rows.wallet_balance(balance),
            positions=tuple(position for position in held if position is not None),
            orders=tuple(venue_rows.open_order(row) for row in orders),
        )

    async def watch_candles(self, symbols: Sequence[str], interval: str) -> None:
        """Subscribe to bars; ends only by raising :class:`RetryableError` at a disconnect."""
        names = [self._names[symbol] for symbol in symbols]
        watching = venue_streams.watch_candles(self._data, names, list(symbols), interval)
        await self._watch("candles", watching)

    async def unwatch_candles(self, symbols: Sequence[str], interval: str) -> None:
        """Ask for no more bars of ``symbols``; what comes all the same concerns nobody."""
        names = [self._names[symbol] for symbol in symbols]
        await venue_streams.unwatch_candles(self._data, names, list(symbols), interval)

    async def watch_account(self) -> None:
        """Subscribe to orders, executions, positions and wallet, until a disconnect."""
        watching = venue_streams.watch_account(self._trade, next(iter(self._names.values())))
        await self._watch("account", watching)

    async def _watch(self, name: str, watching: Awaitable[None]) -> None:
        """Remember why a socket was lost, until whoever hears of its return forgets it."""
        try:
            await watching
        except VenueError as error:
            self.lost_streams[name] = str(error)
            raise

    def _price(self, symbol: str, price: float) -> str:
        return _snap(price, self.instruments[symbol].tick)


def _time_ms(event: FillReceived | FundingPaid) -> int:
    return event.fill.time_ms if isinstance(event, FillReceived) else event.time_ms


def _instrument(market: Mapping[str, Any]) -> Instrument:
    """Return what we keep of a ccxt market."""
    limits, info = market["limits"], market["info"]
    lots = info.get("lotSizeFilter", {})
    return Instrument(
        symbol=str(market["id"]),
        tick=float(market["precision"]["price"]),
        lot=float(market["precision"]["amount"]),
        quantity_min=float(limits["amount"]["min"] or 0.0),
        notional_min=float(limits["cost"]["min"] or 0.0),
        leverage_max=float(limits["leverage"]["max"] or 1.0),
        quantity_max=float(lots.get("maxMktOrderQty") or limits["amount"]["max"] or 1e18),
        trading=info.get("status", "Trading") == "Trading",
    )


def _snap(value: float, step: float) -> str:
    """Return ``value``, a multiple of ``step`` but for the float's last bits, as exact text.

    ccxt truncates: 0.57 held as 0.5699999999999999 would lose a lot.
    """
    unit = Decimal(repr(step))
    return _plain((Decimal(repr(value)) / unit).to_integral_value() * unit)


def _plain(value: Decimal) -> str:
    return format(value.normalize(), "f")
