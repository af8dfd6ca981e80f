"""What the monitors know of the outside: who leads, what was spoiled, whose hands were in it.

Decides which seconds count as healthy and which as calm, and whose a position is. Never judges.
Rule: read from the venue, the journal's file, Redis and the plan of the faults; a process is asked
nothing but whether it exists.

*Healthy time* passes while some live, running, unfrozen process holds the lease and nothing that it
needs was spoiled in the last moments. *Calm time* passes while somebody could lead: a process
lives, unfrozen and long enough, and nothing that a start needs was spoiled.
"""

import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.simulation.loop import Process
from tests.simulation.venue_port import Held

if TYPE_CHECKING:
    from tests.simulation.instance import Instance
    from tests.simulation.world import World

START_S = 25.0
THAW_S = 5.0
HAND_S = 60.0
LEFT_ALONE_S = 32.0
SAME_MOST = 3


class Outside:
    """What all monitors share."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.violations: list[str] = []
        self.healthy_s = 0.0
        self._unwell_until = 0.0
        self._left_alone_until = 0.0
        self._hands: dict[str, float] = {}
        self._looked: dict[str, float] = {}
        self._saw: dict[str, float] = {}
        self._held_since: dict[str, float] = defaultdict(float)
        self._readers: dict[Path, sqlite3.Connection] = {}

    def bad(self, kind: str, text: str) -> None:
        """Note a violation."""
        line = f"{kind} at {self.world.loop.time():.3f} s: {text}"
        self.world.say("VIOLATION", line)
        same = sum(one.startswith(kind + " ") for one in self.violations)
        if same < SAME_MOST:
            self.violations.append(line)

    # What the faults did, so that a monitor does not blame the executor for it.

    def unwell(self, seconds: float) -> None:
        """Let the next seconds not count as healthy."""
        self._unwell_until = max(self._unwell_until, self.world.loop.time() + seconds)

    def left_alone(self) -> None:
        """Know that the venue asked to be left alone: nobody looks at what others do there."""
        self._left_alone_until = self.world.loop.time() + LEFT_ALONE_S

    def hand(self, symbol: str) -> None:
        """Know that somebody else touched a symbol: its size is not the executor's any more."""
        self._hands[symbol] = self.world.loop.time()

    def looked(self, process: Process) -> None:
        """Know that a process asked the venue what it holds, and whether nothing spoiled it."""
        now = self._looked[process.name] = self.world.loop.time()
        if now >= self._unwell_until:
            self._saw[process.name] = now

    def take_hands_off(self, held: dict[str, Held], now: float) -> None:
        """Forget hands on what has been flat since for a while."""
        for symbol in [s for s, at in self._hands.items() if s not in held and now - at > HAND_S]:
            del self._hands[symbol]

    # Who leads.

    def holder(self) -> str:
        """Return whose the lease is, "" where nobody's; what Redis forgot ends in its own time."""
        redis, key = self.world.redis, self.world.keys.lease
        owner = (redis.get(key) or "").rpartition(":")[2] or redis.forgotten(key).rpartition(":")[2]
        return owner.removeprefix("journal-")

    def leader(self) -> "Instance | None":
        """Return the process whose journal holds the lease."""
        holder = self.holder()
        if not holder:
            return None
        for host in self.world.hosts:
            instance = host.instance
            if instance is not None and not instance.dead and host.name_of_journal == holder:
                if not instance.has_journal:
                    continue  # two processes, one journal: the other one has the lock
                if instance.name not in self._held_since:
                    self._held_since[instance.name] = self.world.loop.time()
                return instance
        return None

    def is_healthy(self, now: float, leader: "Instance | None") -> bool:
        """Say whether somebody could act, and nothing that is needed was spoiled lately."""
        return (
            now >= self._unwell_until
            and leader is not None
            and leader.frozen_until + THAW_S < now
            and now - max(leader.started_at, self._held_since[leader.name]) > START_S
        )

    def is_calm(self, now: float) -> bool:
        """Say whether somebody could lead."""
        return now >= self._unwell_until and any(
            i.frozen_until + THAW_S < now and now - i.started_at > START_S
            for i in self.world.instances
        )

    def is_left_alone(self, now: float) -> bool:
        """Say whether the venue asked lately to be left alone: nobody may look."""
        return now < self._left_alone_until

    # The journals' files.

    def reader(self, path: Path) -> sqlite3.Connection:
        """Return a connection of our own to a journal: it sees what is committed."""
        if path not in self._readers:
            self._readers[path] = sqlite3.connect(path, isolation_level=None)
        return self._readers[path]

    def journals(self) -> list[Path]:
        """Return every journal's file."""
        return sorted({host.journal for host in self.world.hosts})

    def is_planned(self, path: Path, link: str) -> bool:
        """Say whether a journal says that an order was decided."""
        query = "SELECT 1 FROM intents WHERE client_order_id = ? AND kind = 'order'"
        return self.reader(path).execute(query, (link,)).fetchone() is not None

    def does(self, path: Path, kind: str, symbol: str) -> bool:
        """Say whether a journal says that a stop or a cancel was decided for a symbol."""
        query = "SELECT 1 FROM intents WHERE kind = ? AND symbol = ? LIMIT 1"
        return self.reader(path).execute(query, (kind, symbol)).fetchone() is not None

    def close(self) -> None:
        """Close what was opened."""
        for reader in self._readers.values():
            reader.close()


def number(value: Any) -> float:
    """Return a number of a request, 0 where there is none."""
    return float(value or 0.0)
