"""What surrounds the trader: the facts it is given, and what follows from what it did.

Decides how old things are (market time where the market is accelerated, wall time otherwise), what
is published after an event, and what happens when nothing is left to do: self-tuning, a snapshot,
the acknowledgement of a close. Never changes the trading state but through the trader.
Rule: facts are measured at the moment they are asked for, and journaled with the event.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import structlog

from executor.clock import Clock
from executor.core.contract import ALERTING, CommandName, NoticeCode, Verdict
from executor.core.events import BarClosed, Command, Event, GateFacts, ModelSwapped, Tick
from executor.core.types import Notice, Outcome
from executor.health.overview import Overview
from executor.health.publisher import Publisher
from executor.journal.store import Journal
from executor.lease.lease import Lease
from executor.market.feed import Feed
from executor.market.lockstep import Lockstep
from executor.model_changes import ModelChanges
from executor.order_manager import OrderManager
from executor.reconciler import Reconciler
from executor.trader import Item, Trader
from executor.venue.adapter import Venue

FLAT_PAUSE_S: Final = 2.0
LOOK_S: Final = 20.0

log = structlog.get_logger("trader")


class Surroundings:
    """Made before the trader; :meth:`surround` is called once everything exists."""

    def __init__(
        self,
        *,
        clock: Clock,
        overview: Overview,
        journal: Journal,
        lease: Lease,
        venue: Venue,
        feed: Feed,
        lockstep: Lockstep | None,
        inbox: "asyncio.Queue[Item]",
        listening: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._overview = overview
        self._journal = journal
        self._lease = lease
        self._venue = venue
        self._feed = feed
        self._lockstep = lockstep
        self._inbox = inbox
        self._listening = listening
        self._flat_asked_at = -FLAT_PAUSE_S
        self._scan_began = clock.monotonic()

    def surround(
        self,
        trader: Trader,
        orders: OrderManager,
        reconciler: Reconciler,
        publisher: Publisher,
        models: ModelChanges,
    ) -> None:
        """Learn of the parts that were made with this object's functions."""
        self._trader = trader
        self._orders = orders
        self._reconciler = reconciler
        self._publisher = publisher
        self._models = models

    def market_ms(self) -> int:
        """Return the time of the market: the wall's, unless the market is accelerated."""
        if self._lockstep is None:
            return self._clock.now_ms() - self._venue.clock_offset_ms
        return self._feed.newest_ms

    def is_at_risk(self) -> bool:
        """Say whether something may lie open without a stop that was seen at the venue.

        A position whose stop was not seen yet; an entry that may have been executed without our
        knowing; a difference from the venue that has to be seen once more before it counts. And
        whatever is held after a kill or a flatten, which must go.
        """
        state = self._trader.state
        naked = any(not position.stop_verified for position in state.ledger.positions.values())
        opening = any(not order.intent.reduce_only for order in state.active.values())
        return naked or opening or bool(state.suspicions) or self._is_to_go()

    def facts(self, event: BarClosed) -> GateFacts:
        """Return what the pre-trade gate must know of the outside."""
        state = self._trader.state
        self._scan_began = self._clock.monotonic()
        return GateFacts(
            lease_margin_ms=self._lease.remaining_ms(),
            halted_outside=bool(self._orders.fatal),
            reconciled_age_ms=self._reconciler.age_ms,
            signal_age_ms=max(0, self.market_ms() - event.close_ms),
            # An accelerated market stands still while we are busy: nothing gets older.
            data_age_ms=self._feed.silent_ms if self._lockstep is None else 0,
            clock_offset_ms=abs(self._venue.clock_offset_ms),
            model_promoted=self._models.is_promoted(state),
            bundle_verified=self._models.is_verified(state),
            config_matches=self._models.is_of_this_library(state),
            free_margin=self._venue.free_margin,
            mark_prices=self._feed.last_prices(),
        )

    def after(self, event: Event, outcome: Outcome) -> None:
        """Count, log and tell others what an event brought."""
        self._overview.counters.note_outcome(outcome)
        _log(outcome)
        for decision in outcome.decisions:
            self._publisher.note(decision)
        for notice in outcome.notices:
            self._publisher.note(notice)
        self._overview.counters.note_event(event)
        if isinstance(event, BarClosed):
            self._overview.curve.note(self._trader.state.equity())
            scan_s = self._clock.monotonic() - self._scan_began
            self._overview.vitals.scan_ms.append(1000 * scan_s)
        if isinstance(event, ModelSwapped):
            self._models.taken(event, self._trader.state)
        if isinstance(event, Command) and event.name == CommandName.RESET:
            self._venue.calls.reset()
        if _is_trade_or_command(event, outcome):
            self._publisher.wake()
        for listener in self._overview.listeners:
            listener(event, outcome)

    def tell(self, notice: Notice) -> None:
        """Tell others what the shell found out by itself."""
        self._publisher.note(notice)
        told = Outcome(notices=(notice,))
        for listener in list(self._overview.listeners):
            listener(Tick(now_ms=notice.time_ms), told)

    def say(self, code: NoticeCode, text: str) -> None:
        """Tell others what the shell found out, now."""
        self.tell(Notice(code=code, symbol="", text=text, time_ms=self.market_ms()))

    def _is_to_go(self) -> bool:
        """Say whether something is held that a kill or a flatten wants closed."""
        state = self._trader.state
        return bool((state.guard.killed or state.guard.flattening) and state.ledger.positions)

    def _may_ask_again(self) -> bool:
        """Say whether a flat account was not asked for a moment ago: no loop at network speed."""
        now = self._clock.monotonic()
        if now - self._flat_asked_at < FLAT_PAUSE_S:
            return False
        self._flat_asked_at = now
        return True

    async def _look(self) -> None:
        """Compare with the venue; one that is away must not keep the trader from a kill."""
        try:
            async with asyncio.timeout(LOOK_S):
                await self._reconciler.ask()
        except TimeoutError:
            self._reconciler.nudge(False)

    async def quiet(self, close_ms: int) -> None:
        """Nothing is left to do: tune if it is due, and let an accelerated market go on."""
        if self._overview.is_optimizing():
            await self._publisher.beat()  # it takes a moment, and nothing is answered meanwhile
        due = self._trader.state.tuning.due
        if due or (self._is_to_go() and self._may_ask_again()):
            self._trader.apply(Tick(now_ms=self.market_ms()))
        if self._lockstep is None or not self._listening():
            return
        if self._reconciler.due:
            await self._look()
        if self._inbox.empty() and not self._orders.in_flight:
            await self._lockstep.acknowledge(close_ms, self._trader.openings)


def _log(outcome: Outcome) -> None:
    """One line a decision, a trade and a notice."""
    for decision in outcome.decisions:
        log.info(
            "decision",
            symbol=decision.symbol,
            verdict=decision.verdict,
            reason=decision.reason,
            side=decision.side,
            probability=round(decision.probability, 4),
            quantity=decision.quantity,
            close_ms=decision.close_ms,
            order=decision.client_order_id or None,
        )
    for trade in outcome.trades:
        log.info("trade", symbol=trade.symbol, pnl=round(trade.pnl, 4), reason=trade.reason)
    for notice in outcome.notices:
        level = logging.WARNING if notice.code in ALERTING else logging.INFO
        log.log(level, "notice", code=notice.code, symbol=notice.symbol, text=notice.text)


def _is_trade_or_command(event: Event, outcome: Outcome) -> bool:
    """Say whether others should see the consequences at once rather than at the next beat."""
    entered = any(decision.verdict == Verdict.ENTER for decision in outcome.decisions)
    commanded = isinstance(event, Command) and event.name != CommandName.RELOAD
    return bool(outcome.trades) or entered or commanded or isinstance(event, ModelSwapped)
