"""The registry of models: one that is proven, and others that must never trade.

Decides what the alias points to, and whether the registry answers. Rule: every bad version is bad
in one way only, so that a loader which forgets one check is seen.
"""

import random

from executor.core.bundle import bundle_sha256
from tests.simulation import market

OVERRIDE = '{"who":"x","when":"y","reason":"z","scope":"live"}'


class ModelRegistry:
    """Versions, and the one that is promoted."""

    def __init__(self) -> None:
        good, bad = market.bundle(), market.bundle(market.BAD_LOSS)
        self.versions: dict[str, dict[str, bytes]] = {"1": good, "2": bad}
        self._good = ("1", _tags(good), "")
        self.current = self._good
        self._bad = bad
        self.out_until = 0.0

    def promote_bad(self, rng: random.Random) -> str:
        """Move the alias to something unproven; return what is wrong with it."""
        why = rng.choice(("refused", "quarantined", "unsaid", "live_override", "tampered"))
        tags = _tags(self._bad)
        if why == "refused":
            tags["gate"] = "refused"
        elif why == "quarantined":
            tags["quarantined"] = "true"
        elif why == "unsaid":
            del tags["gate"]
        elif why == "tampered":  # the files are not the ones that passed
            tags["bundle_sha256"] = "0" * 64
        else:
            tags |= {"gate": "refused", "gate_override": OVERRIDE}
        self.current = ("2", tags, why)
        return why

    def promote_good(self) -> None:
        """Move the alias back."""
        self.current = self._good


def _tags(files: dict[str, bytes]) -> dict[str, str]:
    return {"gate": "passed", "bundle_sha256": bundle_sha256(files)}
