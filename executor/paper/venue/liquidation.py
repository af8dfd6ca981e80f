"""The venue closes a position that its owner did not close.

Decides the orders and prices of liquidations, auto-deleveraging, delistings and closes by hand.
Never decides when (``matching`` finds the price, ``faults`` asks). Rule: cross margin closes at the
price that ended the margin; isolated margin at the bankruptcy price, so that the loss is the margin
and what lies beyond is the insurance fund's.
"""

from collections.abc import Iterable
from decimal import Decimal

from executor.paper.venue.account import ISOLATED, Account
from executor.paper.venue.changing import end
from executor.paper.venue.filling import fill
from executor.paper.venue.margin import cushion, is_solvent, view
from executor.paper.venue.orders import NO_BRACKET, ZERO, Order, Side, Status
from executor.paper.venue.positions import Position
from executor.paper.venue.state import VenueState


def close_by_venue(
    state: VenueState,
    account: Account,
    position: Position,
    price: Decimal,
    *,
    kind: str,
    create_type: str,
) -> None:
    """Close all of ``position`` at ``price``; ``kind`` is the execution's type."""
    if not position.quantity:
        return
    number = state.next_number()
    order = Order(
        order_id=state.identifier("order", number),
        number=number,
        account=account.name,
        symbol=position.key.symbol,
        side=Side.SELL if position.quantity > 0 else Side.BUY,
        is_market=True,
        quantity=position.size,
        price=ZERO,
        time_in_force="IOC",
        link_id="",
        reduce_only=True,
        close_on_trigger=False,
        position_idx=position.key.idx,
        trigger_price=ZERO,
        trigger_direction=0,
        bracket=NO_BRACKET,
        stop_kind="",
        create_type=create_type,
        status=Status.NEW,
        last_on_created=state.prices[position.key.symbol],
        created_ms=state.now_ms,
        updated_ms=state.now_ms,
    )
    fill(state, order, order.quantity, price, is_maker=False, kind=kind)


def liquidate(state: VenueState, account: Account, position: Position, price: Decimal) -> None:
    """Liquidate ``position`` at ``price``; in cross margin all of the account's orders go."""
    state.events.append(view(state, account, position, "Liq"))
    isolated = account.margin_mode == ISOLATED
    for order in list(state.orders.open_of(account.name)):
        if order.is_open and (not isolated or order.key == position.key):
            end(state, state.orders.by_id[order.order_id], "CancelAllBeforeLiq")
    position.clear_exits()
    if isolated:
        bust = position.entry_price - position.sign * position.margin / position.size
        price = state.instruments[position.key.symbol].price(bust)
    _bust(state, account, position, price)


def sweep(state: VenueState, names: Iterable[str]) -> None:
    """Liquidate at last prices what accounts have no margin for: another symbol's loss took it."""
    for name in sorted(names):
        account = state.accounts[name]
        if account.margin_mode != ISOLATED and is_solvent(state, account):
            continue
        for position in account.open_positions():
            last = state.prices[position.key.symbol]
            if position.quantity and cushion(state, account, position, last) <= ZERO:
                liquidate(state, account, position, last)


def _bust(state: VenueState, account: Account, position: Position, price: Decimal) -> None:
    close_by_venue(state, account, position, price, kind="BustTrade", create_type="CreateByLiq")


def deleverage(state: VenueState, account: Account, position: Position) -> None:
    """Close a winning position against somebody's liquidation, without a fee."""
    last = state.prices[position.key.symbol]
    state.events.append(view(state, account, position, "Adl"))
    close_by_venue(
        state, account, position, last, kind="AdlTrade", create_type="CreateByAdl_PassThrough"
    )


def settle_out(state: VenueState, symbol: str) -> list[Position]:
    """End all orders of a contract and close its positions at the last price, without a fee.

    So a delisting does it. Returns the positions that were closed.
    """
    closed: list[Position] = []
    for account in state.accounts.values():
        for order in list(state.orders.open_of(account.name)):
            if order.symbol == symbol:
                end(state, order, "CancelBySettle")
        for position in account.held_in(symbol):
            position.clear_exits()
            last = state.prices[symbol]
            close_by_venue(
                state, account, position, last, kind="Settle", create_type="CreateBySettle"
            )
            closed.append(position)
    return closed


def close_by_hand(state: VenueState, account: Account, position: Position) -> None:
    """Close a position as its owner would from the venue's own page."""
    last = state.prices[position.key.symbol]
    close_by_venue(state, account, position, last, kind="Trade", create_type="CreateByClosing")
