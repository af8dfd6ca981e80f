"""Orders in, changed, and out again, as clients ask.

Decides what becomes of a request that passed the checks. Never fills: an order that would take
waits in ``state.takers`` until the caller lets the market act (``matching.match_takers``).
Rule: a refused request leaves no trace; an accepted one is answered before anything is filled.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from executor.paper.venue import errors, stops
from executor.paper.venue.account import Account
from executor.paper.venue.changing import announce, end
from executor.paper.venue.checks import (
    check_bracket,
    check_margin,
    check_price,
    check_quantity,
    check_request,
    closes,
)
from executor.paper.venue.errors import VenueError
from executor.paper.venue.margin import totals, view
from executor.paper.venue.orders import ZERO, Bracket, Order, OrderRequest, Status
from executor.paper.venue.state import VenueState
from executor.paper.venue.tampering import REJECT


def is_marketable(order: Order, price: Decimal) -> bool:
    """Say whether ``order`` would trade at once with the market at ``price``."""
    return order.is_market or order.side.sign * (order.price - price) >= 0


def place(state: VenueState, account: Account, request: OrderRequest) -> Order:
    """Take a new order, or raise the venue's refusal."""
    if not request.quantity and request.reduce_only and request.close_on_trigger:
        size = account.position(request.symbol, request.position_idx).size
        request = replace(request, quantity=size)
    check_request(state, account, request)
    number = state.next_number()
    order = Order(
        order_id=state.identifier("order", number),
        number=number,
        account=account.name,
        symbol=request.symbol,
        side=request.side,
        is_market=request.is_market,
        quantity=request.quantity,
        price=ZERO if request.is_market else request.price,
        time_in_force="IOC" if request.is_market else request.time_in_force,
        link_id=request.link_id,
        reduce_only=closes(request, request.position_idx),
        close_on_trigger=request.close_on_trigger,
        position_idx=request.position_idx,
        trigger_price=request.trigger_price,
        trigger_direction=request.trigger_direction if request.trigger_price else 0,
        bracket=request.bracket,
        stop_kind="Stop" if request.trigger_price else "",
        create_type="CreateByUser",
        status=Status.UNTRIGGERED if request.trigger_price else Status.NEW,
        last_on_created=state.prices[request.symbol],
        created_ms=state.now_ms,
        updated_ms=state.now_ms,
    )
    if not request.trigger_price and not order.reduce_only:
        check_margin(state, account, order)
    enter(state, order)
    return order


def enter(state: VenueState, order: Order) -> None:
    """Put an order in the book, or among those that take at the next chance."""
    if state.tampering.take(REJECT, order.symbol, order.order_id) is not None:
        state.tampering.doomed.add(order.order_id)
        state.orders.save(order)
        state.takers.append(order.order_id)
        return
    if order.status is not Status.UNTRIGGERED and is_marketable(order, state.prices[order.symbol]):
        state.orders.save(order)
        state.takers.append(order.order_id)
        return
    announce(state, order)
    if order.time_in_force in ("IOC", "FOK") and order.status is Status.NEW:
        end(state, order, "CancelByUser", "EC_NoImmediateQtyToFill")


def find(state: VenueState, account: Account, symbol: str, order_id: str, link_id: str) -> Order:
    """Return a live order of the account, or refuse."""
    order = state.orders.find(account.name, order_id, link_id)
    if order is None or not order.is_open or order.symbol != symbol:
        raise VenueError(errors.ORDER_NOT_FOUND, "order not exists or too late to cancel")
    return order


def amend(
    state: VenueState,
    account: Account,
    order: Order,
    *,
    quantity: Decimal | None,
    price: Decimal | None,
    trigger_price: Decimal | None,
    bracket: Bracket | None,
) -> Order:
    """Change an open order; None leaves a field as it is.

    The trigger of an exit that hangs on a position moves the position's own exit.
    """
    instrument = state.instrument(order.symbol)
    changed = replace(order, updated_ms=state.now_ms)
    if quantity is not None:
        check_quantity(instrument, quantity, is_market=order.is_market)
        if quantity <= order.filled:
            raise VenueError(errors.PARAMS_ERROR, "Qty invalid: not above the filled quantity")
        changed = replace(changed, quantity=quantity)
    if price is not None and not order.is_market:
        check_price(state, instrument, price, order.side)
        changed = replace(changed, price=price)
    if trigger_price is not None and order.status is Status.UNTRIGGERED:
        if trigger_price <= 0 or trigger_price % instrument.tick:
            raise VenueError(errors.PARAMS_ERROR, "triggerPrice is invalid")
        changed = replace(changed, trigger_price=trigger_price)
    if bracket is not None:
        reference = changed.price or changed.trigger_price or state.prices[order.symbol]
        check_bracket(order.side, bracket, reference, instrument)
        changed = replace(changed, bracket=bracket)
    if replace(changed, updated_ms=order.updated_ms) == order:
        raise VenueError(errors.PARAMS_ERROR, "order not modified")
    if changed.stop_kind in (stops.STOP_LOSS, stops.TAKE_PROFIT):
        _move_exit(state, account, changed)
    elif changed.status is Status.UNTRIGGERED:
        announce(state, changed)
    else:
        if not changed.reduce_only:
            check_margin(state, account, changed, order)
        announce(state, changed)
        if is_marketable(changed, state.prices[order.symbol]):
            state.takers.append(changed.order_id)
    return changed


def _move_exit(state: VenueState, account: Account, order: Order) -> None:
    position = account.position(order.symbol, order.position_idx)
    if order.stop_kind == stops.STOP_LOSS:
        position.stop_loss = order.trigger_price
    else:
        position.take_profit = order.trigger_price
    stops.sync(state, position)
    state.events.append(view(state, account, position))


def cancel(
    state: VenueState, account: Account, order: Order, cancel_type: str = "CancelByUser"
) -> None:
    """End an open order; an exit that hangs on a position leaves the position too."""
    end(state, order, cancel_type)
    if order.stop_kind in stops.WHOLE:
        position = account.position(order.symbol, order.position_idx)
        if order.stop_kind == stops.STOP_LOSS:
            position.stop_loss = ZERO
        elif order.stop_kind == stops.TAKE_PROFIT:
            position.take_profit = ZERO
        else:
            position.trail = position.active_price = ZERO
        state.events.append(view(state, account, position))
    state.events.append(totals(state, account))


def cancel_all(
    state: VenueState, account: Account, wanted: Callable[[Order], bool], cancel_type: str
) -> list[Order]:
    """End every open order that ``wanted`` picks and return them as they were."""
    picked = [order for order in state.orders.open_of(account.name) if wanted(order)]
    for order in picked:
        if state.orders.by_id[order.order_id].is_open:
            cancel(state, account, order, cancel_type)
    return picked
