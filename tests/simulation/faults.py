"""What goes wrong in one run, drawn from its seed.

Decides the rates (each seed draws its own, so that some runs are wild in one respect and calm in
all others), which call at a port meets a pause or the end of its process, and the fate of each
request. Never acts on anything but the process at the port. Rule: all chance of a run comes from
one generator, and whatever struck is counted by name.

Two kinds of chance at a port: now and then at any call, and *traps*: set for one process and one
kind of call, sprung by the next such call. Traps are set around bar closes, the end of leases and
commands, where the calls are that matter (`traps`).
"""

import random
from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.loop import Dead, Process

PORTS = (
    "clock",  # the monotonic clock: a lease, an age
    "time",  # the wall clock: what is signed
    "fetch",
    "reply",
    "socket",
    "redis",
    "redis_reply",
    "journal",
    "written",
    "registry",
)
"""Where a process can be struck: a clock read, around a request, around Redis, around a commit."""

FREEZE_MOST_S = 45.0
ANYWHERE_MEAN = 9_000


@dataclass(slots=True)
class Rates:
    """Probabilities of one run; a request's are of one request, ``per_hour`` of market time."""

    request: dict[str, float] = field(default_factory=dict)
    stream: dict[str, float] = field(default_factory=dict)
    redis: float = 0.0
    redis_slow: float = 0.0
    registry: float = 0.0
    per_hour: dict[str, float] = field(default_factory=dict)
    order: dict[str, float] = field(default_factory=dict)
    anywhere: float = 0.0
    trap: float = 0.0
    lease_trap: float = 0.0
    limit_trap: float = 0.0
    lag: float = 0.0
    second: str = ""
    command: str = ""


REQUEST = {
    "lost_request": 0.02,
    "lost_reply": 0.03,
    "late": 0.02,
    "error_executed": 0.015,
    "error": 0.03,
    "html_executed": 0.01,
    "html": 0.01,
    "rate_limit": 0.015,
    "http_429": 0.005,
    "reset": 0.02,
    "reset_executed": 0.02,
    "slow": 0.05,
}
STREAM = {"ws_drop": 0.05, "ws_duplicate": 0.05, "ws_delay": 0.05}
PER_HOUR = {
    "crash": 1.2,
    "freeze": 1.2,
    "terminate": 0.5,
    "redis_outage": 0.5,
    "redis_flush": 0.3,
    "venue_outage": 0.5,
    "registry_outage": 0.5,
    "ws_kick": 1.0,
    "ws_half_open": 0.4,
    "clock_step": 0.8,
    "disk_full": 0.5,
    "by_hand": 0.6,
    "liquidate": 0.25,
    "bad_model": 0.6,
}
ORDER = {"partial_fill": 0.25, "stop_rejected": 0.10, "reject": 0.06}


def draw(rng: random.Random, *, quiet: bool) -> Rates:
    """Return the rates of one run."""

    def some(values: dict[str, float], level: float) -> dict[str, float]:
        """Leave about half of the kinds out and draw the rest."""
        return {
            name: (most * level * 2.0 * rng.random() if rng.random() < 0.55 else 0.0)
            for name, most in values.items()
        }

    level = 0.0 if quiet else rng.choice((0.3, 0.7, 1.0, 1.5))
    rates = Rates(
        request=some(REQUEST, level),
        stream=some(STREAM, level),
        redis=0.03 * level * rng.random(),
        redis_slow=0.05 * level * rng.random(),
        registry=0.2 * level * rng.random(),
        per_hour=some(PER_HOUR, level),
        order=some(ORDER, level),
        anywhere=0.0 if quiet else level * rng.random(),
        trap=0.0 if quiet else level * 0.5 * rng.random(),
        lease_trap=0.0 if quiet else 0.5 * rng.random(),
        limit_trap=0.0 if quiet else max(0.0, 0.6 * rng.random() - 0.2),
        lag=0.0 if quiet else max(0.0, 0.3 * rng.random() - 0.1),
    )
    chance = rng.random()
    if not quiet:
        rates.second = "host" if chance < 0.4 else "same" if chance < 0.7 else ""
        chance = rng.random()
        rates.command = "kill" if chance < 0.3 else "flatten" if chance < 0.4 else ""
    return rates


@dataclass(slots=True)
class Trap:
    """What a call of ``port`` meets: a pause until ``until`` s, or the end.

    ``skip`` calls of it are let pass before, and all until there was a call of ``after``.
    """

    port: str
    until: float
    fatal: bool
    expires: float
    skip: int = 0
    after: str = ""


class Faults:
    """All chance of one run. Turn ``on`` off, and nothing strikes any more."""

    def __init__(self, seed: int, *, quiet: bool = False) -> None:
        self.rng = random.Random(seed)
        self.rates = draw(self.rng, quiet=quiet)
        self.on = not quiet
        self.counts: Counter[str] = Counter()
        self.traps: dict[str, list[Trap]] = {}
        self._left = self._gap()
        self.struck = lambda name, detail: None
        self.killer = lambda process: None

    def _gap(self) -> int:
        if self.rates.anywhere <= 0.0:
            return 1 << 60
        return 1 + int(self.rng.expovariate(self.rates.anywhere / ANYWHERE_MEAN))

    def count(self, name: str, detail: str = "") -> None:
        """Note that a fault struck."""
        self.counts[name] += 1
        self.struck(name, detail)

    def set_trap(self, name: str, trap: Trap) -> None:
        """Set a trap for the process called ``name``."""
        self.traps.setdefault(name, []).append(trap)

    def touch(self, process: Process, port: str) -> None:
        """Let a call at a port meet what it meets: it may be paused, and it may not return."""
        if process.dead:
            raise Dead
        if not self.on:
            return
        if self.traps and (traps := self.traps.get(process.name)):
            self._spring(process, port, traps)
        self._left -= 1
        if self._left <= 0:
            self._left = self._gap()
            self._strike(process, port, self.rng.random() * FREEZE_MOST_S, self.rng.random() < 0.4)

    def _spring(self, process: Process, port: str, traps: list[Trap]) -> None:
        now = process.loop.time()
        for trap in list(traps):
            if trap.expires < now:
                traps.remove(trap)
            elif trap.after:
                trap.after = "" if trap.after == port else trap.after
            elif trap.port == port and trap.skip > 0:
                trap.skip -= 1
            elif trap.port == port:
                traps.remove(trap)
                self._strike(process, port, max(0.0, trap.until - now), trap.fatal)
                return

    def _strike(self, process: Process, port: str, seconds: float, fatal: bool) -> None:
        if fatal:
            self.count(f"crash_at_{port}", process.name)
            self.killer(process)
            raise Dead
        self.count(f"pause_at_{port}", f"{process.name} {seconds:.1f} s")
        process.pause(seconds)

    def request_fate(self) -> str:
        """Return what happens to a request, "" for nothing."""
        return self._one_of(self.rates.request)

    def stream_fate(self) -> str:
        """Return what happens to a message on a socket, "" for nothing."""
        return self._one_of(self.rates.stream)

    def _one_of(self, chances: dict[str, float]) -> str:
        if not self.on:
            return ""
        chance = self.rng.random()
        for name, share in chances.items():
            if chance < share:
                self.count(name)
                return name
            chance -= share
        return ""

    def happens(self, chance: float) -> bool:
        """Say whether something of probability ``chance`` happens now."""
        return self.on and chance > 0.0 and self.rng.random() < chance
