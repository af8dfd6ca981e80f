"""A line of a verdict, and the verdict as a person reads it.

Decides how criteria are compared and worded. Never computes a figure. Rule: every binding criterion
must hold, and one that cannot be computed (NaN) does not hold.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite, nan
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One line of the verdict; ``binding`` False means reported only.

    ``way`` says how value and threshold compare where the line holds: >=, <=, or nothing.
    """

    name: str
    value: float
    threshold: float
    passed: bool
    reason: str
    binding: bool = True
    way: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All criteria, in the order in which a person reads them.

    ``tier`` is ``recipe`` or ``refit``, ``recipe`` the recipe's key and ``attempt`` which use of
    the gate this was.
    """

    criteria: tuple[Criterion, ...]
    tier: str = "recipe"
    recipe: str = ""
    attempt: int = 1

    @property
    def passed(self) -> bool:
        """Whether every binding criterion holds."""
        return all(c.passed for c in self.criteria if c.binding)

    @property
    def word(self) -> str:
        """``passed`` or ``refused``."""
        return "passed" if self.passed else "refused"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for the manifest; what is not a number becomes None."""
        rows = []
        for criterion in self.criteria:
            row = asdict(criterion)
            for key in ("value", "threshold"):
                row[key] = row[key] if isfinite(row[key]) else None
            rows.append(row)
        return {
            "verdict": self.word,
            "tier": self.tier,
            "recipe": self.recipe,
            "attempt": self.attempt,
            "criteria": rows,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Verdict":
        """Return the verdict that :meth:`as_dict` wrote; what was no number is NaN."""
        return cls(
            criteria=tuple(
                Criterion(**{**row, **{k: _number(row[k]) for k in ("value", "threshold")}})
                for row in plain["criteria"]
            ),
            tier=plain["tier"],
            recipe=plain["recipe"],
            attempt=plain["attempt"],
        )


def _number(value: float | None) -> float:
    return nan if value is None else float(value)


def at_least(name: str, value: float, threshold: float, reason: str) -> Criterion:
    """Return a binding criterion: ``value`` must reach ``threshold``."""
    holds = bool(value >= threshold)
    return Criterion(
        name=name, value=value, threshold=threshold, passed=holds, reason=reason, way=">="
    )


def at_most(name: str, value: float, threshold: float, reason: str) -> Criterion:
    """Return a binding criterion: ``value`` must stay at or below ``threshold``."""
    holds = bool(value <= threshold)
    return Criterion(
        name=name, value=value, threshold=threshold, passed=holds, reason=reason, way="<="
    )


def reported(name: str, value: float, threshold: float, reason: str) -> Criterion:
    """Return a line that is shown and decides nothing."""
    return Criterion(
        name=name,
        value=value,
        threshold=threshold,
        passed=True,
        reason=reason,
        binding=False,
    )
