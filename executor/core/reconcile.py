"""Where the ledger and the venue differ, and what to do about it.

Decides, from two pictures of the same account, which positions to adopt, drop, resize or protect
and which orders to cancel. Never changes anything (``core.adopt`` does) and never takes a failed
query for flat: a snapshot exists only when every query succeeded. Rule: the venue is the truth
about positions; a pure function; the policy is the one stated on :class:`Action`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from executor.core.events import OrderUpdated, VenueOrder, VenuePosition, VenueSnapshot
from executor.core.params import Reconcile
from executor.core.types import Order, OrderStatus, Position

_IN_DOUBT = frozenset({OrderStatus.INTENDED, OrderStatus.SUBMITTED, OrderStatus.UNKNOWN})


class Action(StrEnum):
    """What to do about a difference.

    ADOPT: the venue holds what we do not know: take it into the ledger, protected, or flatten it
    where the policy says so. DROP: we hold what the venue does not: close it at the last mark.
    RESIZE: same side, other quantity: follow the venue. FLIP: other side: drop, then adopt.
    PROTECT: no stop rests at the venue, or a looser one: ask again. TIGHTENED: somebody moved the
    stop closer: follow. VERIFIED: the stop is there. CANCEL: an open order that we do not know.
    """

    ADOPT = "adopt"
    DROP = "drop"
    RESIZE = "resize"
    FLIP = "flip"
    PROTECT = "protect"
    TIGHTENED = "tightened"
    VERIFIED = "verified"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference. ``signature`` tells whether the next snapshot shows the same one."""

    action: Action
    symbol: str
    signature: str
    venue: VenuePosition | None = None
    order: VenueOrder | None = None


def differences(
    positions: Mapping[str, Position],
    orders: Mapping[str, Order],
    snapshot: VenueSnapshot,
    policy: Reconcile,
) -> tuple[Difference, ...]:
    """Return all differences, by symbol; ``orders`` are ours that may still execute."""
    found: list[Difference] = []
    held = {p.symbol: p for p in snapshot.positions if p.quantity > policy.quantity_tolerance}
    for symbol in sorted(set(positions) | set(held)):
        difference = _position(symbol, positions.get(symbol), held.get(symbol), policy)
        if difference is not None:
            found.append(difference)
    found.extend(
        Difference(
            action=Action.CANCEL,
            symbol=order.symbol,
            signature=f"order:{order.venue_order_id or order.client_order_id}",
            order=order,
        )
        for order in sorted(snapshot.orders, key=lambda o: (o.symbol, o.venue_order_id))
        if not order.protective and order.client_order_id not in orders
    )
    return tuple(found)


def shown(orders: Mapping[str, Order], snapshot: VenueSnapshot) -> list[OrderUpdated]:
    """Return the word on our orders in doubt that rest at the venue.

    A venue may not show an order that is asked for by its id, and yet have it in its list.
    """
    return [
        OrderUpdated(
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            status=OrderStatus.ACCEPTED,
            time_ms=snapshot.time_ms,
            venue_order_id=order.venue_order_id,
            filled_quantity=order.filled_quantity,
        )
        for order in snapshot.orders
        if (ours := orders.get(order.client_order_id)) is not None and ours.status in _IN_DOUBT
    ]


def unseen(orders: Mapping[str, Order], snapshot: VenueSnapshot) -> list[Order]:
    """Return our orders that do not rest at the venue: no frame told how they ended."""
    resting = {order.client_order_id for order in snapshot.orders}
    return [order for name, order in orders.items() if name not in resting]


def _position(
    symbol: str, ours: Position | None, venue: VenuePosition | None, policy: Reconcile
) -> Difference | None:
    if venue is None:
        if ours is None:
            return None
        signature = f"drop:{ours.side}:{ours.quantity}"
        return Difference(action=Action.DROP, symbol=symbol, signature=signature)
    if ours is None:
        action = Action.ADOPT
    elif ours.side != venue.side:
        action = Action.FLIP
    elif abs(ours.quantity - venue.quantity) > policy.quantity_tolerance:
        action = Action.RESIZE
    else:
        action = _stop(ours, venue)
    signature = f"{action}:{venue.side}:{venue.quantity}"
    return Difference(action=action, symbol=symbol, signature=signature, venue=venue)


def _stop(ours: Position, venue: VenuePosition) -> Action:
    """Compare the stops of a position that agrees otherwise."""
    if venue.stop_price <= 0.0 or ours.stop_price <= 0.0:
        return Action.PROTECT if venue.stop_price <= 0.0 else Action.TIGHTENED
    closer = ours.side * (venue.stop_price - ours.stop_price)
    slack = 1e-9 * ours.stop_price
    if closer < -slack:
        return Action.PROTECT
    return Action.TIGHTENED if closer > slack else Action.VERIFIED
