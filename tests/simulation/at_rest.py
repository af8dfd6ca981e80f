"""What is looked at when all has come to rest: journal against venue, order by order.

Decides where the leader's journal and the venue disagree, and what was left undone. Never looks at
a process's memory. Rule: asked again while it may still come right; what differs in the end is a
violation.
"""

from typing import TYPE_CHECKING, Any

from executor.journal.rows import PLANNED
from tests.simulation import market

if TYPE_CHECKING:
    from tests.simulation.instance import Instance


class AtRest:
    """The last look of the monitors."""

    world: Any
    executed: dict[str, str]
    filled: set[str]
    bad: Any
    reader: Any
    leader: Any
    holder: Any
    is_planned: Any

    def finish(self) -> None:
        """Look at everything once more when all has come to rest."""
        for line in self.differences():
            self.bad("JOURNAL", line)
        leader = self.leader()
        if leader is None or not leader.running:
            self.bad("NOT_RUNNING", f"nobody trades at the end; {self.holder()!r} holds the lease")
            return
        query = "SELECT kind, client_order_id FROM intents WHERE state = ?"
        for kind, name in self.reader(leader.host).execute(query, (PLANNED,)).fetchall():
            self.bad("UNRESOLVED", f"{kind} {name} is still planned")
        held = self.world.venue.positions()
        for order in self.world.venue.open_orders():
            known = self.is_planned(leader, order.link_id) and order.symbol in held
            if not known and not order.stop_kind:
                self.bad("ORPHAN_ORDER", f"{order.symbol} {order.link_id!r} rests")
        self._words(leader)
        newest = (
            self.reader(leader.host)
            .execute("SELECT MAX(market_ms) FROM events WHERE kind = 'BarClosed'")
            .fetchone()[0]
        )
        behind = self.world.venue.parts.mover.close_ms - (newest or 0)
        if behind > 2 * market.INTERVAL_MS:
            self.bad("DEAF", f"the last close it knows is {behind // 1000} s old")

    def _words(self, leader: "Instance") -> None:
        """Compare the last word of the journal on each order with what the venue executed."""
        query = "SELECT client_order_id, status FROM orders ORDER BY seq"
        last = dict(self.reader(leader.host).execute(query).fetchall())
        for name, status in last.items():
            if status in ("rejected", "refused") and name in self.filled:
                self.bad("WRONG_WORD", f"{name} is {status} in the journal and was executed")

    def differences(self) -> list[str]:
        """Return where the leader's journal and the venue disagree."""
        leader = self.leader()
        if leader is None or not leader.running:
            return ["nobody leads"]
        return [*self._positions(leader), *self._fills(leader)]

    def _positions(self, leader: "Instance") -> list[str]:
        ours = leader.believed()
        theirs = {s: float(p.quantity) for s, p in self.world.venue.positions().items()}
        return [
            f"{symbol}: journal {ours.get(symbol, 0.0)}, venue {theirs.get(symbol, 0.0)}"
            for symbol in sorted(ours.keys() | theirs.keys())
            if abs(ours.get(symbol, 0.0) - theirs.get(symbol, 0.0)) > 1e-9
        ]

    def _fills(self, leader: "Instance") -> list[str]:
        """Compare executions one by one, where one journal saw all and no frame was lost."""
        counts = self.world.faults.counts
        if self.world.faults.rates.second == "host" or counts["ws_drop"] or counts["ws_delay"]:
            return []
        known = {row[0] for row in self.reader(leader.host).execute("SELECT fill_id FROM fills")}
        told = {name for name, kind in self.executed.items() if kind != "Funding"}
        lost, made_up = sorted(told - known), sorted(known - told)
        return [f"fills lost: {len(lost)} {lost[:2]}"] * bool(lost) + [
            f"fills made up: {made_up[:2]}"
        ] * bool(made_up)
