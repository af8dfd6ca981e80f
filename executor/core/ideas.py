"""A signal on its way through the decision chain, and the record it leaves.

Decides what a decision record says. Never judges. Rule: whatever is not known yet when an idea is
refused stays NaN or empty in the record; nothing is made up.
"""

from dataclasses import dataclass
from typing import Final

from executor.core.contract import Verdict
from executor.core.model import Prediction
from executor.core.state import TradingState
from executor.core.types import Bar, Decision, OrderIntent, Position
from features.signals import Signal
from features.types import FloatArray

_NAN: Final = float("nan")
UNKNOWN: Final = Prediction(
    probability=_NAN,
    expected_net=_NAN,
    standard_error=_NAN,
    win_mean=_NAN,
    loss_mean=_NAN,
    second_moment=_NAN,
)


@dataclass(slots=True, kw_only=True, eq=False)
class Idea:
    """One symbol's signal at one close; the chain fills in what it learns."""

    bar: Bar
    row: FloatArray
    signal: Signal
    regime: str = ""
    volatility: float = _NAN
    prediction: Prediction = UNKNOWN
    edge: float = _NAN


def entry_record(
    state: TradingState,
    idea: Idea,
    close_ms: int,
    verdict: Verdict,
    reason: str,
    intent: OrderIntent | None,
    size_share: float,
) -> Decision:
    """Return the record of what became of an idea; ``intent`` where it came to an order."""
    signal, answer = idea.signal, idea.prediction
    return Decision(
        close_ms=close_ms,
        symbol=idea.bar.symbol,
        verdict=verdict,
        reason=reason,
        side=signal.side,
        score=signal.score,
        confidence=signal.confidence,
        rule=signal.rule,
        probability=answer.probability,
        expected_net=answer.expected_net,
        standard_error=answer.standard_error,
        quantity=intent.quantity if intent is not None else 0.0,
        regime=idea.regime,
        volatility=idea.volatility,
        equity=state.equity(),
        reference_price=idea.bar.next_open,
        stop_price=intent.stop_price if intent is not None else 0.0,
        take_price=intent.take_price if intent is not None else 0.0,
        client_order_id=intent.client_order_id if intent is not None else "",
        model=state.model_version,
        size_share=size_share,
        market_forecast=state.learner.forecast,
    )


def position_record(
    state: TradingState,
    position: Position,
    close_ms: int,
    verdict: Verdict,
    reason: str,
    intent: OrderIntent | None,
) -> Decision:
    """Return the record of an exit or of a moved stop; what belongs to the entry alone is NaN."""
    return Decision(
        close_ms=close_ms,
        symbol=position.symbol,
        verdict=verdict,
        reason=reason,
        side=-position.side,
        score=_NAN,
        confidence=position.confidence,
        rule=0,
        probability=position.probability,
        expected_net=_NAN,
        standard_error=_NAN,
        quantity=intent.quantity if intent is not None else 0.0,
        regime=position.regime,
        volatility=_NAN,
        equity=state.equity(),
        reference_price=intent.reference_price if intent is not None else 0.0,
        stop_price=position.stop_price,
        take_price=position.take_price,
        client_order_id=intent.client_order_id if intent is not None else "",
        model=state.model_version,
    )
