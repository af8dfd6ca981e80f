"""Those who watch: each rule by itself, from what the venue, the journal's file and Redis show.

Decides what counts as a violation. Never asks the executor what it thinks it did. Rule: one layer,
one monitor, so that a second layer which happens to catch a bug does not hide that the first one
failed; whatever stands here is proven to see its bug by `bugs`.

*Healthy time* passes while some live, running, unfrozen process holds the lease and nothing that it
needs was spoiled in the last moments.
"""

import sqlite3
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.simulation import market
from tests.simulation.at_rest import AtRest
from tests.simulation.lines import Line
from tests.simulation.venue_port import Sent

if TYPE_CHECKING:
    from tests.simulation.instance import Host, Instance
    from tests.simulation.world import World

SAMPLE_S = 2.0
NAKED_S = 30.0
KILL_ENTRY_S = 15.0
KILL_FLAT_S = 45.0
READ_S = 0.5
START_S = 25.0
THAW_S = 5.0
SLACK = 1.06
STOP_FAR = 0.02
SIGNAL_AGE_S = 30.0 + 2.0
ENTRY_AGE_S = 30.0 + 6.0
DATA_AGE_S = 5.0 + 1.0
VIOLATIONS_MOST = 20
CREATE = "order/create"
CHANGES = (CREATE, "order/cancel", "order/cancel-all", "trading-stop", "set-leverage")


