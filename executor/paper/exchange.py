"""The venue, its market and its listeners put together.

Decides nothing of its own: it sets the venue's time and prices from the market and publishes what
the venue tells. Rule: whatever changes the venue ends with ``publish``, so that no event waits.
"""

from collections.abc import Collection
from decimal import Decimal

from executor.paper import replies
from executor.paper.clock import Clock
from executor.paper.deltas import Deltas
from executor.paper.disconnect import Disconnection
from executor.paper.eventlog import EventLog
from executor.paper.faults import STREAM, WORDS_MAX, Fault, Faults
from executor.paper.hub import Hub
from executor.paper.limits import Limits
from executor.paper.market import Market, Running, Series, going_on, until
from executor.paper.settings import Settings
from executor.paper.venue import matching
from executor.paper.venue.account import Account, Booking
from executor.paper.venue.events import (
    Event,
    Executed,
    OrderChanged,
    PositionChanged,
    WalletChanged,
)
from executor.paper.venue.state import VenueState, new_state
from executor.paper.volatility import VolatilityStream
from features.costs import Costs


class Exchange:
    """Everything that one run of the paper exchange holds."""

    def __init__(self, settings: Settings, market: Market, clock: Clock) -> None:
        self.settings = settings
        self.market = market
        self.clock = clock
        self.faults = Faults(settings.fault_seed, settings.fault_rate)
        self.hub = Hub(self._tamper)
        self.deltas = Deltas()
        self.limits = Limits(enforced=settings.limited)
        self.maintenance_until = 0.0
        self.stale_bars = 0
        self.log = EventLog(settings.event_log)
        self.running: dict[str, Running] = {}
        self._connections = 0
        self._ahead: dict[str, Series] = {}  # the whole of those that are closed
        self._volatility = {symbol: VolatilityStream() for symbol in market.series}
        self.holds_takers = settings.speed == 0.0
        costs = Costs(
            taker_fee=settings.taker_fee,
            maker_fee=settings.maker_fee,
            slippage_base=settings.slippage_base,
            slippage_volatility=settings.slippage_volatility,
        )
        instruments = (series.instrument for series in market.series.values())
        self.state: VenueState = new_state(settings.seed, costs, instruments)
        self.by_key: dict[str, Account] = {}
        for one in settings.accounts:
            account = Account(
                name=one.name,
                api_key=one.api_key,
                secret=one.secret,
                taker_fee=settings.taker_fee,
                maker_fee=settings.maker_fee,
            )
            account.book(Booking.DEPOSIT, one.balance)
            self.state.accounts[one.name] = account
            self.by_key[one.api_key] = account
        self.disconnection = Disconnection(self.state, self.hub)
        self._begin()

    def _begin(self) -> None:
        """Stand at the opening of the first bar to stream."""
        self.state.now_ms = self.market.now_ms
        for symbol, series in self.market.series.items():
            index = max(0, series.index_before(self.market.now_ms))
            last = float(series.candles.close[index])
            self.state.move(symbol, series.instrument.price(last))
        self.open_bar(self.market.now_ms)

    def open_bar(self, open_ms: int) -> None:
        """Show the opening price of the bars that begin at ``open_ms``."""
        self.state.now_ms = open_ms
        for symbol, series in self.market.series.items():
            index = series.index_of(open_ms)
            if index < 0:
                continue
            price = float(series.candles.open[index])
            self.state.move(symbol, series.instrument.price(price))
            stream = self._volatility[symbol]
            self.state.volatility[symbol] = stream.before(series.candles, index)
            self.running[symbol] = Running(
                open_ms=open_ms, high=price, low=price, close=price, volume=0.0
            )
            if self.settings.participation:
                share = self.settings.participation * float(series.candles.volume[index])
                self.state.liquidity[symbol] = Decimal(repr(share))

    def next_connection(self) -> str:
        """Return the id of a new connection."""
        self._connections += 1
        return f"paper-{self._connections:06d}"

    def _tamper(self, topic: str, frame: bytes) -> Fault | None:
        """Return the fault that meets a message of ``topic``."""
        if not self.faults.armed:
            return None
        words = frame[frame.index(b"{") :][:WORDS_MAX].decode(errors="replace")
        return self.faults.take(STREAM, topic, words, self.state.now_ms)

    @property
    def is_closed(self) -> bool:
        """Whether the venue is down for maintenance."""
        return self.clock.monotonic() < self.maintenance_until

    def is_listed(self, symbol: str) -> bool:
        """Say whether ``symbol`` has a market: one that is closed has no bars and no ticker."""
        return self.state.instruments[symbol].status != "Closed"

    def list_or_close(self, symbol: str) -> None:
        """Bring a symbol's bars into line with its status: none come while it is closed."""
        series, now = self.market.series[symbol], self.state.now_ms
        if not self.is_listed(symbol) and symbol not in self._ahead:
            self._ahead[symbol] = series
            self.market.series[symbol] = until(series, now, self.running.pop(symbol, None))
        elif self.is_listed(symbol) and symbol in self._ahead:
            self.market.series[symbol] = going_on(series, self._ahead.pop(symbol), now)

    def hide_running_bar(self, symbol: str) -> None:
        """Leave the running bar of ``symbol`` out of everything shown of it, now and later."""
        series = self.market.series[symbol]
        index = series.index_of(self.running[symbol].open_ms) if symbol in self.running else -1
        if index >= 0:
            self.market.series[symbol] = series.without(index)
            self.running.pop(symbol)

    def match(self, symbols: Collection[str] | None = None) -> None:
        """Let waiting orders (of ``symbols``, if given) take, and tell what came of it."""
        chosen = self.market.series.keys() - self._ahead.keys() if symbols is None else symbols
        matching.match_takers(self.state, chosen)
        self.publish()

    def publish(self) -> None:
        """Write the venue's new events to the log and to the private streams."""
        done, self.state.tampering.done = self.state.tampering.done, []
        for kind, symbol, order_id in done:
            order = self.state.orders.by_id.get(order_id)
            what = f"{order_id} {order.link_id if order is not None else ''}".rstrip()
            self.faults.record(Fault(kind=kind), symbol, what, self.state.now_ms)
        for event in self.state.drain():
            if isinstance(event, Executed) and event.kind == "BustTrade":
                self._tell_liquidation(event)
            for topic, row in topic_rows(event):
                self.log.write(self.state.now_ms, event.account, topic, row)
                number = self.log.lines
                self.hub.publish_private(
                    event.account,
                    topic,
                    {
                        "id": f"{self.settings.seed}_{event.account}_{number}",
                        "topic": topic,
                        "creationTime": self.clock.now_ms(),
                        "data": [row],
                    },
                )
        self.log.flush()

    def _tell_liquidation(self, event: Executed) -> None:
        """Let everybody know whose side was liquidated, at what price."""
        order = event.order
        row = {
            "T": event.time_ms,
            "s": order.symbol,
            "S": str(order.side.opposite),
            "v": replies.text(event.quantity),
            "p": replies.text(event.price),
        }
        topic = f"allLiquidation.{order.symbol}"
        message = {"topic": topic, "type": "snapshot", "ts": event.time_ms, "data": [row]}
        self.hub.publish(topic, message)


def topic_rows(event: Event) -> list[tuple[str, replies.Row]]:
    """Return the private topics of an event with the row each of them carries."""
    match event:
        case OrderChanged():
            return [("order", replies.order_push(event.order, event.profit))]
        case Executed():
            rows = [("execution", replies.execution_row(event))]
            if event.kind == "Trade":
                rows.append(("execution.fast", replies.fast_execution_row(event)))
            return rows
        case PositionChanged():
            return [("position", replies.position_push(event))]
        case WalletChanged():
            return [("wallet", replies.wallet_row(event))]
