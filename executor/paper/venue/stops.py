"""The exits that hang on a position, kept as orders at the venue.

Decides which stop-loss, take-profit and trailing orders stand for a position. Never triggers one
(``matching`` does). Rule: after every change of a position its exit orders are brought into line
here and nowhere else: one order a kind, for the whole size, gone when the position is flat.
"""

from dataclasses import replace
from decimal import Decimal

from executor.paper.venue.changing import announce, end
from executor.paper.venue.orders import (
    FALLING,
    NO_BRACKET,
    RISING,
    ZERO,
    Bracket,
    Order,
    Side,
    Status,
)
from executor.paper.venue.positions import Position
from executor.paper.venue.state import VenueState
from executor.paper.venue.tampering import STOP_REJECTED

STOP_LOSS = "StopLoss"
TAKE_PROFIT = "TakeProfit"
TRAILING = "TrailingStop"
PARTIAL_STOP = "PartialStopLoss"
PARTIAL_TAKE = "PartialTakeProfit"
WHOLE = (STOP_LOSS, TAKE_PROFIT, TRAILING)
PARTIAL = (PARTIAL_STOP, PARTIAL_TAKE)
EXITS = frozenset(WHOLE + PARTIAL)
ADVERSE = frozenset({STOP_LOSS, PARTIAL_STOP, TRAILING})


def trigger_direction(closing: Side, kind: str) -> int:
    """Return the way the price must move to trigger an exit of ``kind`` that trades ``closing``."""
    falls = (closing is Side.SELL) == (kind in ADVERSE)
    return FALLING if falls else RISING


def trail_trigger(position: Position, best: Decimal) -> Decimal:
    """Return where a trailing stop stands after the price has been at ``best``."""
    return best - position.sign * position.trail


def sync(state: VenueState, position: Position) -> None:
    """Bring the exit orders of ``position`` into line with it."""
    standing = {
        order.stop_kind: order
        for order in state.orders.open_at(position.key)
        if order.stop_kind in WHOLE
    }
    wanted = {STOP_LOSS: position.stop_loss, TAKE_PROFIT: position.take_profit}
    for kind, price in wanted.items():
        _sync_one(state, position, standing.get(kind), kind, price)
    _sync_trailing(state, position, standing.get(TRAILING))
    if not position.quantity:
        _clear_reducing(state, position)


def _sync_one(
    state: VenueState, position: Position, order: Order | None, kind: str, price: Decimal
) -> None:
    if not position.quantity or not price:
        if order is not None:
            end(state, order, "CancelByTpSlTsClear")
        return
    if order is None:
        fresh = exit_order(state, position, kind, price, position.size)
        symbol = position.key.symbol
        if kind == STOP_LOSS and state.tampering.take(STOP_REJECTED, symbol, fresh.order_id):
            position.stop_loss = ZERO
            fresh = replace(fresh, status=Status.REJECTED, reject_reason="EC_Others")
        announce(state, fresh)
    elif order.trigger_price != price or order.quantity != position.size:
        announce(
            state,
            replace(order, trigger_price=price, quantity=position.size, updated_ms=state.now_ms),
        )


def _sync_trailing(state: VenueState, position: Position, order: Order | None) -> None:
    if not position.quantity or not position.trail:
        if order is not None:
            end(state, order, "CancelByTpSlTsClear")
        return
    last = state.prices[position.key.symbol]
    trigger = ZERO if position.active_price else trail_trigger(position, last)
    if order is None:
        fresh = exit_order(state, position, TRAILING, trigger, position.size)
        announce(state, replace(fresh, trail=position.trail, active_price=position.active_price))
    elif (order.trail, order.active_price) != (position.trail, position.active_price):
        announce(
            state,
            replace(
                order,
                trail=position.trail,
                active_price=position.active_price,
                trigger_price=trigger,
                quantity=position.size,
                updated_ms=state.now_ms,
            ),
        )
    elif order.quantity != position.size:
        announce(state, replace(order, quantity=position.size, updated_ms=state.now_ms))


def _clear_reducing(state: VenueState, position: Position) -> None:
    """End what could only reduce a position that is gone."""
    for order in state.orders.open_at(position.key):
        if order.stop_kind in PARTIAL:
            end(state, order, "CancelByTpSlTsClear")
        elif order.reduce_only and order.status is not Status.UNTRIGGERED:
            end(state, order, "CancelByReduceOnly")


def exit_order(
    state: VenueState,
    position: Position,
    kind: str,
    trigger: Decimal,
    quantity: Decimal,
    *,
    limit: Decimal = ZERO,
) -> Order:
    """Return an untriggered order that closes ``quantity`` of ``position``; not yet saved."""
    number = state.next_number()
    closing = Side.SELL if position.quantity > 0 else Side.BUY
    return Order(
        order_id=state.identifier("order", number),
        number=number,
        account=position.key.account,
        symbol=position.key.symbol,
        side=closing,
        is_market=not limit,
        quantity=quantity,
        price=limit,
        time_in_force="GTC" if limit else "IOC",
        link_id="",
        reduce_only=True,
        close_on_trigger=True,
        position_idx=position.key.idx,
        trigger_price=trigger,
        trigger_direction=trigger_direction(closing, kind),
        bracket=NO_BRACKET,
        stop_kind=kind,
        create_type=f"CreateBy{kind}",
        status=Status.UNTRIGGERED,
        last_on_created=state.prices[position.key.symbol],
        created_ms=state.now_ms,
        updated_ms=state.now_ms,
    )


def attach(position: Position, bracket: Bracket) -> None:
    """Hang the exits that came with an opening fill on its position."""
    if not bracket.partial:
        position.stop_loss = bracket.stop_loss or position.stop_loss
        position.take_profit = bracket.take_profit or position.take_profit


def attach_partial(
    state: VenueState, position: Position, bracket: Bracket, quantity: Decimal
) -> None:
    """Place the partial exits of ``bracket`` for ``quantity`` of a position."""
    if bracket.stop_loss:
        limit = bracket.stop_limit
        announce(
            state,
            exit_order(state, position, PARTIAL_STOP, bracket.stop_loss, quantity, limit=limit),
        )
    if bracket.take_profit:
        limit = bracket.take_limit
        announce(
            state,
            exit_order(state, position, PARTIAL_TAKE, bracket.take_profit, quantity, limit=limit),
        )
