"""Funding settlements.

Decides what every open position pays or gets. Never decides when or at what rate (the market
does). Rule: those open at the instant of settlement pay, so a settlement at a bar's open is booked
before every fill of that bar.
"""

from decimal import Decimal

from executor.core.fills import funding_payment
from executor.paper.venue.account import Account, Booking, Entry
from executor.paper.venue.events import Executed
from executor.paper.venue.filling import exact, insure
from executor.paper.venue.margin import totals, view
from executor.paper.venue.orders import NO_BRACKET, ZERO, Order, Side, Status
from executor.paper.venue.positions import Position
from executor.paper.venue.state import VenueState


def settle(state: VenueState, symbol: str, rate: float, mark: Decimal) -> None:
    """Book a settlement on every open position: ``rate`` is a fraction of its value at ``mark``."""
    for key in sorted(state.holders.get(symbol, ())):
        account = state.accounts[key.account]
        _pay(state, account, account.held[key], rate, mark)


def _pay(
    state: VenueState, account: Account, position: Position, rate: float, mark: Decimal
) -> None:
    gained = exact(funding_payment(position.sign, float(position.size), float(mark), rate))
    account.book(Booking.FUNDING, gained)
    account.realise(position, gained)
    state.stressed.add(account.name)
    position.updated_ms = state.now_ms
    execution = _execution(state, position, mark, gained, exact(rate))
    state.executions.append(execution)
    account.entries.append(
        Entry(
            number=execution.number,
            kind=Booking.FUNDING,
            symbol=position.key.symbol,
            side=execution.order.side,
            quantity=position.size,
            price=mark,
            fee=ZERO,
            funding=gained,
            cash=ZERO,
            balance=account.wallet,
            size_after=position.quantity,
            rate=exact(rate),
            order_id=execution.order.order_id,
            link_id="",
            trade_id=execution.execution_id,
            time_ms=state.now_ms,
        )
    )
    state.events.append(execution)
    state.events.append(view(state, account, position))
    insure(state, account)
    state.events.append(totals(state, account))


def _execution(
    state: VenueState, position: Position, mark: Decimal, gained: Decimal, rate: Decimal
) -> Executed:
    number = state.next_number()
    order = Order(
        order_id=state.identifier("order", number),
        number=number,
        account=position.key.account,
        symbol=position.key.symbol,
        side=Side.BUY if position.quantity > 0 else Side.SELL,
        is_market=True,
        quantity=ZERO,
        price=ZERO,
        time_in_force="",
        link_id="",
        reduce_only=False,
        close_on_trigger=False,
        position_idx=position.key.idx,
        trigger_price=ZERO,
        trigger_direction=0,
        bracket=NO_BRACKET,
        stop_kind="",
        create_type="",
        status=Status.FILLED,
        last_on_created=mark,
        created_ms=state.now_ms,
        updated_ms=state.now_ms,
    )
    return Executed(
        account=position.key.account,
        execution_id=state.identifier("execution", number),
        number=number,
        order=order,
        kind="Funding",
        price=mark,
        quantity=position.size,
        value=position.size * mark,
        fee=-gained,
        rate=rate,
        closed=ZERO,
        profit=ZERO,
        mark=mark,
        is_maker=False,
        time_ms=state.now_ms,
    )
