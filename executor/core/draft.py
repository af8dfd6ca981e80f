"""What one step collects on its way to an outcome.

Decides nothing; keeps the lists while ``step`` works. Never leaves the step it was made for. Rule:
everything a step wants done or known goes through here, in the order in which it was decided.
"""

from dataclasses import dataclass, field

from executor.core.types import (
    CancelIntent,
    Decision,
    Notice,
    OrderIntent,
    Outcome,
    Protect,
    Refused,
    Trade,
)


@dataclass(slots=True, kw_only=True)
class Draft:
    """An outcome in the making."""

    intents: list[OrderIntent] = field(default_factory=list)
    protections: list[Protect] = field(default_factory=list)
    cancels: list[CancelIntent] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)

    def notice(self, code: str, symbol: str, text: str, time_ms: int) -> None:
        """Add a line that a person or the journal should know."""
        self.notices.append(Notice(code=code, symbol=symbol, text=text, time_ms=time_ms))

    def finish(self) -> Outcome:
        """Return the outcome."""
        return Outcome(
            intents=tuple(self.intents),
            protections=tuple(self.protections),
            cancels=tuple(self.cancels),
            refusals=tuple(self.refusals),
            notices=tuple(self.notices),
            decisions=tuple(self.decisions),
            trades=tuple(self.trades),
        )
