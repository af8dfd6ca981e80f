"""What happens to a run from outside, and when.

Decides the moments of crashes, freezes, outages, steps of the clock, hands on the account, and the
traps around bar closes. Never looks at what the executor does, but for who holds the lease: traps
are set for the one that acts. Rule: everything is planned from the seed and ends with the run.
"""

from typing import TYPE_CHECKING, Any

import orjson

from tests.simulation import market
from tests.simulation.faults import FREEZE_MOST_S, Trap

if TYPE_CHECKING:
    from tests.simulation.world import World

LEAD_S = 40.0


def plan(world: "World") -> None:
    """Plan the whole run."""
    faults, rng = world.faults, world.faults.rng
    if not faults.on:
        return
    hours = world.seconds / 3600.0
    for kind, per_hour in faults.rates.per_hour.items():
        at = 0.0
        while per_hour > 0.0:
            at += rng.expovariate(per_hour) * 3600.0
            if at >= hours * 3600.0:
                break
            world.later(at, ACTIONS[kind], world)
    bar_s = market.INTERVAL_MS / 1000
    close = bar_s
    while close < world.seconds:
        if rng.random() < faults.rates.trap:
            world.later(close - LEAD_S, _set_trap, world, close)
        close += bar_s
    if faults.rates.kill:
        world.later(world.seconds * (0.2 + 0.7 * rng.random()), command, world, "kill")


def _set_trap(world: "World", close: float) -> None:
    """Set a trap around a bar close: a pause that ends just after it, or something right at it."""
    faults, rng = world.faults, world.faults.rng
    if not faults.on or not world.instances:
        return
    holder = world.monitors.holder()
    names = [i.name for i in world.instances if i.host.journal.stem == holder] or [
        i.name for i in world.instances
    ]
    name = rng.choice(names)
    if rng.random() < 0.4:
        port = rng.choice(("clock", "redis", "redis_reply", "fetch", "reply"))
        trap = Trap(port, close + 2.0 * rng.random(), False, close)
        delay = LEAD_S * rng.random()
    else:
        port = rng.choice(("clock", "fetch", "fetch", "reply", "reply", "journal", "written"))
        fatal = rng.random() < 0.5
        until = close + rng.random() * FREEZE_MOST_S
        trap = Trap(port, until, fatal, close + 10.0)
        delay = LEAD_S + 0.2 * rng.random()
    world.later(delay, lambda: faults.traps.setdefault(name, []).append(trap))


def calm(world: "World") -> None:
    """End all faults; what is down comes up."""
    world.faults.on = False
    world.faults.traps.clear()
    world.venue.out_until = world.redis.out_until = 0.0
    world.venue.forget_wishes()
    world.registry.promote_good()
    for host in world.hosts:
        host.clock_step_ms = 0
        for resource in host.instance.resources if host.instance is not None else ():
            resource.full_until = 0.0


def command(world: "World", name: str) -> None:
    """Give an executor a command, as a person does."""
    if world.faults.on:
        entry = world.redis.add(
            world.keys.commands,
            {"command": orjson.dumps({"name": name, "who": "simulation"}).decode()},
        )
        world.monitors.commanded(name, entry)
        world.say("command", name)


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
        seconds = 2.0 + 30.0 * world.faults.rng.random()
        world.faults.count("disk_full", f"{instance.name} {seconds:.0f} s")
        world.monitors.unwell(seconds + 40.0)
        for resource in instance.resources:
            resource.full_until = world.loop.time() + seconds


def _by_hand(world: "World") -> None:
    """Somebody trades on the account: closes, opens, adds, or turns a position."""
    rng, venue = world.faults.rng, world.venue
    symbol = rng.choice(market.SYMBOLS)
    held = venue.positions().get(symbol)
    world.monitors.hand(symbol)
    if held is not None and rng.random() < 0.5:
        world.faults.count("closed_by_hand", symbol)
        venue.do("close_by_hand", symbol)
        return
    world.faults.count("opened_by_hand", symbol)
    venue.trade_by_hand(symbol, rng.choice((1, -1)), market.BALANCE * 0.04)


def _liquidate(world: "World") -> None:
    held = sorted(world.venue.positions())
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
    world.faults.count("redis_flush")
    world.redis.flush()


ACTIONS = {
    "crash": _crash,
    "freeze": _freeze,
    "terminate": _terminate,
    "redis_outage": _redis_outage,
    "venue_outage": _venue_outage,
    "ws_kick": _ws_kick,
    "ws_half_open": _ws_half_open,
    "clock_step": _clock_step,
    "disk_full": _disk_full,
    "by_hand": _by_hand,
    "liquidate": _liquidate,
    "bad_model": _bad_model,
    "redis_flush": _redis_flush,
}
