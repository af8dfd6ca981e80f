"""Faults inside the venue: orders that go wrong for no reason of theirs.

Decides which order is filled in part, rejected after its acknowledgement, or left without its
stop. Never acts unless asked to. Rule: each wish is used up by the first order of its symbol, and
``done`` says which.
"""

from dataclasses import dataclass, field
from decimal import Decimal

PARTIAL_FILL = "partial_fill"
REJECT = "reject"
STOP_REJECTED = "stop_rejected"


@dataclass(slots=True)
class Tampering:
    """Wishes by kind and symbol ("" is any symbol), and what they hit."""

    wishes: dict[tuple[str, str], list[Decimal]] = field(default_factory=dict)
    doomed: set[str] = field(default_factory=set)
    done: list[tuple[str, str, str]] = field(default_factory=list)

    def wish(self, kind: str, symbol: str, amount: Decimal) -> None:
        """Ask for a fault on the next order of ``symbol``."""
        self.wishes.setdefault((kind, symbol), []).append(amount)

    def take(self, kind: str, symbol: str, order_id: str) -> Decimal | None:
        """Use up a wish for this order and return its amount, None where there is none."""
        for key in ((kind, symbol), (kind, "")):
            if key in self.wishes:
                amount = self.wishes[key].pop(0)
                if not self.wishes[key]:
                    del self.wishes[key]
                self.done.append((kind, symbol, order_id))
                return amount
        return None
