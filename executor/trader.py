"""One queue, one loop: event → step → journal → act. The only writer of the trading state.

Decides the order in which things happen and nothing else: what a close, a fill or a command means
is the core's business. Never sends before the journal has it, never handles two events at once,
never waits for the network (`order_manager` and `feed` do, and come back through the queue).
Rule: an event that cannot be journaled ends the process; a start is the way to recover.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from executor.clock import Clock
from executor.core.contract import NoticeCode
from executor.core.events import (
    BarClosed,
    Command,
    Event,
    FillReceived,
    FundingPaid,
    GateFacts,
    HistoryLoaded,
    ModelSwapped,
    OrderUpdated,
    Tick,
    VenueSnapshot,
)
from executor.core.orders import is_active
from executor.core.params import DAY_MS, Params
from executor.core.reconcile import shown, unseen
from executor.core.state import TradingState
from executor.core.step import step
from executor.core.types import Bar, FillKind, Outcome
from executor.counters import Counters
from executor.journal.recovery import write_event, write_state
from executor.journal.rows import Entry
from executor.journal.store import Journal
from executor.market.feed import BarsReady, Feed
from executor.order_manager import ActionDone, AllSettled, OrderManager
from executor.venue.streams import (
    CandlePushed,
    PositionPushed,
    StreamEvent,
    Subscribed,
    Unreadable,
)

LOST_AGE_S: Final = 60.0  # older than anything that may still arrive or is still wanted
SNAPSHOT_BYTES_A_BAR: Final = 5_000  # a snapshot costs a sync and 1 ms for each 40 kB of it
SNAPSHOT_BARS_MAX: Final = 32  # what a start may have to decide again
TURNS_TO_LEAVE: Final = 2  # one in which a request is signed, and one in which aiohttp writes it

log = structlog.get_logger("trader")


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotTaken:
    """What the venue says of us, and how many account events had come when it was asked."""

    snapshot: VenueSnapshot
    generation: int


Item = (
    StreamEvent
    | BarsReady
    | ActionDone
    | AllSettled
    | SnapshotTaken
    | FundingPaid
    | Command
    | ModelSwapped
    | Tick
)
Facts = Callable[[BarClosed], GateFacts]
Hook = Callable[[Event, Outcome], None]


class Trader:
    """Owns the state. ``inbox`` takes everything; :meth:`run` handles it in order of arrival."""

    def __init__(
        self,
        *,
        state: TradingState,
        params: Params,
        journal: Journal,
        orders: OrderManager,
        feed: Feed,
        clock: Clock,
        counters: Counters,
        inbox: "asyncio.Queue[Item]",
        facts: Facts,
        lease_token: Callable[[], int],
        after: Hook,
        quiet: Callable[[int], Awaitable[None]],
        nudge: Callable[[bool], None],
    ) -> None:
        self.state = state
        self._params = params
        self._journal = journal
        self._orders = orders
        self._feed = feed
        self._clock = clock
        self._counters = counters
        self._inbox = inbox
        self._facts = facts
        self._lease_token = lease_token
        self._after = after
        self._quiet = quiet
        self._nudge = nudge
        self._snapshot_bytes = 0
        self._saved_bars = state.bars_processed
        self._untold: list[tuple[Event, Outcome]] = []
        self.closing = False
        self.reconciled = False
        self.generation = 0
        self.handled = 0
        self.openings = 0
        orders.newest_close_ms = state.close_ms

    async def run(self) -> None:
        """Handle what comes, for as long as the process runs."""
        while True:
            item = await self._inbox.get()
            self.handle(item)
            if self._orders.in_flight:  # let what was decided leave before anything else is done
                for _ in range(TURNS_TO_LEAVE):
                    await asyncio.sleep(0)
                self._tell()
            elif self._inbox.empty():
                self._save_if_due()
                await self._quiet(self.state.close_ms)

    def handle(self, item: Item) -> None:
        """Handle one item, completely."""
        self.handled += 1
        match item:
            case CandlePushed() | BarsReady() if self.closing:
                pass
            case CandlePushed():
                asks = item.candle.open_ms == self.state.close_ms and not item.confirmed
                self.openings += asks
                self._feed.on_candle(item)
                self._closes()
            case BarsReady():
                self._closes()
            case AllSettled():
                self._orders.settle()
            case FillReceived():
                self._fill(item)
            case OrderUpdated() | FundingPaid():
                self._account_event(item)
            case ActionDone():
                self._journal.done(item.kind, [item.client_order_id])
                if item.problem:
                    self._nudge(False)
            case SnapshotTaken():
                self._snapshot(item)
            case PositionPushed():
                self._compare(item)
            case Subscribed():
                self._nudge(item.private)
            case Unreadable():
                self._unreadable(item)
            case _:
                self.apply(item)

    def _closes(self) -> None:
        """Hand every complete close to the core, oldest first, once the venue was asked."""
        while self.reconciled and (close_ms := self._feed.ready()) is not None:
            bars = self._feed.take(close_ms)
            if close_ms <= self.state.close_ms:
                log.warning("late_close_dropped", close_ms=close_ms, bars=len(bars))
                continue
            self._close(close_ms, bars)

    def _close(self, close_ms: int, bars: tuple[Bar, ...]) -> None:
        decided = self._clock.monotonic()  # what stands still after the facts acts on old ones
        event = BarClosed(close_ms=close_ms, bars=bars)
        event = BarClosed(close_ms=close_ms, bars=bars, facts=self._facts(event))
        self._counters.bars += 1
        self._orders.newest_close_ms = close_ms
        self.apply(event, decided)

    def _fill(self, item: FillReceived) -> None:
        self.generation += 1
        if self._journal.has_fill(item.fill.fill_id):
            self._counters.duplicate_fills += 1
            return
        self._counters.fills += 1
        outcome = self.apply(item)
        stopped = item.fill.kind is FillKind.STOP  # in part, perhaps: the rest is unprotected
        if stopped or any(n.code is NoticeCode.UNKNOWN_FILL for n in outcome.notices):
            self._nudge(False)

    def _account_event(self, item: OrderUpdated | FundingPaid) -> None:
        """Take news of an order, or a settlement that was not booked yet."""
        self.generation += 1
        known = isinstance(item, FundingPaid) and self._journal.has_funding(
            item.symbol, item.time_ms
        )
        if known:
            return
        self.apply(item)
        if isinstance(item, OrderUpdated) and item.filled_quantity:
            order = self.state.order(item.client_order_id)
            if order is not None and order.filled_quantity < item.filled_quantity * (1.0 - 1e-9):
                self._missed("an order is further filled than we know", item.symbol)

    def _compare(self, item: PositionPushed) -> None:
        """Compare a pushed position with the ledger: executions come before it on the socket."""
        held = self.state.ledger.positions.get(item.symbol)
        known = held.side * held.quantity if held is not None else 0.0
        if abs(known - item.quantity) > self._params.reconcile.quantity_tolerance:
            self._missed("a position is not what we know", item.symbol)

    def _missed(self, why: str, symbol: str) -> None:
        """Ask for executions that no frame told of."""
        self._counters.missed_frames += 1
        log.warning("frame_missed", why=why, symbol=symbol)
        self._nudge(True)

    def _unreadable(self, item: Unreadable) -> None:
        """Count a lost frame; what it would have said is asked for."""
        self._counters.unreadable += 1
        log.warning("frame_unreadable", topic=item.topic, reason=item.reason)
        self._nudge(True)

    def _snapshot(self, item: SnapshotTaken) -> None:
        """Take a snapshot only where nothing happened since it was asked for."""
        # The word on an order may wait behind it: one refused would be looked for and sent again.
        if item.generation != self.generation or self._orders.is_unsettled:
            self._counters.snapshots_dropped += 1
            self._nudge(False)
            return
        for word in shown(self.state.active, item.snapshot):
            self._account_event(word)
        ended = unseen(self.state.active, item.snapshot)
        suspected = set(self.state.suspicions)
        self.apply(item.snapshot)
        for key in sorted(self.state.suspicions.keys() - suspected):
            self._missed("the venue holds something else than we know", key.partition(":")[0])
        for order in ended:
            self._orders.resume(order.intent, self._clock.monotonic() - LOST_AGE_S)
        if not self.reconciled:
            self.reconciled = True
            self._closes()

    def apply(self, event: Event, decided: float | None = None) -> Outcome:
        """Let the core decide, write it down, and only then begin to act.

        Others are told afterwards, and where orders are sent, once these have left. An entry's age
        counts from ``decided``: now, or when the facts were taken (seconds, monotonic).
        """
        self._tell()
        if decided is None:
            decided = self._clock.monotonic()
        day = self._new_day(event)
        outcome = step(self.state, event, self._params)
        entry = Entry(
            kind=type(event).__name__,
            market_ms=_market_ms(event),
            body=write_event(event),
            outcome=outcome,
            fill=event.fill if isinstance(event, FillReceived) else None,
            ended=self._ended_by(event),
            order=event if isinstance(event, OrderUpdated) else None,
            equity=self._equity(event),
            day=day,
        )
        # When it was decided, for the next process, too; read in this order it is never too young.
        recorded_ms = self._clock.now_ms() - int(1000 * (self._clock.monotonic() - decided))
        self._journal.record(entry, recorded_ms=recorded_ms, lease_token=self._lease_token())
        self._orders.carry_out(outcome, decided)
        self._untold.append((event, outcome))
        if not outcome.intents:
            self._tell()
        return outcome

    def _tell(self) -> None:
        """Tell others what was done and not told yet."""
        untold, self._untold = self._untold, []
        for event, outcome in untold:
            self._after(event, outcome)

    def save(self) -> int:
        """Write the state as it stands, so that the next start has nothing to replay."""
        text = write_state(self.state)
        self._journal.save_snapshot(text)
        self._saved_bars = self.state.bars_processed
        return len(text)

    def _ended_by(self, event: Event) -> str:
        """Return which order's last execution this is, "" for none: its end may be told by none."""
        name = event.fill.client_order_id if isinstance(event, FillReceived) else ""
        order = self.state.order(name) if name else None
        return name if order is not None and not is_active(order) else ""

    def _equity(self, event: Event) -> tuple[int, float, float] | None:
        if not isinstance(event, BarClosed):
            return None
        return event.close_ms, self.state.equity(), self.state.ledger.cash

    def _new_day(self, event: Event) -> str | None:
        """Return the UTC day that a close is the first of, else None."""
        if (
            isinstance(event, BarClosed)
            and event.close_ms // DAY_MS > self.state.close_ms // DAY_MS
        ):
            return day_of(event.close_ms)
        return None

    def _save_if_due(self) -> None:
        """Save the state after a close when nothing else waits, more seldom the larger it is."""
        closed = self.state.bars_processed - self._saved_bars
        wanted = min(SNAPSHOT_BARS_MAX, self._snapshot_bytes // SNAPSHOT_BYTES_A_BAR)
        if closed and closed >= wanted:
            self._snapshot_bytes = self.save()


def day_of(time_ms: int) -> str:
    """Return the UTC day of a market time."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).date().isoformat()


def _market_ms(event: Event) -> int:
    """Return the market time of an event."""
    match event:
        case BarClosed():
            return event.close_ms
        case FillReceived():
            return event.fill.time_ms
        case Tick():
            return event.now_ms
        case HistoryLoaded():
            return event.closes[-1].close_ms
        case _:
            return event.time_ms
