"""One execution: what it does to the order, the position and the wallet.

Decides fees, realised profit and who pays a loss beyond the margin. Never decides a price or
whether an order fills (``matching`` does). Rule: every execution passes through ``fill``; the
numbers of fee and funding are those of ``executor.core.fills`` to the last bit.
"""

from dataclasses import replace
from decimal import Decimal

from executor.core import fills
from executor.paper.venue import stops
from executor.paper.venue.account import ISOLATED, Account, Booking, ClosedProfit, Entry
from executor.paper.venue.changing import announce, end
from executor.paper.venue.events import Executed
from executor.paper.venue.margin import totals, view
from executor.paper.venue.orders import ZERO, Order, Status
from executor.paper.venue.positions import Position, Split, to_cent
from executor.paper.venue.state import VenueState

# Executions that the venue brings about without a fee.
FREE_KINDS = frozenset({"AdlTrade", "Settle"})


def exact(value: float) -> Decimal:
    """Return the shortest decimal that reads back as ``value``."""
    return Decimal(repr(value))


def fill(
    state: VenueState,
    order: Order,
    quantity: Decimal,
    price: Decimal,
    *,
    is_maker: bool,
    kind: str = "Trade",
) -> Order:
    """Execute ``quantity`` of ``order`` at ``price`` and return the order as it is then.

    A reducing order that asks for more than the position holds is cut down to it.
    """
    account = state.accounts[order.account]
    position = account.position(order.symbol, order.position_idx)
    if order.reduce_only:
        held = position.size if position.sign == -order.side.sign else ZERO
        quantity = min(quantity, held)
        if not quantity:
            return end(state, order, "CancelByReduceOnly")
        order = replace(order, quantity=min(order.quantity, order.filled + held))
    rate = 0.0 if kind in FREE_KINDS else account.maker_fee if is_maker else account.taker_fee
    fee = exact(fills.fee(float(quantity), float(price), rate))
    before, entry_price = position.sign, position.entry_price
    split = position.apply(order.side, quantity, price, state.now_ms)
    fees = position.share_fee(fee, split)
    state.note(account, position)
    _move_margin(account, position, split, price)
    account.book(Booking.TRADE, split.profit)
    account.book(Booking.FEE, -fee)
    account.realise(position, split.profit - fee)
    if position.sign != before:
        position.clear_exits()
    if split.opened:
        stops.attach(position, order.bracket)
    done = order.filled + quantity
    order = replace(
        order,
        filled=done,
        filled_value=order.filled_value + quantity * price,
        fee=order.fee + fee,
        status=Status.FILLED if done >= order.quantity else Status.PARTIALLY_FILLED,
        updated_ms=state.now_ms,
    )
    execution = _execution(state, order, quantity, price, split)
    execution = replace(execution, kind=kind, fee=fee, rate=exact(rate), is_maker=is_maker)
    _record(state, account, position, execution)
    if split.closed:
        _record_closed(state, account, execution, entry_price, fees)
    _tell(state, account, position, execution)
    stops.sync(state, position)
    if split.opened and order.bracket.partial:
        stops.attach_partial(state, position, order.bracket, split.opened)
    return state.orders.by_id[order.order_id]


def _move_margin(account: Account, position: Position, split: Split, price: Decimal) -> None:
    """Take an isolated position's margin along with its size."""
    if account.margin_mode != ISOLATED:
        return
    if split.closed:
        before = position.size - split.opened + split.closed
        position.margin -= to_cent(position.margin * split.closed / before)
    if split.opened:
        position.margin += to_cent(split.opened * price / account.leverage_of(position.key.symbol))


def _execution(
    state: VenueState, order: Order, quantity: Decimal, price: Decimal, split: Split
) -> Executed:
    number = state.next_number()
    return Executed(
        account=order.account,
        execution_id=state.identifier("execution", number),
        number=number,
        order=order,
        kind="Trade",
        price=price,
        quantity=quantity,
        value=quantity * price,
        fee=ZERO,
        rate=ZERO,
        closed=split.closed,
        profit=split.profit,
        mark=state.prices[order.symbol],
        is_maker=False,
        time_ms=state.now_ms,
    )


def _record(state: VenueState, account: Account, position: Position, execution: Executed) -> None:
    """Write the execution into the account's log."""
    order = execution.order
    state.executions.append(execution)
    account.entries.append(
        Entry(
            number=execution.number,
            kind=Booking.TRADE,
            symbol=order.symbol,
            side=order.side,
            quantity=execution.quantity,
            price=execution.price,
            fee=execution.fee,
            funding=ZERO,
            cash=execution.profit,
            balance=account.wallet,
            size_after=position.quantity,
            rate=execution.rate,
            order_id=order.order_id,
            link_id=order.link_id,
            trade_id=execution.execution_id,
            time_ms=state.now_ms,
        )
    )


def _record_closed(
    state: VenueState,
    account: Account,
    execution: Executed,
    entry_price: Decimal,
    fees: tuple[Decimal, Decimal],
) -> None:
    """Write down what a reducing fill realised, after the fees of its entry and of its exit."""
    order = execution.order
    account.closed.append(
        ClosedProfit(
            number=execution.number,
            symbol=order.symbol,
            order_id=order.order_id,
            side=order.side,
            quantity=execution.closed,
            entry_price=to_cent(entry_price),
            exit_price=execution.price,
            profit=execution.profit - sum(fees),
            open_fee=fees[0],
            close_fee=fees[1],
            leverage=account.leverage_of(order.symbol),
            kind="Market" if order.is_market else "Limit",
            exec_type=execution.kind,
            time_ms=state.now_ms,
        )
    )


def _tell(state: VenueState, account: Account, position: Position, execution: Executed) -> None:
    """Announce an execution in the venue's order: execution, position, order, wallet."""
    state.events.append(execution)
    state.events.append(view(state, account, position))
    announce(state, execution.order, execution.profit)
    insure(state, account)
    state.events.append(totals(state, account))


def insure(state: VenueState, account: Account) -> None:
    """Let the insurance fund pay what an account without positions owes."""
    if account.wallet < ZERO and not account.held:
        state.insurance += account.wallet
        account.book(Booking.INSURED, -account.wallet)
