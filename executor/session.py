"""A trading session: everything that lives between taking the lease and giving it back.

Decides the order of a start (venue, model, state, history, sockets, orders in doubt, snapshot) and
of a stop (no new bars, orders in flight settled, state saved, last word published). Never decides a
trade. Rule: start-up is the recovery path: a first start and one after kill -9 run the same lines.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from executor.clock import Clock, process_age_s
from executor.control.desk import CommandDesk
from executor.control.stream import Commands
from executor.core.contract import Keys, Status
from executor.core.params import Params
from executor.core.state import TradingState, new_state
from executor.errors import RetryableError
from executor.health.overview import Overview
from executor.health.publisher import Publisher
from executor.journal.codec import encode
from executor.journal.recovery import rebuild, write_state
from executor.journal.store import Journal
from executor.lease.fence import Fence
from executor.lease.lease import Lease
from executor.market.feed import Feed
from executor.market.lockstep import Lockstep
from executor.model_changes import ModelChanges, kept_model
from executor.model_watch import ModelWatch
from executor.models.loader import Loader, Policy
from executor.models.registry import Registry
from executor.models.store import ModelStore
from executor.order_manager import OrderManager, Patience
from executor.reconciler import Reconciler
from executor.settings.settings import Settings, make_params
from executor.shadow import begin_shadow
from executor.startup import insist, keep_measuring, resume, set_leverage
from executor.supervisor import Supervisor
from executor.surroundings import Surroundings
from executor.trader import Item, Trader
from executor.venue.adapter import Venue
from executor.venue.keys import check_keys
from executor.venue.streams import StreamEvent, Subscribed, keep_watching
from features.catalog import default_catalog
from features.costs import Costs
from features.intervals import interval_ms

SUBSCRIBE_S: Final = 10.0
SETTLE_S: Final = 6.0

log = structlog.get_logger("session")


class Session:
    """One session: :meth:`start` until trading, :meth:`drain` to stop, :meth:`close` always."""

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
        self._inbox: asyncio.Queue[Item] = asyncio.Queue()
        self._account_subscribed = asyncio.Event()
        self._candles_subscribed = asyncio.Event()
        self._first_equity = 0.0
        venue, model, feed = settings.venue, settings.model, settings.feed
        self._interval_ms = interval_ms(settings.trading.interval)
        self._fence = Fence(lease, venue.recv_window_ms + settings.lease.margin_ms)
        self._venue = Venue(
            venue,
            environment=settings.trading.environment,
            clock=clock,
            fence=self._fence.check,
            emit=self._emit,
            recovery=settings.recovery,
        )
        overview.parts.calls = self._venue.calls
        self._store = ModelStore(model.store)
        self._registry = Registry(model.registry_url, model.timeout_ms)
        self._policy = Policy(
            name=model.name,
            alias=model.alias,
            environment=settings.trading.environment,
            interval_ms=self._interval_ms,
            poll_interval_ms=model.poll_interval_ms,
        )
        self._loader = Loader(self._registry, self._store, self._policy, clock)
        self._publisher = Publisher(
            self._redis,
            Keys(settings.redis.prefix),
            overview,
            self._clock,
            interval_ms=settings.redis.heartbeat_interval_ms,
            holds_lease=lambda: self._lease.remaining_ms() > 0,
        )
        self._trading: asyncio.Task[None] | None = None
        self._feed: Feed | None = None
        self._lockstep: Lockstep | None = None
        if feed.acknowledge_url:
            self._lockstep = Lockstep(feed.acknowledge_url, feed.client, clock)
            overview.market_finished = lambda: bool(self._lockstep and self._lockstep.finished)

    async def start(self, tasks: asyncio.TaskGroup, supervisor: Supervisor) -> None:
        """Bring everything up, in order; returns when trading."""
        overview, settings = self._overview, self._settings
        overview.parts.lease, overview.parts.loader = self._lease, self._loader
        self._help(tasks, supervisor, "publisher", self._publisher.run)
        await self._insist("connecting to the venue", self._venue.open)
        environment = settings.trading.environment
        await self._insist(
            "checking the API key", partial(check_keys, self._venue, environment, self._clock)
        )
        self._venue.check_symbols(settings.trading.symbols)
        overview.step = "loading the model"
        loaded = await self._loader.start()
        params = make_params(
            settings,
            self._venue.instruments,
            loaded.bundle.info.costs if loaded is not None else Costs(),
        )
        state = rebuild(self._journal, params, partial(kept_model, self._store))
        feed = self._feed = self._make_feed()
        last_close_ms = state.close_ms if state is not None else 0
        await self._insist("loading history", partial(feed.warm_up, last_close_ms))
        self._help(tasks, supervisor, "account", self._watch_account)
        await self._subscribed(self._account_subscribed)
        if state is None:
            await self._insist("reading the wallet", self._read_wallet)
            state = new_state(self._first_equity, params)
            self._journal.save_snapshot(write_state(state))
        self._journal.begin_session(encode(params))
        self._make_core(state, params, feed)
        await set_leverage(self._venue, settings.trading.symbols, settings.venue.leverage)
        swapped = self._models.first(state, loaded)
        if swapped is not None:
            self._trader.apply(swapped)
        resume(self._journal, self._orders, self._clock.now_ms())
        commands = self._open_desk()
        overview.step = "reading commands"
        await commands.catch_up()
        await self._insist("reconciling", self._reconcile)
        self._help(tasks, supervisor, "candles", feed.watch)
        await self._subscribed(self._candles_subscribed)
        self._trading = tasks.create_task(self._trader.run())
        self._start_helpers(tasks, supervisor, commands)
        overview.phase = Status.RUNNING
        overview.step = "trading"
        overview.counters.history_s = feed.history_s
        overview.counters.cold_start_s = max(0.0, process_age_s() - feed.history_s)
        self._publisher.wake()
        log.info("running", cold_start_s=round(overview.counters.cold_start_s, 2))

    def _open_desk(self) -> Commands:
        desk = CommandDesk(
            self._journal,
            self._clock,
            self._overview.parts,
            token=self._settings.control.token.get_secret_value(),
            put=self._inbox.put_nowait,
            market_ms=self._around.market_ms,
            reload=self._models.reload,
            holds_lease=lambda: self._lease.remaining_ms() > 0,
        )
        self._overview.commands.desk = desk
        keys, answer = Keys(self._settings.redis.prefix), self._publisher.answer
        return Commands(self._redis, keys, self._journal, self._clock, desk=desk, answer=answer)

    def _start_helpers(
        self, tasks: asyncio.TaskGroup, supervisor: Supervisor, commands: Commands
    ) -> None:
        shadow = begin_shadow(self._registry, self._store, self._policy, self._overview)
        shadow.say = self._publisher.note_shadow
        for name, run in (
            ("shadow", shadow.run),
            ("reconciler", self._reconciler.run),
            ("loader", partial(self._loader.run, self._models.offer)),
            ("commands", commands.run),
            ("clock", partial(keep_measuring, self._venue, self._clock)),
        ):
            self._help(tasks, supervisor, name, run)

    def _help(
        self,
        tasks: asyncio.TaskGroup,
        supervisor: Supervisor,
        name: str,
        run: Callable[[], Awaitable[None]],
    ) -> None:
        tasks.create_task(supervisor.supervise(name, run), name=name)

    async def _insist(self, step: str, work: Callable[[], Awaitable[Any]]) -> None:
        await insist(step, work, self._overview, self._clock)

    async def _read_wallet(self) -> None:
        """Learn what an account is worth that was never traded from here."""
        self._first_equity = self._settings.trading.initial_balance
        if not self._first_equity:
            snapshot = await self._venue.snapshot(self._around.market_ms())
            self._first_equity = snapshot.wallet_balance

    def _make_feed(self) -> Feed:
        trading = self._settings.trading
        feed = Feed(
            self._venue,
            self._clock,
            symbols=trading.symbols,
            interval=trading.interval,
            interval_ms=self._interval_ms,
            catalog=default_catalog(),
            grace_ms=self._settings.feed.close_grace_ms,
            wake=self._inbox.put_nowait,
        )
        self._overview.parts.feed = feed
        self._around = Surroundings(
            clock=self._clock,
            overview=self._overview,
            journal=self._journal,
            lease=self._lease,
            venue=self._venue,
            feed=feed,
            lockstep=self._lockstep,
            inbox=self._inbox,
            listening=self._candles_subscribed.is_set,
        )
        self._models = ModelChanges(
            self._loader,
            self._overview,
            self._journal,
            self._clock,
            feed,
            inbox=self._inbox,
            market_ms=self._around.market_ms,
        )
        return feed

    def _make_core(self, state: TradingState, params: Params, feed: Feed) -> None:
        """Make the parts that work on the state."""
        settings, overview = self._settings, self._overview
        patience = Patience(
            recv_window_ms=settings.venue.recv_window_ms,
            query_interval_ms=settings.orders.query_interval_ms,
            entry_age_ms_max=settings.orders.entry_age_ms_max,
        )
        self._orders = OrderManager(self._venue, self._clock, self._inbox.put_nowait, patience)
        self._reconciler = Reconciler(
            self._venue,
            self._clock,
            put=self._inbox.put_nowait,
            generation=lambda: self._trader.generation,
            market_ms=self._around.market_ms,
            naked=self._around.is_naked,
            known_until_ms=self._journal.traded_until_ms,
            in_step=self._lockstep is not None,
            interval_ms=settings.reconciler.interval_ms,
            naked_interval_ms=settings.reconciler.naked_interval_ms,
        )
        self._trader = Trader(
            state=state,
            params=params,
            journal=self._journal,
            orders=self._orders,
            feed=feed,
            clock=self._clock,
            counters=overview.counters,
            inbox=self._inbox,
            facts=self._around.facts,
            lease_token=lambda: self._lease.token,
            after=self._around.after,
            quiet=self._around.quiet,
            nudge=self._reconciler.nudge,
        )
        self._around.surround(
            self._trader, self._orders, self._reconciler, self._publisher, self._models
        )
        watch = ModelWatch(
            overview, self._journal, self._loader, self._store, self._models, self._around.tell
        )
        overview.listeners.append(watch.after)
        self._fence.guard = state.guard
        parts = overview.parts
        parts.state, parts.params, parts.orders = state, params, self._orders
        parts.reconciler = self._reconciler
        parts.backlog = lambda: (self._inbox.qsize(), self._trader.handled)
        for _, equity, _ in self._journal.equity():
            overview.curve.note(equity)
        overview.counters.restore(self._journal)

    def _emit(self, event: StreamEvent) -> None:
        """Take what the sockets bring, in order of arrival."""
        if isinstance(event, Subscribed):
            known = self._account_subscribed if event.private else self._candles_subscribed
            if known.is_set() and not event.private and self._feed is not None:
                self._feed.refresh()
            known.set()
        self._inbox.put_nowait(event)

    async def _watch_account(self) -> None:
        await keep_watching(self._clock, self._venue.watch_account)

    async def _subscribed(self, known: asyncio.Event) -> None:
        """Wait a while for a socket; later it is the watchers' business."""
        try:
            async with asyncio.timeout(SUBSCRIBE_S):
                await known.wait()
        except TimeoutError:
            log.warning("socket_not_subscribed", waited_s=SUBSCRIBE_S)

    async def _reconcile(self) -> None:
        if not await self._reconciler.ask():
            raise RetryableError(self._reconciler.problem)

    async def drain(self) -> None:
        """Stop in order: no new bars, orders in flight settled, state saved, lease given back."""
        if self._trading is None:
            return
        self._trader.closing = True
        settled = await self._orders.wait(SETTLE_S)
        while settled and not self._inbox.empty() and not self._trading.done():
            await self._clock.sleep(0.01)
        self._trading.cancel()
        await asyncio.gather(self._trading, return_exceptions=True)
        await self._orders.stop()
        self._trader.save()
        self._overview.phase = Status.STOPPED
        self._overview.step = "stopped by request; stops stay at the exchange"
        await self._publisher.beat()
        log.info("drained", settled=settled, in_flight=self._orders.in_flight)

    async def close(self) -> None:
        """Close every connection; safe at any moment."""
        if self._feed is not None:
            await self._feed.stop()
        if self._lockstep is not None:
            await self._lockstep.close()
        await self._registry.close()
        await self._venue.close()
