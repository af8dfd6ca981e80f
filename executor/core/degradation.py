"""Whether a model still does what it said of itself.

Decides by two tests on its own trades, either of which condemns it: calibration (trades win as
often as their probabilities said) and drawdown (the worst drop is one that its own economics would
hardly bring). Never acts on it. Rule: both may be asked after every trade without the false alarm
growing: together at most 2 % over 300 trades of a model that is as it says.

Source: Ville (1939), P(sup of a nonnegative supermartingale ≥ 1/α) ≤ α; Waudby-Smith & Ramdas
(2024), betting on bounded means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from executor.core.types import Trade
from features.types import FloatArray

ALPHA: Final = 0.01
WINDOW_TRADES: Final = 300
DRAWS: Final = 2_000
_BETS: Final = (0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a model says of its trades: net win and loss as positive fractions, and E[r²]."""

    win_mean: float
    loss_mean: float
    second_moment: float


def claim_of(manifest: Mapping[str, object]) -> Claim | None:
    """Return the mean economics of a manifest over its groups, None where it holds none."""
    economics = manifest.get("economics")
    groups = economics.get("groups") if isinstance(economics, Mapping) else None
    if not isinstance(groups, Mapping) or not groups:
        return None
    weights = np.array([float(group["n"]) for group in groups.values()])
    if not weights.sum() > 0.0:
        return None
    means = {
        name: float(np.average([float(g[name]) for g in groups.values()], weights=weights))
        for name in ("win_mean", "loss_mean", "second_moment")
    }
    return Claim(**means)


def calibration_evidence(probabilities: Sequence[float], won: Sequence[bool]) -> float:
    """Return the e-value against "each trade wins at least as often as its probability says".

    The mean over several bets λ of Π(1 + λ·(p - y)): it has an expectation of at most 1 under the
    claim, whatever the order of the trades and whenever one looks.
    """
    gaps = np.asarray(probabilities, dtype=np.float64) - np.asarray(won, dtype=np.float64)
    return float(np.mean([np.prod(1.0 + bet * gaps) for bet in _BETS]))


@lru_cache(maxsize=64)
def drawdown_limit(claim: Claim, probability: float, alpha: float = ALPHA) -> float:
    """Return the drop of summed net returns that 1 in 1/``alpha`` runs of 300 trades exceeds.

    ``probability`` is the mean one of the trades seen, to two digits: 600,000 draws are too many to
    make after every trade. Wins and losses are taken as constant and
    spread around their mean until E[r²] is the one claimed. The draws are seeded: the same claim
    has the same limit.
    """
    rng = np.random.Generator(np.random.PCG64(300))
    wins = rng.random((DRAWS, WINDOW_TRADES)) < probability
    mean = probability * claim.win_mean - (1.0 - probability) * claim.loss_mean
    square = probability * claim.win_mean**2 + (1.0 - probability) * claim.loss_mean**2
    spread = np.sqrt(max(1.0, claim.second_moment / square)) if square > 0.0 else 1.0
    steps = mean + spread * (np.where(wins, claim.win_mean, -claim.loss_mean) - mean)
    return float(np.quantile(worst_drops(steps), 1.0 - alpha))


def worst_drops(returns: FloatArray) -> FloatArray:
    """Return, along the last axis, the largest drop of the running sum from its peak or 0."""
    path = np.cumsum(returns, axis=-1)
    peak = np.maximum(np.maximum.accumulate(path, axis=-1), 0.0)
    return np.asarray(np.max(peak - path, axis=-1), dtype=np.float64)


def degraded(trades: Sequence[Trade], claim: Claim | None) -> str:
    """Return why a model is condemned by the newest 300 of its trades, "" where it is not."""
    newest = [trade for trade in trades if 0.0 < trade.probability < 1.0][-WINDOW_TRADES:]
    if not newest:
        return ""
    probabilities = [trade.probability for trade in newest]
    won = [trade.pnl > 0.0 for trade in newest]
    evidence = calibration_evidence(probabilities, won)
    if evidence >= 1.0 / ALPHA:
        return (
            f"calibration: {sum(won)} of {len(won)} trades won, {sum(probabilities):.0f} were "
            f"promised (evidence {evidence:.0f} to 1)"
        )
    if claim is None:
        return ""
    drop = float(worst_drops(np.array([trade.net_return for trade in newest])))
    limit = drawdown_limit(claim, round(float(np.mean(probabilities)), 2))
    if drop > limit:
        return f"drawdown: {drop:.1%} of summed net returns, {limit:.1%} is the most to expect"
    return ""
