"""Planted bugs in what is decided and believed: gate, kill, reconciliation, recovery, model, feed.

Decides the patches only; `bugs` tells what they are for. Rule: each patch is the real function with
one line wrong.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from executor import reconciler, trader
from executor import session as session_module
from executor.core import adopt, entries, portfolio, react, risk
from executor.core import state as core_state
from executor.core.events import VenueSnapshot
from executor.core.types import Leg
from executor.errors import VenueError
from executor.journal import recovery
from executor.market import feed as feed_module
from executor.models import loader
from executor.trader import Trader
from executor.venue import streams as venue_streams
from tests.simulation.bugs import Patches, bug


@bug("the gate lets every order pass")
def gate_open(patches: Patches) -> None:
    patches.set(entries, "gate", lambda intent, instrument, context, limits: None)


@bug("the gate does not look at sizes and exposures")
def gate_ignores_limits(patches: Patches) -> None:
    patches.set(risk, "_limits", lambda intent, context, limits: None)


@bug("every bet is three times as large as it should be")
def size_tripled(patches: Patches) -> None:
    real = entries.size

    def size(*arguments: Any) -> Any:
        found = real(*arguments)
        return replace(found, quantity=3.0 * found.quantity, notional=3.0 * found.notional)

    patches.set(entries, "size", size)


@bug("entries of the same close do not count for each other")
def same_close_not_counted(patches: Patches) -> None:
    patches.set(portfolio.Portfolio, "add", lambda self, intent: None)


@bug("positions that are held do not count as exposure")
def held_positions_not_counted(patches: Patches) -> None:
    for owner in (portfolio, entries):
        patches.set(owner, "notionals", lambda state: {})


@bug("any number of positions may be open")
def positions_unlimited(patches: Patches) -> None:
    patches.set(entries, "select", lambda *arguments: None)


@bug("the stop stands three times as far as the model wants it")
def stop_too_far(patches: Patches) -> None:
    real = entries.barrier_prices

    def far(price: float, side: int, profit: float, loss: float) -> Any:
        return real(price, side, profit, 3.0 * loss)

    patches.set(entries, "barrier_prices", far)


def _facts(changes: dict[str, Any]) -> Callable[[Patches], None]:
    """Return a plant that makes some facts look good."""

    def plant(patches: Patches) -> None:
        real = Trader.__init__

        def init(self: Any, **parts: Any) -> None:
            facts = parts["facts"]
            parts["facts"] = lambda event: replace(facts(event), **changes)
            real(self, **parts)

        patches.set(Trader, "__init__", init)

    return plant


@bug("signals of any age pass")
def old_signals_pass(patches: Patches) -> None:
    _facts({"signal_age_ms": 0})(patches)


@bug("the core goes on entering after a kill")
def core_ignores_kill(patches: Patches) -> None:
    patches.set(entries, "held_back", lambda state, close_ms: None)


@bug("a kill is taken and changes nothing")
def kill_does_nothing(patches: Patches) -> None:
    real = react._on_command

    def on_command(state: Any, command: Any, draft: Any) -> None:
        if command.name != "kill":
            real(state, command, draft)

    patches.set(react, "_on_command", on_command)


@bug("a kill stops entries and closes nothing")
def kill_leaves_positions(patches: Patches) -> None:
    real = react.flatten

    def flatten(state: Any, time_ms: int, leg: Any, reason: Any, draft: Any) -> None:
        if leg is not Leg.KILL:
            real(state, time_ms, leg, reason, draft)

    patches.set(react, "flatten", flatten)


@bug("the kill switch is not restored at a restart")
def kill_forgotten_at_restart(patches: Patches) -> None:
    real = core_state.restore

    def restore(data: Any, params: Any) -> Any:
        state = real(data, params)
        state.guard.killed = ""
        return state

    patches.set(core_state, "restore", restore)
    skipped = recovery.read_event

    def read_event(stored: Any, model_of: Any) -> Any:
        event = skipped(stored, model_of)
        return replace(event, name="set") if stored.kind == "Command" else event

    patches.set(recovery, "read_event", read_event)


@bug("the venue is asked once at the start and never again")
def reconciled_once(patches: Patches) -> None:
    real = reconciler.Reconciler.ask

    async def ask(self: Any) -> bool:
        if self._done_at is None:
            return await real(self)
        self._nudged.clear()
        self._done_at = self._clock.monotonic()
        return True

    patches.set(reconciler.Reconciler, "ask", ask)


@bug("a snapshot that could not be read is taken for an empty account")
def failed_query_is_flat(patches: Patches) -> None:
    from executor.venue.adapter import Venue  # noqa: PLC0415 - patched where it is used

    real = Venue.snapshot

    async def snapshot(self: Any, time_ms: int, *, urgent: bool = False) -> VenueSnapshot:
        try:
            return await real(self, time_ms, urgent=urgent)
        except VenueError:
            return VenueSnapshot(time_ms=time_ms, wallet_balance=1e4, positions=(), orders=())

    patches.set(Venue, "snapshot", snapshot)


@bug("positions opened elsewhere are not adopted")
def positions_never_adopted(patches: Patches) -> None:
    patches.set(adopt, "_adopt", lambda *arguments: None)


@bug("a position whose size changed elsewhere keeps our size")
def positions_never_resized(patches: Patches) -> None:
    patches.set(adopt, "_resize", lambda *arguments: None)


@bug("a missing stop is not set again")
def stop_never_repaired(patches: Patches) -> None:
    patches.set(adopt, "_stops", lambda *arguments: None)
    patches.set(adopt, "protect", lambda *arguments, **named: None)


@bug("executions that no socket told of are not fetched")
def missed_fills_not_fetched(patches: Patches) -> None:
    async def nothing(self: Any, _urgent: bool) -> None:
        self._missed = False

    patches.set(reconciler.Reconciler, "_missed_events", nothing)


@bug("closes are decided before the venue was asked what is held")
def closes_before_reconcile(patches: Patches) -> None:
    real = Trader._closes

    def closes(self: Any) -> None:
        before, self.reconciled = self.reconciled, True
        real(self)
        self.reconciled = before

    patches.set(Trader, "_closes", closes)


@bug("the shell does not know executions that it booked already")
def shell_books_fills_twice(patches: Patches) -> None:
    def fill(self: Any, item: Any) -> None:
        self.generation += 1
        self._counters.fills += 1
        self.apply(item)

    patches.set(Trader, "_fill", fill)


@bug("the core does not know executions that it booked already")
def core_books_fills_twice(patches: Patches) -> None:
    real = react._on_fill

    def on_fill(state: Any, fill: Any, params: Any, draft: Any) -> None:
        state.fill_ids.pop(fill.fill_id, None)
        real(state, fill, params, draft)

    patches.set(react, "_on_fill", on_fill)


@bug("the client order id is another one at every decision")
def client_ids_vary(patches: Patches) -> None:
    real = entries.client_order_id
    count = [0]

    def vary(symbol: str, close_ms: int, leg: Any) -> str:
        count[0] += 1
        return real(symbol, close_ms + count[0] % 1000, leg)

    patches.set(entries, "client_order_id", vary)


@bug("a start forgets what happened after the last snapshot of the state")
def recovery_stops_at_snapshot(patches: Patches) -> None:
    from executor.journal.store import Journal  # noqa: PLC0415 - patched where it is used

    patches.set(Journal, "events", lambda self, after=0, kind=None: iter(()))


@bug("every registered model is traded, whatever the gate said")
def gate_tag_ignored(patches: Patches) -> None:
    patches.set(loader.Loader, "_judge", lambda self, version, wanted: "passed")


@bug("a model in quarantine is traded")
def quarantine_ignored(patches: Patches) -> None:
    real = loader.Loader._judge

    def judge(self: Any, version: Any, wanted: str) -> str:
        tags = {k: v for k, v in version.tags.items() if k != "quarantined"}
        return real(self, replace(version, tags=tags), wanted)

    patches.set(loader.Loader, "_judge", judge)


@bug("an override written for one environment holds in every other")
def override_holds_anywhere(patches: Patches) -> None:
    real = loader._override_scope
    patches.set(loader, "_override_scope", lambda text: "paper" if real(text) else "")


@bug("a lost socket is not opened again")
def sockets_not_reopened(patches: Patches) -> None:
    async def once(_clock: Any, watch: Any) -> None:
        from asyncio import Event  # noqa: PLC0415 - waits for ever in place of the loop

        try:
            await watch()
        except VenueError:
            await Event().wait()

    for owner in (venue_streams, session_module, feed_module):
        patches.set(owner, "keep_watching", once)


@bug("snapshots are taken although something is still in flight")
def snapshots_race_with_orders(patches: Patches) -> None:
    def snapshot(self: Any, item: Any) -> None:
        self.apply(item.snapshot)
        if not self.reconciled:
            self.reconciled = True
            self._closes()

    patches.set(trader.Trader, "_snapshot", snapshot)
    patches.set(adopt, "_counts", lambda *arguments: True)
