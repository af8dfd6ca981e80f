"""Monitors of every change that is sent, judged and executed: one rule, one monitor.

Decides which of them break a rule, each by itself, so that a second layer which happens to catch a
bug does not hide that the first one failed. Never asks the executor what it thinks it did. Rule: a
change is judged with what the venue held before it; whatever stands here is proven to see its bug
by `bugs`.
"""

from collections import defaultdict
from typing import Any

from tests.simulation import market
from tests.simulation.lines import Line
from tests.simulation.outside import Outside, number
from tests.simulation.venue_port import RECV_WINDOW_S, Held, Sent

SLACK = 1.06
SIGNAL_AGE_S = 30.0 + 2.0
SIGNED_AGE_S = 30.0 + 1.5
ENTRY_AGE_S = SIGNED_AGE_S + 5.0
DATA_AGE_S = 5.0 + 1.0
READ_S = 0.5
COMMAND_S = 15.0
QUIET_S = 90.0  # longer than a process stands still with a picture in its hands
ENDINGS = frozenset({"resume", "reset"})
CREATE = "order/create"
CHANGES = (CREATE, "order/cancel", "order/cancel-all", "trading-stop", "set-leverage")
PLANNED = {"trading-stop": "protect", "order/cancel": "cancel"}


class OnChange(Outside):
    """What is looked at when something is sent, judged or executed."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.entries = 0
        self.fills = 0
        self.sent_by: set[tuple[str, str]] = set()
        self.executed: dict[str, tuple[str, float]] = {}
        self._moved_at: dict[str, float] = defaultdict(float)
        self.command = ""
        self.commanded_at = (0.0, 0.0)
        self._entry_id = ""
        self._read: dict[str, float] = {}
        self._before: dict[str, Held] = {}
        self._accepted: dict[tuple[str, int], str] = {}
        self._prices: dict[str, float] = defaultdict(float)
        self._decided: dict[tuple[str, str], float] = {}
        self._in_flight: dict[str, tuple[str, float, float]] = {}
        self._largest: dict[str, float] = {}

    # What a process was told before it sent anything.

    def commanded(self, name: str, entry: str) -> None:
        """Know of a command; what ends one frees what comes after."""
        self.command = "" if name in ENDINGS else name
        self.commanded_at = (self.world.loop.time(), self.healthy_s)
        self._entry_id = entry
        self._read.clear()

    def forgotten(self) -> None:
        """Know that Redis lost a command: if nobody has read it, nobody ever will."""
        if self.command and not self._read:
            self.command = ""

    def command_read(self, process: Any, entry: str, _command: str) -> None:
        """See a command reach a process."""
        if entry == self._entry_id:
            self._read.setdefault(process.name, process.loop.time())

    def received(self, line: Line, message: Any) -> None:
        """See a frame reach a process: its prices are as old as the frame."""
        if isinstance(message, dict) and str(message.get("topic", "")).startswith("kline"):
            self.saw_prices(line.process, (message["ts"] - market.START_MS) / 1000)

    def saw_prices(self, process: Any, at: float) -> None:
        """See a process get prices that the venue gave at a time."""
        self._prices[process.name] = max(self._prices[process.name], at)

    def decided(self, process: Any, link: str) -> None:
        """See an entry reach a journal: it was decided on the prices seen by then.

        Two instances may decide one entry, each by itself: who stands by has another journal.
        """
        now = self.world.loop.world_time
        self._decided.setdefault((process.host.name_of_journal, link), now)
        named = link.split("-")
        age = now - (int(named[2]) - market.START_MS) / 1000 if len(named) == 4 else 0.0
        if process.host.clock_step_ms:
            return  # who has another time cannot know how old anything is
        if age > SIGNAL_AGE_S:
            self.bad("STALE_SIGNAL", f"{link} is decided {age:.1f} s after its close")
        silent = now - self._prices[process.name]
        if silent > DATA_AGE_S:
            self.bad("STALE_DATA", f"{link} is decided {silent:.1f} s after the last price")

    # What it sends.

    def sent(self, request: Sent) -> None:
        """See a change leave a process: the journal must know it, and it must fit beside others."""
        values, journal = request.values, request.process.host.journal
        for ending, kind in PLANNED.items():
            symbol = str(values.get("symbol", ""))
            if request.path.endswith(ending) and not self.does(journal, kind, symbol):
                self.bad("NO_INTENT", f"{request.process.name} sends {kind} of {symbol} unplanned")
        if not request.path.endswith(CREATE):
            return
        link = str(values.get("orderLinkId", ""))
        self.sent_by.add((request.process.host.name_of_journal, link))
        if not self.is_planned(journal, link):
            self.bad("NO_INTENT", f"{request.process.name} sends {link!r}, no row says so")
        if request.opens:
            self._count_in_flight(request, values, link)

    def _count_in_flight(self, request: Sent, values: dict[str, Any], link: str) -> None:
        """Look at what is held, may still be accepted, and is asked for now, together."""
        now, symbol = self.world.loop.time(), str(values["symbol"])
        price = self.world.venue.price(symbol)
        for name in [n for n, (_, _, until) in self._in_flight.items() if until < now]:
            del self._in_flight[name]
        until = (request.signed_ms - market.START_MS) / 1000 + RECV_WINDOW_S
        self._in_flight[link] = (symbol, number(values["qty"]) * price, until)
        held = self._notionals(self.world.venue.held())
        for name, notional, _ in self._in_flight.values():
            held[name] = held.get(name, 0.0) + notional
        self._judge_exposure(held, symbol, link, "IN_FLIGHT")

    def _notionals(self, held: dict[str, Held]) -> dict[str, float]:
        """Return what is held at the venue's prices, without what others opened."""
        price = self.world.venue.price
        return {s: abs(h.quantity) * price(s) for s, h in held.items() if s not in self._hands}

    def _judge_exposure(self, held: dict[str, float], symbol: str, link: str, kind: str) -> None:
        limits, equity = self.world.limits, self.world.venue.equity()
        if held[symbol] > limits.position_fraction * equity * SLACK:
            self.bad(kind, f"{link}: {held[symbol]:.0f} of {equity:.0f} in one symbol")
        if sum(held.values()) > limits.gross_fraction * equity * SLACK:
            self.bad(kind, f"{link}: {sum(held.values()):.0f} of {equity:.0f} in all")
        if len(held) > limits.positions:
            self.bad(kind, f"{link}: {len(held)} positions, {limits.positions} are the most")

    # How the venue judges it.

    def arriving(self, request: Sent) -> None:
        """Look at what is held before a change is judged."""
        self._before = self.world.venue.held()
        for symbol in [s for s in self._largest if s not in self._before]:
            del self._largest[symbol]
        for symbol, held in self._before.items():
            size = abs(held.quantity)
            self._largest[symbol] = max(size, self._largest.get(symbol, 0.0))

    def arrived(self, request: Sent, code: int) -> None:
        """See how a change was judged."""
        values, process = request.values, request.process
        link = str(values.get("orderLinkId", ""))
        self._in_flight.pop(link, None)
        if code != 0 or not request.path.endswith(CHANGES):
            return
        self.world.say("accepted", f"{process.name} {request.path} {values.get('symbol')} {link}")
        self._fence(request, values, link)
        if request.path.endswith("trading-stop"):
            self._stop_moved(values)
        if not request.path.endswith(CREATE):
            return
        if request.opens:
            self._entry(request, values, link)
        elif values["symbol"] not in self._hands:
            largest = self._largest.get(values["symbol"], 0.0)
            if number(values["qty"]) > largest * (1.0 + 1e-9):
                self.bad("EXIT_SIZE", f"{link} asks for {values['qty']}, {largest} was the most")

    def _fence(self, request: Sent, values: dict[str, Any], link: str) -> None:
        """A change of one that does not hold the lease: only a kill or flatten may."""
        ours, holder = request.process.host.name_of_journal, self.holder()
        cancels = request.path.endswith("order/cancel")
        if ours == holder or (self.command and (cancels or link.endswith("-k"))):
            return
        age = self.world.loop.time() - request.at
        what = f"{request.process.name} {request.path} {link}"
        self.bad("FENCE", f"{what} acts ({age:.1f} s old), {holder!r} holds")

    def _stop_moved(self, values: dict[str, Any]) -> None:
        """A stop is only ever tightened, but for one that others set."""
        symbol, stop = str(values["symbol"]), number(values.get("stopLoss"))
        held = self._before.get(symbol)
        if held is None or not held.stop or not stop or symbol in self._hands:
            return
        if held.quantity * (stop - held.stop) < -1e-9 * abs(held.quantity) * held.stop:
            self.bad("LOOSENED", f"{symbol}: the stop moves from {held.stop} to {stop}")

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
        price = world.venue.price(symbol)
        notionals = self._notionals(self._before)
        notionals[symbol] = notionals.get(symbol, 0.0) + number(values["qty"]) * price
        self._judge_exposure(notionals, symbol, link, "EXPOSURE")
        since = now - self._decided.get((request.process.host.name_of_journal, link), now)
        if since > ENTRY_AGE_S:
            self.bad("STALE_ENTRY", f"{link} is accepted {since:.1f} s after it was decided")
        since -= now - (request.signed_ms - market.START_MS) / 1000
        if since > SIGNED_AGE_S and not request.process.host.clock_step_ms:
            self.bad("STALE_ENTRY", f"{link} is signed {since:.1f} s after it was decided")
        stop = number(values.get("stopLoss"))
        if not stop:
            self.bad("NO_STOP", f"{link} carries no stop")
        elif abs(price - stop) / price > (market.LOSS + market.BAD_LOSS) / 2:
            self.bad("UNPROVEN_MODEL", f"{link}: stop {stop} at {price} is the bad model's")
        self._after_command(request, link)

    def _after_command(self, request: Sent, link: str) -> None:
        """An entry in spite of a kill or flatten, by who has read it or long after it was given."""
        if not self.command:
            return
        read = self._read.get(request.process.name)
        if read is not None and request.at > read + READ_S:
            self.bad("ENTRY_AFTER_KILL", f"{link}: {request.at - read:.1f} s after {self.command}")
        if self.healthy_s - self.commanded_at[1] > COMMAND_S:
            self.bad("ENTRY_AFTER_KILL", f"{link}: long after {self.command}")

    # What comes of it.

    def told(self, topic: str, row: dict[str, Any]) -> None:
        """See what the venue tells: every execution."""
        if topic != "execution":
            return
        now = self.world.loop.time()
        self.executed[row["execId"]] = (row["execType"], now)
        if row["execType"] == "Funding":
            return
        self.fills += 1
        self._moved_at[row["symbol"]] = now
        link = row["orderLinkId"]
        size = f"{row['side']} {row['execQty']}"
        self.world.say("fill", f"{row['symbol']} {size} {link or row['createType']}")
        if link and not any(self.is_planned(path, link) for path in self.journals()):
            self.bad("NO_INTENT", f"{link} is executed, no journal says that it was decided")
        closed, done = number(row["closedSize"]), float(row["execQty"])
        if link and 0.0 < closed < done and row["symbol"] not in self._hands:
            self.bad("FLIP", f"{link} closes {closed} and opens {done - closed}")

    def dropped(self, symbol: str) -> None:
        """See a position booked as gone: the venue must not have held it unchanged for long."""
        held = self.world.venue.held().get(symbol)
        quiet_s = self.world.loop.time() - self._moved_at[symbol]
        if held is not None and symbol not in self._hands and quiet_s > QUIET_S:
            self.bad("FALSE_FLAT", f"{symbol} is booked as gone, the venue holds {held.quantity}")
