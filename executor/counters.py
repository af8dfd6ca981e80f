"""What the process counts about itself.

Decides which numbers exist. Never computes a decision from one. Rule: a count is taken where the
thing happens, once, and everything that shows numbers (status, metrics, summary) reads them here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from executor.core.contract import Verdict
from executor.core.events import Event, OrderUpdated
from executor.core.types import Decision, OrderStatus, Outcome
from executor.journal.store import Journal


@dataclass(slots=True, kw_only=True)
class Counters:
    """Counts since the journal began, but for those of this process, which say so."""

    bars: int = 0  # closes, whatever the number of symbols
    decisions: int = 0
    approved: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)  # of this process, by venue code
    orders: int = 0
    fills: int = 0
    trades: int = 0
    duplicate_fills: int = 0
    snapshots_dropped: int = 0
    missed_frames: int = 0
    unreadable: int = 0
    heartbeats: int = 0  # of this process
    max_heartbeat_gap_s: float = 0.0  # of this process
    redis_outages: int = 0  # of this process
    cold_start_s: float = 0.0  # of this process
    history_s: float = 0.0  # of this process
    waited_s: float = 0.0  # for lock and lease

    def came_up(self, age_s: float, history_s: float) -> None:
        """Note how long the start took, the history included, beside waiting for lock and lease."""
        self.history_s = history_s
        self.cold_start_s = max(0.0, age_s - self.waited_s)

    def note_outcome(self, outcome: Outcome) -> None:
        """Count what one step decided."""
        self.note_decisions(outcome.decisions)
        self.orders += len(outcome.intents)
        self.trades += len(outcome.trades)

    def note_decisions(self, decisions: Sequence[Decision]) -> None:
        """Count verdicts and reasons."""
        for decision in decisions:
            self.decisions += 1
            self.approved += decision.verdict == Verdict.ENTER
            if decision.verdict == Verdict.REFUSE:
                self.refused[decision.reason] += 1

    def note_event(self, event: Event) -> None:
        """Count what the venue rejected."""
        if isinstance(event, OrderUpdated) and event.status is OrderStatus.REJECTED:
            self.rejected[event.reason if event.reason.isdigit() else "other"] += 1

    def restore(self, journal: Journal) -> None:
        """Go on counting where the journal stands."""
        self.decisions, self.approved, self.refused = 0, 0, Counter()
        for verdict, reason, count in journal.decision_counts():
            self.decisions += count
            self.approved += count * (verdict == Verdict.ENTER)
            if verdict == Verdict.REFUSE:
                self.refused[reason] += count
        counts = journal.counts()
        self.fills, self.trades = counts["fills"], counts["trades"]
        self.orders, self.bars = counts["orders"], counts["equity"]
