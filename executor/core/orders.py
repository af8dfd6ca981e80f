"""The life of an order of ours.

Decides which status may follow which. Never books money: a fill is booked by the ledger whatever
the status says, because the venue did it. Rule: the table below is the whole law; ``CANCELED`` and
``EXPIRED`` may still turn out filled (a cancel races an execution). Ids follow from signals, so who
took over may send what was refused here: its fate is taken in. A status that arrives late is
dropped, and one that contradicts what is known is refused and alarmed.
"""

from dataclasses import replace
from enum import StrEnum
from typing import Final

from executor.core.types import Order, OrderStatus

_S = OrderStatus

_AT_VENUE: Final = frozenset(
    {_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED}
)

LEGAL: Final[dict[OrderStatus, frozenset[OrderStatus]]] = {
    _S.INTENDED: _AT_VENUE | {_S.SUBMITTED, _S.UNKNOWN, _S.REFUSED},
    # A fence or a broken pipe may stop an order after it was marked as sent: REFUSED by us.
    _S.SUBMITTED: _AT_VENUE | {_S.UNKNOWN, _S.PENDING_CANCEL, _S.REFUSED},
    # Doubt ends in REFUSED where the order never arrived and we may not send it again.
    _S.UNKNOWN: _AT_VENUE | {_S.SUBMITTED, _S.PENDING_CANCEL, _S.REFUSED},
    # The venue acknowledges a request before it matches it, so an accepted order may be rejected.
    _S.ACCEPTED: _AT_VENUE - {_S.ACCEPTED} | {_S.PENDING_CANCEL, _S.UNKNOWN},
    _S.PARTIALLY_FILLED: frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED, _S.PENDING_CANCEL}),
    _S.PENDING_CANCEL: _AT_VENUE | {_S.UNKNOWN},
    _S.CANCELED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED}),
    _S.EXPIRED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED}),
    _S.FILLED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.REFUSED: _AT_VENUE,
}

ACTIVE: Final = frozenset(
    {
        _S.INTENDED,
        _S.SUBMITTED,
        _S.UNKNOWN,
        _S.ACCEPTED,
        _S.PARTIALLY_FILLED,
        _S.PENDING_CANCEL,
    }
)

# How far along an order is; a lower stage after a higher one is only a late message.
_STAGE: Final[dict[OrderStatus, int]] = {
    _S.INTENDED: 0,
    _S.SUBMITTED: 1,
    _S.UNKNOWN: 1,
    _S.ACCEPTED: 2,
    _S.PARTIALLY_FILLED: 3,
    _S.PENDING_CANCEL: 3,
    _S.FILLED: 4,
    _S.CANCELED: 4,
    _S.EXPIRED: 4,
    _S.REJECTED: 4,
    _S.REFUSED: 4,
}


class Move(StrEnum):
    """What a reported status means for what we know."""

    LEGAL = "legal"
    REPEATED = "repeated"
    LATE = "late"
    ILLEGAL = "illegal"


def judge(known: OrderStatus, reported: OrderStatus) -> Move:
    """Say how ``reported`` relates to the status we hold."""
    if reported == known:
        return Move.REPEATED
    if reported in LEGAL[known]:
        return Move.LEGAL
    if _STAGE[reported] < _STAGE[known] and reported in ACTIVE and known != _S.REFUSED:
        return Move.LATE
    return Move.ILLEGAL


def moved(
    order: Order, status: OrderStatus, time_ms: int, venue_order_id: str, reason: str
) -> tuple[Order, Move]:
    """Return the order after a report, unchanged unless the move is legal."""
    move = judge(order.status, status)
    if move is Move.LEGAL:
        order = replace(
            order,
            status=_kept(order.status, status),
            updated_ms=time_ms,
            venue_order_id=venue_order_id or order.venue_order_id,
            reason=reason or order.reason,
        )
    elif move is Move.REPEATED and venue_order_id and not order.venue_order_id:
        order = replace(order, venue_order_id=venue_order_id)
    return order, move


def executed(order: Order, quantity: float, time_ms: int, lot: float) -> tuple[Order, Move]:
    """Return the order after an execution of ``quantity``; the amount is counted in any case.

    Less than half a lot missing counts as filled: venues report quantities as decimal text.
    """
    filled = round(order.filled_quantity + quantity, 12)
    full = filled >= order.intent.quantity - 0.5 * lot
    status = _S.FILLED if full else _S.PARTIALLY_FILLED
    move = judge(order.status, status)
    if move is Move.LEGAL:
        status = _kept(order.status, status)
        return replace(order, status=status, filled_quantity=filled, updated_ms=time_ms), move
    return replace(order, filled_quantity=filled, updated_ms=time_ms), move


def _kept(known: OrderStatus, status: OrderStatus) -> OrderStatus:
    """Return the status to hold: a late partial fill does not bring a cancelled order to life."""
    if known in {_S.CANCELED, _S.EXPIRED} and status is _S.PARTIALLY_FILLED:
        return known
    return status


def is_active(order: Order) -> bool:
    """Say whether the order may still execute."""
    return order.status in ACTIVE


def open_quantity(order: Order) -> float:
    """Return what may still execute, in base units."""
    return max(0.0, order.intent.quantity - order.filled_quantity) if is_active(order) else 0.0
