"""One order's change of state, told to the world.

Decides how a changed order is stored and announced. Never fills and never touches a position.
Rule: no order is saved without its event, and none ends without its reason.
"""

from dataclasses import replace
from decimal import Decimal

from executor.paper.venue.events import OrderChanged
from executor.paper.venue.orders import ZERO, Order, Status
from executor.paper.venue.state import VenueState


def announce(state: VenueState, order: Order, profit: Decimal = ZERO) -> Order:
    """Save ``order`` as it stands now and tell its owner."""
    state.orders.save(order)
    state.events.append(
        OrderChanged(
            account=order.account,
            order=order,
            profit=profit,
            time_ms=state.now_ms,
        )
    )
    return order


def end(state: VenueState, order: Order, cancel_type: str, reason: str = "EC_NoError") -> Order:
    """End a live order before it is filled: cancelled, or deactivated where it never triggered."""
    status = Status.CANCELLED
    if order.status is Status.UNTRIGGERED:
        status = Status.DEACTIVATED
    elif order.filled and order.time_in_force in ("IOC", "FOK"):
        status = Status.PARTIALLY_FILLED_CANCELED
    return announce(
        state,
        replace(
            order,
            status=status,
            cancel_type=cancel_type,
            reject_reason=reason,
            updated_ms=state.now_ms,
        ),
    )
