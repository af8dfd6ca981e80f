"""A trading session: everything that lives between taking the lease and giving it back.

Decides the order of a start (venue, model, state, history, sockets, commands, orders in doubt,
snapshot) and of a stop (no new bars, orders in flight settled, state saved, last word published).
Never decides a trade. Rule: start-up is the recovery path: a first start and one after kill -9 run
the same lines.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from executor.assembly import Assembly
from executor.clock import Clock, process_age_s
from executor.control.stream import Commands
from executor.core.contract import Status
from executor.core.portfolio import held
from executor.core.state import new_state
from executor.errors import RetryableError
from executor.health.overview import Overview
from executor.journal.codec import encode
from executor.journal.recovery import rebuild, write_state
from executor.journal.store import Journal
from executor.lease.lease import Lease
from executor.model_changes import kept_model
from executor.settings.settings import Settings, make_params
from executor.startup import insist, keep_measuring, resume, set_leverage
from executor.supervisor import Supervisor
from executor.venue.keys import check_keys
from executor.venue.streams import keep_watching
from features.costs import Costs

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
        self._first_equity = 0.0
        self._made = made = Assembly(settings, clock, overview, journal, redis, lease)
        self._trading: asyncio.Task[None] | None = None
        overview.parts.lease, overview.parts.loader = lease, made.loader
        overview.parts.calls = made.venue.calls
        overview.parts.lost_streams = made.venue.lost_streams
        overview.market_finished = made.market_finished

    async def start(self, tasks: asyncio.TaskGroup, supervisor: Supervisor) -> None:
        """Bring everything up, in order; returns when trading."""
        overview, settings, made = self._overview, self._settings, self._made
        venue, trading = made.venue, settings.trading
        self._help(tasks, supervisor, "publisher", made.publisher.run)
        await self._insist("connecting to the venue", venue.open)
        check = partial(check_keys, venue, trading.environment, self._clock)
        await self._insist("checking the API key", check)
        await self._insist("choosing the universe", made.universe.choose)
        overview.step = "loading the model"
        loaded = await made.loader.start()
        costs = loaded.bundle.info.costs if loaded is not None else Costs()
        params = make_params(settings, venue.instruments, costs)
        state = rebuild(self._journal, params, partial(kept_model, made.store))
        feed = made.make_feed(made.universe.start_with(held(state) if state is not None else ()))
        overview.parts.feed, overview.parts.universe = feed, made.universe
        last_close_ms = state.close_ms if state is not None else 0
        await self._insist("loading history", partial(feed.warm_up, last_close_ms))
        self._help(tasks, supervisor, "account", self._watch_account)
        await made.subscribed(made.account_subscribed)
        if state is None:
            self._journal.begin_account(made.around.market_ms())
            await self._insist("reading the wallet", self._read_wallet)
            state = new_state(self._first_equity, params)
        self._journal.begin_session(encode(params), write_state(state))
        made.make_core(state, params)
        await set_leverage(venue, made.universe.followed, settings.venue.leverage)
        swapped = made.models.first(state, loaded)
        if swapped is not None:
            made.trader.apply(swapped)
        commands = made.make_desk()
        overview.step = "reading commands"
        await commands.catch_up()
        resume(self._journal, made.orders, self._clock)  # what a kill leaves of it
        await self._insist("reconciling", self._reconcile)
        self._help(tasks, supervisor, "candles", feed.watch)
        await made.subscribed(made.candles_subscribed)
        self._trading = tasks.create_task(made.trader.run())
        self._start_helpers(tasks, supervisor, commands)
        overview.phase = Status.RUNNING
        overview.step = "trading"
        overview.counters.came_up(process_age_s(), feed.history_s)
        made.publisher.wake()
        log.info("running", cold_start_s=round(overview.counters.cold_start_s, 2))

    def _start_helpers(
        self, tasks: asyncio.TaskGroup, supervisor: Supervisor, commands: Commands
    ) -> None:
        made = self._made
        for name, run in (
            ("shadow", made.make_shadow().run),
            ("reconciler", made.reconciler.run),
            ("loader", partial(made.loader.run, made.models.offer)),
            ("quarantine", made.quarantine.run),
            ("commands", commands.run),
            ("universe", partial(made.universe.run, made.feed)),
            ("clock", partial(keep_measuring, made.venue, self._clock)),
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
        made = self._made
        self._first_equity = self._settings.trading.initial_balance
        if not self._first_equity:
            snapshot = await made.venue.snapshot(made.around.market_ms())
            self._first_equity = snapshot.wallet_balance

    async def _watch_account(self) -> None:
        await keep_watching(self._clock, self._made.venue.watch_account)

    async def _reconcile(self) -> None:
        if not await self._made.reconciler.ask():
            raise RetryableError(self._made.reconciler.problem)

    async def drain(self) -> None:
        """Stop in order: no new bars, orders in flight settled, state saved, lease given back."""
        if self._trading is None:
            return
        made = self._made
        made.trader.closing = True
        settled = await made.orders.wait(SETTLE_S)
        while settled and not made.inbox.empty() and not self._trading.done():
            await self._clock.sleep(0.01)
        self._trading.cancel()
        await asyncio.gather(self._trading, return_exceptions=True)
        await made.orders.stop()
        made.trader.save()
        self._overview.phase = Status.STOPPED
        self._overview.step = "stopped by request; stops stay at the exchange"
        await made.publisher.beat()
        log.info("drained", settled=settled, in_flight=made.orders.in_flight)

    async def close(self) -> None:
        """Close every connection; safe at any moment."""
        await self._made.close()
