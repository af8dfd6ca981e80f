"""Traps: faults that are set where the rare moments are, instead of waiting for chance.

Decides what meets the calls around a bar close, a lease that is about to end, and a command that
comes while an entry is in doubt. Knows who holds the lease: traps are for the one that acts. Rule:
everything is drawn from the seed; a trap that nobody runs into is forgotten.

What each is for: *around a close*, a process that stops between deciding, writing, signing and
hearing; *limits amid doubt*, an entry whose second sending would have to wait until nobody wants it
any more; *a lease that ends*, every way in which a request could reach the venue after its sender's
lease (renewals stop, the last one is believed too late, a request travels for as long as it is
valid, the process stands still between check and signature); *a command amid doubt*, an entry that
was decided before a kill and could be sent again after it.
"""

from typing import TYPE_CHECKING

from tests.simulation import market
from tests.simulation.faults import FREEZE_MOST_S, Trap

if TYPE_CHECKING:
    from tests.simulation.world import World

LEAD_S = 40.0
AT_A_CLOSE = ("clock", "time", "fetch", "fetch", "reply", "reply", "journal", "written")
BAR_S = market.INTERVAL_MS / 1000


def plan(world: "World") -> None:
    """Plan the traps of a run, close by close."""
    faults, rng = world.faults, world.faults.rng
    close = BAR_S
    while close < world.seconds:
        if rng.random() < faults.rates.trap:
            world.later(close - LEAD_S, _around_close, world, close)
        if rng.random() < faults.rates.lease_trap:
            world.later(close - LEAD_S, _lease_ends, world, close)
        if rng.random() < faults.rates.limit_trap:
            world.later(close - 1.0, _limits_amid_doubt, world, close)
        close += BAR_S
    if faults.rates.command:
        _plan_command(world, faults.rates.command)


def _leader(world: "World") -> str:
    """Return the name of the process that acts, as far as Redis tells, "" without any."""
    holder = world.monitors.holder()
    names = [i.name for i in world.instances if i.host.name_of_journal == holder]
    names = names or [i.name for i in world.instances]
    return world.faults.rng.choice(names) if names else ""


def _around_close(world: "World", close: float) -> None:
    """Set a trap around a bar close: a pause that ends just after it, or something right at it."""
    faults, rng = world.faults, world.faults.rng
    name = _leader(world)
    if not faults.on or not name:
        return
    if rng.random() < 0.4:
        port = rng.choice(("clock", "time", "redis", "redis_reply", "fetch", "reply"))
        trap = Trap(port, close + 2.0 * rng.random(), False, close)
        delay = LEAD_S * rng.random()
    else:
        port = rng.choice(AT_A_CLOSE)
        fatal = rng.random() < 0.5
        until = close + rng.random() * FREEZE_MOST_S
        trap = Trap(port, until, fatal, close + 10.0, skip=rng.choice((0, 0, 1, 3, 8)))
        delay = LEAD_S + 0.2 * rng.random()
    world.later(delay, faults.set_trap, name, trap)


def _lease_ends(world: "World", close: float) -> None:
    """Let the lease of the one that acts end within seconds of a close."""
    faults, rng, venue = world.faults, world.faults.rng, world.venue
    name = _leader(world)
    if not faults.on or not name:
        return
    faults.count("lease_trap", name)
    ttl_s = world.hosts[0].settings.lease.ttl_ms / 1000
    until = close + 16.0 + 6.0 * rng.random()
    # The last renewal is asked for up to 4 s before the cut, so the lease ends around `end`.
    end = close - 1.0 + 10.0 * rng.random()
    amid_signing = rng.random() < 0.25
    if amid_signing:  # checked in time, and signed after the lease
        end = close + 8.0 + 2.0 * rng.random()
        at = end + 3.0 + 3.0 * rng.random()
        trap = Trap("time", at, False, close + 10.0, skip=1, after="written")
        world.later(close - world.loop.time(), faults.set_trap, name, trap)
    cut = end - ttl_s + 2.0
    if rng.random() < 0.4:  # its answer comes late: a lease counted from then would be too long
        world.later(cut - 4.0 - world.loop.time(), _late_answer, world, name, cut)
    world.later(cut - world.loop.time(), _cut, world, name, until)
    if rng.random() < 0.7:
        venue.lingers[name] = until
    if not amid_signing and rng.random() < 0.4:
        trap = Trap("time", close + 2.0 + 10.0 * rng.random(), False, close + 10.0)
        trap.skip = rng.randrange(8)
        world.later(close - world.loop.time(), faults.set_trap, name, trap)


def _late_answer(world: "World", name: str, cut: float) -> None:
    """Let the process stand still with an answer of Redis in its hands."""
    seconds = 2.0 + 10.0 * world.faults.rng.random()
    trap = Trap("redis_reply", world.loop.time() + 4.0 + seconds, False, cut)
    world.faults.set_trap(name, trap)


def _cut(world: "World", name: str, until: float) -> None:
    """Keep a process from Redis for a while."""
    if world.faults.on:
        world.redis.cut_until[name] = until
        world.monitors.unwell(until - world.loop.time() + 10.0)


def _plan_command(world: "World", command: str) -> None:
    """Plan a kill or a flatten: at any moment, or while entries are in doubt."""
    rng = world.faults.rng
    at = world.seconds * (0.2 + 0.7 * rng.random())
    if rng.random() < 0.6:
        close = at // BAR_S * BAR_S
        world.later(close - 1.0, _entries_vanish, world, close + 3.0)
        at = close + 0.05 + 4.0 * rng.random()
    world.later(at, world.command, command)
    if command == "flatten":
        world.later(at + 600.0, world.command, "resume")
    elif rng.random() < 0.5:
        world.later(at + 600.0, world.command, "reset")
    if rng.random() < 0.5:
        world.later(at + 20.0 + 280.0 * rng.random(), _leader_crashes, world)


def _leader_crashes(world: "World") -> None:
    """End the one that acts while a command is in force: who comes after must know of it."""
    name = _leader(world)
    for instance in [i for i in world.instances if i.name == name and world.faults.on]:
        world.faults.count("crash", name)
        world.crashed(instance)


def _limits_amid_doubt(world: "World", close: float) -> None:
    """Let entries get lost, close the sockets, and turn away what is asked for their sake."""
    _entries_vanish(world, close + 3.0)
    if world.faults.on:
        rng = world.faults.rng
        world.venue.limits = (close + 1.0 + 2.0 * rng.random(), close + 10.0 + 6.0 * rng.random())
        world.later(2.5 + 2.0 * rng.random(), world.venue.lines.kick)


def _entries_vanish(world: "World", until: float) -> None:
    """Let no entry reach the venue: whoever sent one is in doubt about it."""
    if world.faults.on:
        world.venue.entries_vanish_until = until
