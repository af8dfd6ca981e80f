"""Planted bugs on the way of an order: lease, fence, signature, sending, doubt, journal.

Decides the patches only; `bugs` tells what they are for. Rule: each patch is the real function with
one line wrong.
"""

import asyncio
from typing import Any

from executor import order_manager, startup
from executor.core.types import OrderStatus, Outcome
from executor.errors import FenceError, RejectedError, UnknownOutcomeError
from executor.journal import rows as journal_rows
from executor.journal import store as journal
from executor.lease import fence, lease
from executor.venue import adapter as venue
from executor.venue import calls as venue_calls
from executor.venue.client import Seams
from tests.simulation import redis_port
from tests.simulation.bugs import Patches, bug
from tests.simulation.redis_port import RedisServer


@bug("the fence does not look at the lease")
def fence_ignores_lease(patches: Patches) -> None:
    def check(self: Any, path: str, params: Any) -> None:
        opens = path.endswith(fence.CREATE) and params.get("reduceOnly") is not True
        if opens and (self.guard is None or self.guard.killed):
            raise FenceError("killed")

    patches.set(fence.Fence, "check", check)


@bug("the fence lets entries pass after a kill")
def fence_ignores_kill(patches: Patches) -> None:
    def check(self: Any, path: str, params: Any) -> None:
        if self._lease.remaining_ms() < self._needed_ms and not self._is_emergency(
            path, params, path.endswith(fence.CREATE) and params.get("reduceOnly") is not True
        ):
            raise FenceError("lease")

    patches.set(fence.Fence, "check", check)


@bug("the lease needs only to be held now, not as long as the request is valid")
def fence_without_margin(patches: Patches) -> None:
    real = fence.Fence.__init__

    def init(self: Any, view: Any, _needed_ms: int) -> None:
        real(self, view, 1)

    patches.set(fence.Fence, "__init__", init)


@bug("the timestamp is taken by the signer, after the lease was checked")
def timestamp_taken_at_sign(patches: Patches) -> None:
    def sign(self: Any, path: str, api: Any = "public", method: str = "GET", *rest: Any) -> Any:
        if method == "POST":
            self.seam.fence(path, rest[0] if rest else {})
        return super(Seams, self).sign(path, api, method, *rest)  # type: ignore[misc]  # ccxt

    patches.set(Seams, "sign", sign)


@bug("the lease is counted from when Redis answered, not from when it was asked")
def lease_counted_from_reply(patches: Patches) -> None:
    real = lease.Lease.keep

    async def keep(self: Any) -> bool:
        held = await real(self)
        if held and self.reachable:
            self._deadline = self._clock.monotonic() + self._ttl_ms / 1000
        return held

    patches.set(lease.Lease, "keep", keep)


@bug("a lease that was taken once is believed for ever")
def lease_never_ends(patches: Patches) -> None:
    patches.set(lease.Lease, "remaining_ms", lambda self: self._ttl_ms if self.token else 0)


@bug("a Redis that does not answer counts as a renewal")
def silence_renews_the_lease(patches: Patches) -> None:
    real = lease.Lease.keep

    async def keep(self: Any) -> bool:
        await real(self)
        if not self.reachable and self.token:
            self._deadline = self._clock.monotonic() + self._ttl_ms / 1000
        return bool(self.remaining_ms() > 0)

    patches.set(lease.Lease, "keep", keep)


@bug("renewing does not compare the holder")
def renew_without_compare(patches: Patches) -> None:
    def renew(server: RedisServer, keys: list[str], arguments: list[str]) -> int:
        server.set(keys[0], arguments[0], float(arguments[1]))
        return 1

    patches.set(lease, "RENEW", "return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])")
    redis_port.SCRIPTS[lease.RENEW] = renew


@bug("taking the lease does not look at who holds it")
def acquire_takes_from_anybody(patches: Patches) -> None:
    def acquire(server: RedisServer, keys: list[str], arguments: list[str]) -> list[Any]:
        server.delete(keys[0])
        return list(redis_port.acquire(server, keys, arguments))

    patches.set(lease, "ACQUIRE", "redis.call('DEL', KEYS[1]) -- and take it")
    redis_port.SCRIPTS[lease.ACQUIRE] = acquire


@bug("an order whose fate is unknown counts as rejected")
def unknown_means_rejected(patches: Patches) -> None:
    real = order_manager.OrderManager._send

    async def send(self: Any, intent: Any) -> Any:
        verdict = await real(self, intent)
        if isinstance(verdict, UnknownOutcomeError):
            self._say(intent, OrderStatus.REJECTED, "timeout")
            return None
        return verdict

    patches.set(order_manager.OrderManager, "_send", send)


