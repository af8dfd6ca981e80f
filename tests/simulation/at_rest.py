"""What is looked at when all has come to rest: journal against venue, order by order.

Decides where the leader's journal and the venue disagree, what was left undone, and what a journal
says was decided after a kill. Never looks at a process's memory. Rule: asked again while it may
still come right; what differs in the end is a violation.
"""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from executor.core.types import OrderStatus
from executor.journal.rows import PLANNED
from executor.paper.venue.orders import Status
from tests.simulation import market
from tests.simulation.over_time import OverTime

if TYPE_CHECKING:
    from tests.simulation.instance import Instance

BEGAN_S = 2.0
COMMANDS = (
    "SELECT seq, json_extract(body, '$.name') FROM events WHERE kind = 'Command' ORDER BY seq"
)
ENTRIES = (
    "SELECT event_seq, client_order_id FROM intents "
    "WHERE kind = 'order' AND NOT json_extract(body, '$.reduce_only') ORDER BY seq"
)
FORBIDS = frozenset({"kill", "flatten", "pause"})
ALLOWS = frozenset({"reset", "resume"})
NOTHING = frozenset({OrderStatus.REJECTED, OrderStatus.REFUSED})


class AtRest(OverTime):
    """The last look of the monitors."""

    def finish(self) -> None:
        """Look at everything once more when all has come to rest."""
        for line in self.differences():
            self.bad("JOURNAL", line)
        for problem in self.world.loop.problems[:3]:
            self.bad("BROKE", problem[:200])
        for path in self.journals():
            self._decided_in_spite(self.reader(path))
        leader = self.leader()
        if leader is None or not leader.running:
            self.bad("NOT_RUNNING", f"nobody trades at the end; {self.holder()!r} holds the lease")
            return
        journal = self.reader(leader.host.journal)
        query = "SELECT kind, client_order_id FROM intents WHERE state = ?"
        for kind, name in journal.execute(query, (PLANNED,)).fetchall():
            self.bad("UNRESOLVED", f"{kind} {name} is still planned")
        self._orphans(leader)
        self._words(leader, journal)
        behind = self.behind_ms(leader)
        if behind > 2 * market.INTERVAL_MS:
            self.bad("DEAF", f"the last close it knows is {behind // 1000} s old")

    def _decided_in_spite(self, journal: sqlite3.Connection) -> None:
        """The core of one journal decides no entry between a kill and what takes it back."""
        commands = journal.execute(COMMANDS).fetchall()
        for seq, link in journal.execute(ENTRIES).fetchall():
            last = [name for at, name in commands if at < seq and name in FORBIDS | ALLOWS][-1:]
            if last and last[0] in FORBIDS:
                self.bad("DECIDED_AFTER_KILL", f"{link} was decided after {last[0]}")

    def _orphans(self, leader: "Instance") -> None:
        """Nothing rests at the venue that the leader's journal does not know of."""
        held = self.world.venue.held()
        for order in self.world.venue.open_orders():
            known = self.is_planned(leader.host.journal, order.link_id) and order.symbol in held
            if not known and not order.stop_kind:
                self.bad("ORPHAN_ORDER", f"{order.symbol} {order.link_id!r} rests")

    def _words(self, leader: "Instance", journal: sqlite3.Connection) -> None:
        """No order that the leader's journal sent, and calls nothing, was taken by the venue.

        But for one that the venue did not show, and one that another sent, too: who may not send it
        again cannot know.
        """
        venue, by = self.world.venue, leader.host.name_of_journal
        query = "SELECT DISTINCT client_order_id, status FROM orders ORDER BY seq"
        for name, status in journal.execute(query).fetchall():
            unseen = status == OrderStatus.REFUSED and name in venue.unseen_until
            senders = {sender for sender, sent in self.sent_by if sent == name}
            if status not in NOTHING or unseen or senders != {by}:
                continue
            taken = venue.exchange.state.orders.find("main", "", name)
            if taken is not None and taken.status != Status.REJECTED:
                self.bad("WRONG_WORD", f"{name} is {status} in the journal and was {taken.status}")

    def differences(self) -> list[str]:
        """Return where the leader's journal and the venue disagree."""
        leader = self.leader()
        if leader is None or not leader.running:
            return ["nobody leads"]
        return [*self._positions(leader), *self._fills(leader.host.journal)]

    def _positions(self, leader: "Instance") -> list[str]:
        ours = leader.believed()
        theirs = {symbol: held.quantity for symbol, held in self.world.venue.held().items()}
        return [
            f"{symbol}: journal {ours.get(symbol, 0.0)}, venue {theirs.get(symbol, 0.0)}"
            for symbol in sorted(ours.keys() | theirs.keys())
            if abs(ours.get(symbol, 0.0) - theirs.get(symbol, 0.0)) > 1e-9
        ]

    def _fills(self, path: Path) -> list[str]:
        """Compare executions one by one, from when the journal began."""
        journal = self.reader(path)
        since = journal.execute("SELECT value FROM meta WHERE key = 'account_since_ms'").fetchone()
        began = (int(since[0]) - market.START_MS) / 1000 + BEGAN_S
        known = {row[0] for row in journal.execute("SELECT fill_id FROM fills")}
        trades = {name: at for name, (kind, at) in self.executed.items() if kind != "Funding"}
        lost = sorted(name for name, at in trades.items() if at > began and name not in known)
        made_up = sorted(known - trades.keys())
        return [f"fills lost: {len(lost)} {lost[:2]}"] * bool(lost) + [
            f"fills made up: {made_up[:2]}"
        ] * bool(made_up)
