"""What a session is made of, put together.

Decides which part is made with what: venue, model, feed, core and what surrounds them. Never opens,
starts or waits for anything (`session` does, in order). Rule: a part gets what it needs as an
argument; none looks for another.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog
from redis.asyncio import Redis

from executor.clock import Clock
from executor.control.desk import CommandDesk
from executor.control.stream import Commands
from executor.core.contract import Keys, NoticeCode
from executor.core.params import Params
from executor.core.portfolio import held
from executor.core.state import TradingState
from executor.health.overview import Overview
from executor.health.publisher import Publisher
from executor.journal.store import Journal
from executor.lease.fence import Fence
from executor.lease.lease import Lease
from executor.market.feed import Feed
from executor.market.lockstep import Lockstep
from executor.market.universe import Universe
from executor.model_changes import ModelChanges
from executor.model_watch import ModelWatch
from executor.models.loader import Loader, Policy
from executor.models.quarantine import Quarantine
from executor.models.registry import Registry
from executor.models.store import ModelStore
from executor.order_manager import OrderManager, Patience
from executor.reconciler import Reconciler
from executor.settings.settings import Settings
from executor.shadow import Shadow, begin_shadow
from executor.startup import set_leverage
from executor.surroundings import Surroundings
from executor.trader import Item, Trader
from executor.venue.adapter import Venue
from executor.venue.streams import StreamEvent, Subscribed
from features.catalog import default_catalog
from features.intervals import interval_ms

SUBSCRIBE_S: Final = 10.0

log = structlog.get_logger("session")


class Assembly:
    """The parts: those of the constructor exist always, the rest once they were made."""

    feed: Feed
    around: Surroundings
    models: ModelChanges
    orders: OrderManager
    reconciler: Reconciler
    trader: Trader

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        overview: Overview,
        journal: Journal,
        redis: Redis,
        lease: Lease,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._overview = overview
        self._journal = journal
        self._redis = redis
        self._lease = lease
        self.inbox: asyncio.Queue[Item] = asyncio.Queue()
        self.account_subscribed = asyncio.Event()
        self.candles_subscribed = asyncio.Event()
        self.has_feed = False
        venue, model = settings.venue, settings.model
        self.interval_ms = interval_ms(settings.trading.interval)
        self._fence = Fence(lease, venue.recv_window_ms + settings.lease.margin_ms)
        self.venue = Venue(
            venue,
            environment=settings.trading.environment,
            clock=clock,
            fence=self._fence.check,
            emit=self._emit,
            recovery=settings.recovery,
        )
        self.universe = Universe(settings.universe, settings.trading, self.venue, clock)
        self.universe.prepare = partial(set_leverage, self.venue, leverage=venue.leverage)
        self.store = ModelStore(model.store)
        self.registry = Registry(
            model.registry_url.get_secret_value(),
            model.timeout_ms,
            user=model.registry_user,
            password=model.registry_password.get_secret_value(),
        )
        self.quarantine = Quarantine(self.registry, model.name, journal, clock)
        self._policy = Policy(
            name=model.name,
            alias=model.alias,
            environment=settings.trading.environment,
            interval_ms=self.interval_ms,
            poll_interval_ms=model.poll_interval_ms,
        )
        self.loader = Loader(self.registry, self.store, self._policy, clock, self.quarantine)
        self._keys = Keys(settings.redis.prefix)
        self.publisher = Publisher(
            redis,
            self._keys,
            overview,
            clock,
            interval_ms=settings.redis.heartbeat_interval_ms,
            holds_lease=self.holds_lease,
        )
        self.lockstep = self._make_lockstep()

    def _make_lockstep(self) -> Lockstep | None:
        """Make what tells an accelerated market that a close is done, where there is one."""
        feed = self._settings.feed
        if not feed.acknowledge_url:
            return None
        return Lockstep(
            feed.acknowledge_url,
            feed.client,
            self._clock,
            is_wanted=lambda: not self.inbox.empty(),
        )

    def holds_lease(self) -> bool:
        """Say whether the lease is ours now."""
        return self._lease.remaining_ms() > 0

    def market_finished(self) -> bool:
        """Say whether an accelerated market has no more bars."""
        return bool(self.lockstep and self.lockstep.finished)

    def make_feed(self, symbols: Sequence[str]) -> Feed:
        """Make the feed and what looks at it."""
        trading = self._settings.trading
        self.feed = Feed(
            self.venue,
            self._clock,
            symbols=symbols,
            interval=trading.interval,
            interval_ms=self.interval_ms,
            catalog=default_catalog(),
            grace_ms=self._settings.feed.close_grace_ms,
            wake=self.inbox.put_nowait,
        )
        self.has_feed = True
        self.feed.only_followed = frozenset(self.universe.leaving)
        self.around = Surroundings(
            clock=self._clock,
            overview=self._overview,
            journal=self._journal,
            lease=self._lease,
            venue=self.venue,
            feed=self.feed,
            lockstep=self.lockstep,
            inbox=self.inbox,
            listening=self.candles_subscribed.is_set,
        )
        self.models = ModelChanges(
            self.loader,
            self._overview,
            self._journal,
            self._clock,
            self.feed,
            inbox=self.inbox,
            market_ms=self.around.market_ms,
        )
        return self.feed

    def make_core(self, state: TradingState, params: Params) -> None:
        """Make the parts that work on the state, and let others see them."""
        settings, overview = self._settings, self._overview
        patience = Patience(
            recv_window_ms=settings.venue.recv_window_ms,
            query_interval_ms=settings.orders.query_interval_ms,
            entry_age_ms_max=settings.orders.entry_age_ms_max,
        )
        self.orders = OrderManager(self.venue, self._clock, self.inbox.put_nowait, patience)
        self.reconciler = self._make_reconciler()
        self.trader = Trader(
            state=state,
            params=params,
            journal=self._journal,
            orders=self.orders,
            feed=self.feed,
            clock=self._clock,
            counters=overview.counters,
            inbox=self.inbox,
            facts=self.around.facts,
            lease_token=lambda: self._lease.token,
            after=self.around.after,
            quiet=self.around.quiet,
            nudge=self.reconciler.nudge,
        )
        self.around.surround(self.trader, self.orders, self.reconciler, self.publisher, self.models)
        self.quarantine.say = self.around.say
        watch = ModelWatch(
            overview, self._journal, self.loader, self.store, self.models, self.around.tell
        )
        self.universe.held = lambda: held(state)
        self.universe.say = self._universe_changed
        self._watch = watch
        overview.listeners.append(watch.after)
        self._fence.guard, self._fence.wants = state.guard, self.orders.wants
        parts = overview.parts
        parts.state, parts.params, parts.orders = state, params, self.orders
        parts.reconciler = self.reconciler
        parts.backlog = lambda: (self.inbox.qsize(), self.trader.handled)
        for equity in self._journal.equity_curve():
            overview.curve.note(equity)
        overview.counters.restore(self._journal)

    def _universe_changed(self, code: NoticeCode, text: str) -> None:
        """Tell others, and which symbols are blocked now."""
        self.around.say(code, text)
        self._watch.announce(self.around.market_ms())
        self.publisher.wake()

    def _make_reconciler(self) -> Reconciler:
        settings = self._settings.reconciler
        return Reconciler(
            self.venue,
            self._clock,
            put=self.inbox.put_nowait,
            generation=lambda: self.trader.generation,
            market_ms=self.around.market_ms,
            at_risk=self.around.is_at_risk,
            known_until_ms=self._journal.traded_until_ms,
            account_since_ms=self._journal.account_since_ms,
            in_step=self.lockstep is not None,
            interval_ms=settings.interval_ms,
            naked_interval_ms=settings.naked_interval_ms,
        )

    def make_desk(self) -> Commands:
        """Make what takes commands, from Redis and over HTTP."""
        desk = CommandDesk(
            self._journal,
            self._clock,
            self._overview.parts,
            token=self._settings.control.token.get_secret_value(),
            put=self.inbox.put_nowait,
            market_ms=self.around.market_ms,
            reload=self.models.reload,
            holds_lease=self.holds_lease,
        )
        self._fence.is_stopping = desk.is_stopping
        self._overview.commands.desk = desk
        self._overview.listeners.append(desk.after)
        answer = self.publisher.answer
        return Commands(
            self._redis, self._keys, self._journal, self._clock, desk=desk, answer=answer
        )

    def make_shadow(self) -> Shadow:
        """Make what evaluates the challenger beside the champion."""
        shadow = begin_shadow(
            self.registry, self.store, self._policy, self.quarantine, self._overview
        )
        shadow.say = self.publisher.note_shadow
        return shadow

    def _emit(self, event: StreamEvent) -> None:
        """Take what the sockets bring, in order of arrival."""
        if isinstance(event, Subscribed):
            known = self.account_subscribed if event.private else self.candles_subscribed
            self.venue.lost_streams.pop("account" if event.private else "candles", None)
            if not event.private and self.has_feed:
                self.feed.refresh(first=not known.is_set())
            known.set()
        self.inbox.put_nowait(event)

    async def subscribed(self, known: asyncio.Event) -> None:
        """Wait a while for a socket; later it is the watchers' business."""
        try:
            async with asyncio.timeout(SUBSCRIBE_S):
                await known.wait()
        except TimeoutError:
            log.warning("socket_not_subscribed", waited_s=SUBSCRIBE_S)

    async def close(self) -> None:
        """Close every connection; safe at any moment."""
        if self.has_feed:
            await self.feed.stop()
        if self.lockstep is not None:
            await self.lockstep.close()
        await self.registry.close()
        await self.venue.close()