class Monitors(AtRest):
    """All monitors of one run."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.violations: list[str] = []
        self.entries = 0
        self.fills = 0
        self.executed: dict[str, str] = {}
        self.filled: set[str] = set()
        self._unwell_until = 0.0
        self.healthy_s = 0.0
        self._well_since = 0.0
        self._naked: dict[str, float] = {}
        self._hands: dict[str, float] = {}
        self._accepted: dict[tuple[str, int], str] = {}
        self._frames: dict[str, float] = {}
        self._decided: dict[str, float] = {}
        self._kill_at: tuple[float, float] | None = None
        self._kill_entry = ""
        self._kill_read: dict[str, float] = {}
        self._readers: dict[Any, sqlite3.Connection] = {}
        self._held_since: dict[str, float] = defaultdict(float)
        venue = world.venue
        venue.sent = self.sent
        venue.arriving = self.arriving
        venue.arrived = self.arrived
        venue.spoiled = self.unwell
        venue.lines.told = self.told
        venue.lines.received = self.received
        venue.priced = self.saw_prices
        world.loop.call_later(SAMPLE_S, self._sample)

    def bad(self, kind: str, text: str) -> None:
        """Note a violation."""
        line = f"{kind} at {self.world.loop.time():.3f} s: {text}"
        self.world.say("VIOLATION", line)
        if len(self.violations) < VIOLATIONS_MOST:
            self.violations.append(line)

    # What happened outside, so that a monitor does not blame the executor for it.

    def unwell(self, seconds: float) -> None:
        """Let the next seconds not count as healthy."""
        self._unwell_until = max(self._unwell_until, self.world.loop.time() + seconds)

    def hand(self, symbol: str) -> None:
        """Know that somebody else touched a symbol: its size is not the executor's any more."""
        self._hands[symbol] = self.world.loop.time()

    def commanded(self, name: str, entry: str) -> None:
        """Know of a command."""
        if name == "kill" and self._kill_at is None:
            self._kill_at = (self.world.loop.time(), self.healthy_s)
            self._kill_entry = entry

    def command_read(self, process: Any, entry: str, _command: str) -> None:
        """See a command reach a process."""
        if entry == self._kill_entry:
            self._kill_read.setdefault(process.name, process.loop.time())

    def received(self, line: Line, message: Any) -> None:
        """See a frame reach a process."""
        if isinstance(message, dict) and str(message.get("topic", "")).startswith("kline"):
            self.saw_prices(line.process)

    def saw_prices(self, process: Any) -> None:
        """See a process get prices, by a frame or by a reply."""
        self._frames[process.name] = process.loop.world_time

    def holder(self) -> str:
        """Return whose the lease is at the Redis server, "" where nobody's."""
        value = self.world.redis.get(self.world.keys.lease) or ""
        return value.rpartition(":")[2].removeprefix("journal-")

    # Requests.

    def sent(self, request: Sent) -> None:
        """See a change leave a process: the journal must know it already."""
        if not request.path.endswith(CREATE):
            return
        values = request.values
        link = str(values.get("orderLinkId", ""))
        if not self.is_planned(request.process, link):
            self.bad("NO_INTENT", f"{request.process.name} sends {link!r}, no row says so")

    def decided(self, process: Any, link: str) -> None:
        """See an entry reach the journal: it was decided on the prices seen by then."""
        now = self.world.loop.world_time
        self._decided.setdefault(link, now)
        named = link.split("-")
        age = now - (int(named[2]) - market.START_MS) / 1000 if len(named) == 4 else 0.0
        if age > SIGNAL_AGE_S and now > self._unwell_until:
            self.bad("STALE_SIGNAL", f"{link} is decided {age:.1f} s after its close")
        silent = now - self._frames.get(process.name, 0.0)
        if silent > DATA_AGE_S:
            self.bad("STALE_DATA", f"{link} is decided {silent:.1f} s after the last price")

    def is_planned(self, process: Any, link: str) -> bool:
        query = "SELECT 1 FROM intents WHERE client_order_id = ? AND kind = 'order'"
        return self.reader(process.host).execute(query, (link,)).fetchone() is not None

    def reader(self, host: "Host") -> sqlite3.Connection:
        """Return a connection of our own to a host's journal: it sees what is committed."""
        if host.journal not in self._readers:
            self._readers[host.journal] = sqlite3.connect(host.journal, isolation_level=None)
        return self._readers[host.journal]

    def arriving(self, request: Sent) -> None:
        """Look at what is held before a change is judged."""
        self._before = self.world.venue.positions()

    def arrived(self, request: Sent, code: int) -> None:
        """See how a change was judged."""
        if code != 0 or not request.path.endswith(CHANGES):
            return
        values, process = request.values, request.process
        reduces = values.get("reduceOnly") is True
        cancels = "order/cancel" in request.path
        link = str(values.get("orderLinkId", ""))
        self.world.say("accepted", f"{process.name} {request.path} {values.get('symbol')} {link}")
        emergency = self._kill_at is not None and (reduces or cancels)
        owner, holder = process.host.journal.stem, self.holder()
        if owner != holder and not emergency:
            age = self.world.loop.time() - request.at
            self.bad("FENCE", f"{process.name} {link} acts ({age:.1f} s old), {holder!r} holds")
        if request.path.endswith(CREATE) and not reduces:
            self._entry(request, values, link)

    def _entry(self, request: Sent, values: dict[str, Any], link: str) -> None:
        """See an opening order accepted."""
        self.entries += 1
        world, symbol = self.world, str(values["symbol"])
        now = world.loop.time()
        bar = int(now * 1000) // market.INTERVAL_MS
        before = self._accepted.setdefault((symbol, bar), link)
        if before != link or link == "":
            self.bad("DOUBLE_ENTRY", f"{symbol}: {link} after {before} in one bar")
        held = self._before.get(symbol)
        if held is not None and symbol not in self._hands:
            self.bad("DOUBLE_ENTRY", f"{symbol}: {link} on top of {held.quantity}")
        self._exposure(symbol, values, link)
        since = now - self._decided.get(link, now)
        if since > ENTRY_AGE_S:
            self.bad("STALE_ENTRY", f"{link} is accepted {since:.1f} s after it was decided")
        price = float(world.venue.exchange.state.prices[symbol])
        stop = float(values.get("stopLoss") or 0.0)
        if not stop:
            self.bad("NO_STOP", f"{link} carries no stop")
        elif abs(price - stop) / price > (market.LOSS + market.BAD_LOSS) / 2:
            self.bad("UNPROVEN_MODEL", f"{link}: stop {stop} at {price} is the bad model's")
        read = self._kill_read.get(request.process.name)
        if read is not None and request.at > read + READ_S:
            self.bad("ENTRY_AFTER_KILL", f"{link}: killed {request.at - read:.1f} s before")
        if self._kill_at is not None and self.healthy_s - self._kill_at[1] > KILL_ENTRY_S:
            self.bad("ENTRY_AFTER_KILL", f"{link}: long after the command")

    def _exposure(self, symbol: str, values: dict[str, Any], link: str) -> None:
        """Look at what is held and asked for, at the venue's prices."""
        venue = self.world.venue
        prices = venue.exchange.state.prices
        account = venue.exchange.state.accounts["main"]
        held = {
            name: float(p.size * prices[name])
            for name, p in self._before.items()
            if name not in self._hands
        }
        equity = float(account.wallet) + sum(
            float(p.profit_at(prices[name])) for name, p in self._before.items()
        )
        asked = float(values["qty"]) * float(prices[symbol])
        held[symbol] = held.get(symbol, 0.0) + asked
        if held[symbol] > market.POSITION_FRACTION * equity * SLACK:
            self.bad("EXPOSURE", f"{link}: {held[symbol]:.0f} of {equity:.0f} in one symbol")
        if sum(held.values()) > market.GROSS_FRACTION * equity * SLACK:
            self.bad("EXPOSURE", f"{link}: {sum(held.values()):.0f} of {equity:.0f} in all")

    def told(self, topic: str, row: dict[str, Any]) -> None:
        """See what the venue tells: every execution."""
        if topic != "execution":
            return
        self.executed[row["execId"]] = row["execType"]
        if row["execType"] == "Funding":
            return
        self.fills += 1
        link = row["orderLinkId"]
        size = f"{row['side']} {row['execQty']}"
        self.world.say("fill", f"{row['symbol']} {size} {link or row['createType']}")
        self.filled.add(link)
        closed, done = float(row["closedSize"] or 0.0), float(row["execQty"])
        if link and 0.0 < closed < done:
            self.bad("FLIP", f"{link} closes {closed} and opens {done - closed}")

    # Time.

    def _sample(self) -> None:
        world = self.world
        now = world.loop.time()
        world.loop.call_later(SAMPLE_S, self._sample)
        held = world.venue.positions()
        for symbol in [s for s in self._hands if s not in held and now - self._hands[s] > 60.0]:
            del self._hands[symbol]
        if not self.is_healthy(now):
            self._well_since = now
            return
        self.healthy_s += SAMPLE_S
        for symbol, position in held.items():
            self._look_at_stop(symbol, position)
        for symbol in [s for s in self._naked if s not in held]:
            del self._naked[symbol]
        if self._kill_at is not None and held and self._kill_is_old(now):
            self.bad("KILL_NOT_FLAT", f"still held: {sorted(held)}")

    def _kill_is_old(self, now: float) -> bool:
        assert self._kill_at is not None
        touched = max(self._hands.values(), default=0.0)
        return self.healthy_s - self._kill_at[1] > KILL_FLAT_S and now - touched > 90.0

    def _look_at_stop(self, symbol: str, position: Any) -> None:
        stop, entry = float(position.stop_loss), float(position.entry_price)
        safe = stop > 0.0 and abs(entry - stop) / entry <= STOP_FAR
        if safe:
            self._naked.pop(symbol, None)
            return
        self._naked[symbol] = self._naked.get(symbol, 0.0) + SAMPLE_S
        if self._naked[symbol] > NAKED_S:
            self.bad("UNPROTECTED", f"{symbol}: {self._naked[symbol]:.0f} s with stop {stop}")
            self._naked[symbol] = 0.0

    def is_healthy(self, now: float) -> bool:
        """Say whether somebody could act, and nothing that is needed was spoiled lately."""
        if now < self._unwell_until:
            return False
        leader = self.leader()
        return (
            leader is not None
            and leader.frozen_until + THAW_S < now
            and now - max(leader.started_at, self._held_since[leader.name]) > START_S
        )

    def leader(self) -> "Instance | None":
        """Return the process whose journal holds the lease."""
        holder = self.holder()
        for host in self.world.hosts:
            instance = host.instance
            if instance is not None and not instance.dead and host.journal.stem == holder:
                if not instance.has_journal:
                    continue  # two processes, one journal: the other one has the lock
                if instance.name not in self._held_since:
                    self._held_since[instance.name] = self.world.loop.time()
                return instance
        return None

    # Ends.

    def logged(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """See what should never be logged: something broke that nobody foresaw."""
        if level == "exception" or event.endswith("order_task_failed"):
            error = str(fields.get("error", ""))
            if "Dead()" not in error:
                self.bad("BROKE", f"{event} {error[:200]}")

    def ended(self, instance: "Instance") -> None:
        """See a process end by itself: only a full disk and a request to stop are reasons."""
        error = None if instance.life.cancelled() else instance.life.exception()
        if instance.dead or instance.stop.is_set():
            return
        code = "" if error is not None or instance.life.cancelled() else instance.life.result()
        full = code == 0 or self.world.faults.counts["disk_full_hit"]
        if error is not None or not full:
            self.bad("DIED", f"{instance.name}: {code} {error!r}"[:300])

    def close(self) -> None:
        """Close what was opened."""
        for reader in self._readers.values():
            reader.close()
