"""Which of several good ideas may enter together.

Decides the order of the candidates and the caps on how many positions, and how many that move
together, may be held. Never sizes. Rule: ranked by edge per unit of risk, ties by symbol, so that
the order in which symbols arrive changes nothing; what is in flight counts as held.
"""

from collections.abc import Mapping, Sequence

from executor.core.contract import Refusal
from executor.core.covariance import Comovement
from executor.core.model import Prediction
from executor.core.params import Selector


def rank_key(symbol: str, edge: float, prediction: Prediction) -> tuple[float, str]:
    """Return the key that sorts candidates best first: edge/√E[r²], compared by its square."""
    return -(edge * edge) / prediction.second_moment, symbol


def select(
    symbol: str,
    side: int,
    held: Mapping[str, int],
    together: Comovement | None,
    selector: Selector,
) -> Refusal | None:
    """Return why an entry does not fit beside ``held`` (symbol to side), or None where it does."""
    if len(held) >= selector.positions_max:
        return Refusal.POSITIONS_MAX
    if together is None:
        return None
    alike = correlated(symbol, side, held, together, selector.correlation_max)
    if len(alike) >= selector.correlated_positions_max:
        return Refusal.CORRELATION
    return None


def correlated(
    symbol: str, side: int, held: Mapping[str, int], together: Comovement, limit: float
) -> Sequence[str]:
    """Return the held symbols whose results move with this one's by more than ``limit``."""
    return [
        other
        for other, other_side in held.items()
        if side * other_side * together.between(symbol, other) > limit
    ]
