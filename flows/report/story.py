"""All that the report of a model tells, and how its pieces are found.

Decides nothing of what a reader sees. Rule: what was not made is absent, never an empty place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flows.report.markup import image
from flows.research.evidence import Evidence


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Story:
    """What was measured of a model; ``simulation``, ``plots`` and ``beside`` may lack parts."""

    manifest: Mapping[str, Any]
    bundle_sha256: str
    evidence: Evidence
    draft: Mapping[str, Any]
    simulation: Mapping[str, Any]
    plots: Mapping[str, bytes]
    beside: Mapping[str, Any] = field(default_factory=dict)
    """``paths`` and ``stability``, where they were made."""

    def plot(self, name: str, words: str) -> str:
        """Return a figure with its description, or nothing."""
        png = self.plots.get(f"{name}.png")
        return image(png, words) if png else ""


def day(time_ms: int) -> str:
    """Return a time's UTC day."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}"
