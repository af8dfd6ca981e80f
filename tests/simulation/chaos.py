"""What happens to a run from outside, and when.

Decides the moments of crashes, freezes, outages, steps of the clock and hands on the account
(`traps` decides about the rare moments). Never looks at what the executor does. Rule: everything is
planned from the seed and ends with the run.
"""

from typing import TYPE_CHECKING, Any

from tests.simulation import market, traps
from tests.simulation.faults import FREEZE_MOST_S

if TYPE_CHECKING:
    from tests.simulation.world import World


def plan(world: "World") -> None:
    """Plan the whole run."""
    faults, rng = world.faults, world.faults.rng
    if not faults.on:
        return
    for kind, per_hour in faults.rates.per_hour.items():
        at = 0.0
        while per_hour > 0.0:
            at += rng.expovariate(per_hour) * 3600.0
            if at >= world.seconds:
                break
            world.later(at, ACTIONS[kind], world)
    traps.plan(world)


def calm(world: "World") -> None:
    """End all faults; what is down comes up."""
    world.faults.on = False
    world.faults.traps.clear()
    world.venue.out_until = world.redis.out_until = world.registry.out_until = 0.0
    world.venue.entries_vanish_until = 0.0
    world.venue.limits = (0.0, 0.0)
    world.venue.lingers.clear()
    world.redis.cut_until.clear()
    world.venue.forget_wishes()
    world.registry.promote_good()
    world.broken_disks.clear()
    for host in world.hosts:
        host.clock_step_ms = 0


def _instance(world: "World") -> Any:
    instances = world.instances
    return world.faults.rng.choice(instances) if instances and world.faults.on else None


def _crash(world: "World") -> None:
    instance = _instance(world)
    if instance is not None:
        world.faults.count("crash", instance.name)
        world.crashed(instance)


def _freeze(world: "World") -> None:
    instance = _instance(world)
    if instance is not None:
        seconds = world.faults.rng.random() * FREEZE_MOST_S
        world.faults.count("freeze", f"{instance.name} {seconds:.1f} s")
        instance.freeze(seconds)


def _terminate(world: "World") -> None:
    instance = _instance(world)
    if instance is not None:
        world.faults.count("terminate", instance.name)
        world.loop.call_soon(instance.stop.set, context=instance.context)


def _outage_s(world: "World") -> float:
    return 5.0 + 120.0 * world.faults.rng.random() ** 2


def _redis_outage(world: "World") -> None:
    seconds = _outage_s(world)
    world.redis.out_until = world.loop.time() + seconds
    world.monitors.unwell(seconds + 10.0)
    world.faults.count("redis_outage", f"{seconds:.0f} s")


def _venue_outage(world: "World") -> None:
    seconds = _outage_s(world)
    world.venue.out_until = world.loop.time() + seconds
    world.venue.lines.kick()
    world.monitors.unwell(seconds + 20.0)
    world.faults.count("venue_outage", f"{seconds:.0f} s")


def _ws_kick(world: "World") -> None:
    world.faults.count("ws_kick")
    world.venue.lines.kick()


def _ws_half_open(world: "World") -> None:
    seconds = 5.0 + 25.0 * world.faults.rng.random()
    world.faults.count("ws_half_open", f"{seconds:.0f} s")
    world.venue.lines.deafen(seconds)


def _clock_step(world: "World") -> None:
    rng = world.faults.rng
    host = rng.choice(world.hosts)
    size = rng.choice((400, 900, 3_000, 20_000))
    host.clock_step_ms = int(size * (2.0 * rng.random() - 1.0))
    world.monitors.unwell(60.0)
    world.faults.count("clock_step", f"{host.name} {host.clock_step_ms} ms")

    def back() -> None:
        host.clock_step_ms = 0
        world.monitors.unwell(90.0)

    world.later(20.0 + 200.0 * rng.random(), back)


def _disk_full(world: "World") -> None:
    instance = _instance(world)
    if instance is not None:
        rng = world.faults.rng
        seconds = 2.0 + 30.0 * rng.random()
        fails_once = rng.random() < 0.4
        world.faults.count("disk_full", f"{instance.name} {seconds:.0f} s")
        world.monitors.unwell(seconds + 40.0)
        until = 0.0 if fails_once else world.loop.time() + seconds
        world.broken_disks[instance.host.journal] = until


def _by_hand(world: "World") -> None:
    """Somebody trades on the account: closes, opens, adds, or turns a position."""
    rng, venue = world.faults.rng, world.venue
    symbol = rng.choice(market.SYMBOLS)
    world.monitors.hand(symbol)
    if symbol in venue.held() and rng.random() < 0.5:
        world.faults.count("closed_by_hand", symbol)
        venue.do("close_by_hand", symbol)
        return
    world.faults.count("opened_by_hand", symbol)
    venue.trade_by_hand(symbol, rng.choice((1, -1)), market.BALANCE * 0.04)


def _liquidate(world: "World") -> None:
    held = sorted(world.venue.held())
    if held:
        symbol = world.faults.rng.choice(held)
        world.faults.count("liquidation", symbol)
        world.monitors.hand(symbol)
        world.venue.do(world.faults.rng.choice(("liquidate", "adl")), symbol)


def _bad_model(world: "World") -> None:
    why = world.registry.promote_bad(world.faults.rng)
    world.faults.count("bad_model", why)
    world.later(60.0 + 600.0 * world.faults.rng.random(), world.registry.promote_good)


def _redis_flush(world: "World") -> None:
    """Restart Redis without a file: everything in it is gone."""
    world.faults.count("redis_flush")
    world.redis.flush()
    world.monitors.forgotten()


def _registry_outage(world: "World") -> None:
    seconds = _outage_s(world)
    world.faults.count("registry_outage", f"{seconds:.0f} s")
    world.registry.out_until = world.loop.time() + seconds


ACTIONS = {
    "crash": _crash,
    "freeze": _freeze,
    "terminate": _terminate,
    "redis_outage": _redis_outage,
    "venue_outage": _venue_outage,
    "registry_outage": _registry_outage,
    "ws_kick": _ws_kick,
    "ws_half_open": _ws_half_open,
    "clock_step": _clock_step,
    "disk_full": _disk_full,
    "by_hand": _by_hand,
    "liquidate": _liquidate,
    "bad_model": _bad_model,
    "redis_flush": _redis_flush,
}