@bug("an order that the venue does not know at once is given up, though it may still arrive")
def not_found_is_final(patches: Patches) -> None:
    patches.set(order_manager, "LATE_MARGIN_MS", -1_000_000)


@bug("after a lost reply the order is sent again under a new id")
def resent_under_a_new_id(patches: Patches) -> None:
    real = venue.Venue.submit

    async def submit(self: Any, intent: Any) -> str:
        try:
            return await real(self, intent)
        except UnknownOutcomeError:
            name = intent.client_order_id[:-2] + "-p9"
            return await real(self, _renamed(intent, name))

    patches.set(venue.Venue, "submit", submit)


def _renamed(intent: Any, name: str) -> Any:
    values = {field: getattr(intent, field) for field in intent.__dataclass_fields__}
    return type(intent)(**{**values, "client_order_id": name})


@bug("entries are sent again however old they are")
def old_entries_are_resent(patches: Patches) -> None:
    patches.set(order_manager.OrderManager, "_still_wanted", lambda self, intent, born: True)


@bug("an entry waits in the queue after a rate limit without being asked whether it is wanted")
def entries_grow_old_in_the_queue(patches: Patches) -> None:
    patches.set(venue_calls, "CHANGE_WAIT_S", 1e9)


@bug("a clock that cannot be measured ends whoever asked")
def clock_trouble_spreads(patches: Patches) -> None:
    async def measure(self: Any) -> None:
        await self._resync()

    patches.set(venue_calls.Calls, "_measure_clock", measure)


@bug("what a former process left in doubt is not looked at")
def doubt_not_resumed(patches: Patches) -> None:
    from executor import session  # noqa: PLC0415 - patched where it is used

    patches.set(session, "resume", lambda *arguments: None)
    patches.set(startup, "resume", lambda *arguments: None)


@bug("intents are not written to the journal")
def intents_not_written(patches: Patches) -> None:
    patches.set(journal_rows, "_insert_actions", lambda *arguments: None)


@bug("an event is written half a second after it was acted on")
def written_after_sending(patches: Patches) -> None:
    real = journal.Journal.record

    def record(self: Any, entry: Any, **how: Any) -> int:
        if not entry.outcome.intents:
            return real(self, entry, **how)
        asyncio.get_running_loop().call_later(0.5, lambda: real(self, entry, **how))
        return 0

    from tests.simulation.journal_port import SimulatedJournal  # noqa: PLC0415 - patched here

    patches.set(SimulatedJournal, "record", record)


@bug("the stop is not sent with the entry")
def stop_not_sent(patches: Patches) -> None:
    real = venue.Venue.submit

    async def submit(self: Any, intent: Any) -> str:
        values = {field: getattr(intent, field) for field in intent.__dataclass_fields__}
        return await real(self, type(intent)(**{**values, "stop_price": 0.0}))

    patches.set(venue.Venue, "submit", submit)


@bug("exits are not marked reduce-only")
def exits_not_reduce_only(patches: Patches) -> None:
    real = venue.Venue.submit

    async def submit(self: Any, intent: Any) -> str:
        values = {field: getattr(intent, field) for field in intent.__dataclass_fields__}
        return await real(self, type(intent)(**{**values, "reduce_only": False}))

    patches.set(venue.Venue, "submit", submit)


@bug("every exit asks for twice the position")
def double_exit(patches: Patches) -> None:
    real = venue.Venue.submit

    async def submit(self: Any, intent: Any) -> str:
        values = {field: getattr(intent, field) for field in intent.__dataclass_fields__}
        factor = 2.0 if intent.reduce_only else 1.0
        return await real(self, type(intent)(**{**values, "quantity": intent.quantity * factor}))

    patches.set(venue.Venue, "submit", submit)


@bug("protections are decided and never sent")
def protections_not_sent(patches: Patches) -> None:
    real = order_manager.OrderManager.carry_out

    def carry_out(self: Any, outcome: Outcome, decided: float | None = None) -> None:
        real(self, Outcome(intents=outcome.intents, cancels=outcome.cancels), decided)

    patches.set(order_manager.OrderManager, "carry_out", carry_out)


@bug("an order that exists already counts as rejected")
def duplicate_means_rejected(patches: Patches) -> None:
    real = order_manager.OrderManager._send

    async def send(self: Any, intent: Any) -> Any:
        verdict = await real(self, intent)
        if isinstance(verdict, RejectedError):
            self._say(intent, OrderStatus.REJECTED, verdict.code)
            return None
        return verdict

    patches.set(order_manager.OrderManager, "_send", send)
