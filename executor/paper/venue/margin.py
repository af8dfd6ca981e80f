"""What margin an account needs and when it is out of it.

Decides initial and maintenance margin, an account's totals and liquidation prices. Never moves
money. Rule: cross margin is reckoned over the whole account at last prices; isolated margin over
the position alone; the mark price is the last price.
"""

from decimal import Decimal

from executor.paper.venue.account import ISOLATED, Account, Standing
from executor.paper.venue.events import PositionChanged, WalletChanged
from executor.paper.venue.orders import ZERO, Order, PositionKey, Status
from executor.paper.venue.positions import Position, to_cent
from executor.paper.venue.state import VenueState

ONE = Decimal(1)
NOTHING = Standing(ZERO, ZERO, ZERO)
Prices = tuple[Decimal, Decimal]


def position_margin(account: Account, position: Position) -> Decimal:
    """Return the initial margin that an open position binds, quote currency."""
    if account.margin_mode == ISOLATED:
        return position.margin
    return position.entry_value / account.leverage_of(position.key.symbol)


def maintenance_margin(state: VenueState, position: Position, price: Decimal) -> Decimal:
    """Return the maintenance margin of a position at ``price``."""
    return state.instruments[position.key.symbol].maintenance(position.size * price)


def order_margin(state: VenueState, account: Account) -> Decimal:
    """Return the initial margin that resting orders bind; orders that only reduce bind none.

    Only positions whose orders changed since the last call are reckoned anew.
    """
    floating: set[PositionKey] = set()
    for key in state.orders.stale.get(account.name, ()):
        orders = [o for o in state.orders.open_at(key) if _binds(o)]
        # Rounded by position, so that the sum does not depend on the order of its parts.
        margin = to_cent(sum((needed(state, account, order) for order in orders), ZERO))
        account.bound_total += margin - account.bound.pop(key, ZERO)
        if margin:
            account.bound[key] = margin
        if any(not order.price for order in orders):
            floating.add(key)  # a market order that waits binds what the market asks
    state.orders.stale[account.name] = floating
    return account.bound_total


def _binds(order: Order) -> bool:
    return not order.reduce_only and order.status is not Status.UNTRIGGERED


def needed(state: VenueState, account: Account, order: Order) -> Decimal:
    """Return the margin and the fee that the opening part of ``order`` binds."""
    position = account.position(order.symbol, order.position_idx)
    opening = order.left
    if position.sign == -order.side.sign:
        opening = max(ZERO, opening - position.size)
    price = order.price or state.prices[order.symbol]
    fee = Decimal(repr(account.taker_fee))
    return opening * price * (ONE / account.leverage_of(order.symbol) + fee)


def reckon(state: VenueState, account: Account) -> None:
    """Bring the account's totals up to date: only positions that changed or moved are looked at.

    What is summed is exact or rounded to the cent, so that the sums do not depend on their order.
    """
    for key in account.moved:
        old = account.standing.pop(key, NOTHING)
        new = NOTHING
        position = account.held.get(key)
        if position is not None:
            price = state.prices[key.symbol]
            new = account.standing[key] = Standing(
                position.profit_at(price),
                maintenance_margin(state, position, price),
                to_cent(position_margin(account, position)),
            )
        account.profit_total += new.profit - old.profit
        account.maintenance_total += new.maintenance - old.maintenance
        account.initial_total += new.initial - old.initial
    account.moved.clear()


def totals(state: VenueState, account: Account) -> WalletChanged:
    """Return the account's totals as they stand."""
    reckon(state, account)
    return WalletChanged(
        account=account.name,
        wallet=account.wallet,
        equity=account.wallet + account.profit_total,
        unrealised=account.profit_total,
        position_margin=account.initial_total,
        order_margin=to_cent(order_margin(state, account)),
        maintenance_margin=to_cent(account.maintenance_total),
        realised_total=account.realised_total,
        margin_mode=account.margin_mode,
        time_ms=state.now_ms,
    )


def liquidation_price(state: VenueState, account: Account, position: Position) -> Decimal:
    """Return the price at which the account (cross) or the position (isolated) is liquidated.

    Other symbols are taken at their last prices. Zero where no price above zero does it.
    Solves backing + sign·q·p - sign·entry = q·p·m - d for p, with the maintenance rate m and the
    deduction d of the tier that the position is in now.
    """
    slope, level = _cushion(state, account, position)
    price = -level / slope if slope else ZERO
    return price if price > 0 else ZERO


def cushion(state: VenueState, account: Account, position: Position, price: Decimal) -> Decimal:
    """Return what stands between a position and its liquidation at ``price``; 0 or less: none."""
    slope, level = _cushion(state, account, position)
    return slope * price + level


def _cushion(state: VenueState, account: Account, position: Position) -> tuple[Decimal, Decimal]:
    """Return (a, b) of backing + profit - maintenance margin = a·price + b."""
    symbol = position.key.symbol
    if account.margin_mode == ISOLATED:
        members, level = [position], position.margin
    else:
        members = account.held_in(symbol)
        level = account.wallet + _others(state, account, members)
    slope = ZERO
    for member in members:
        tier = state.instruments[symbol].tier(member.size * state.prices[symbol])
        slope += member.quantity - member.size * tier.maintenance
        level += tier.deduction - member.sign * member.entry_value
    return slope, level


def _others(state: VenueState, account: Account, members: list[Position]) -> Decimal:
    """Return what all positions but ``members`` add to (or take from) an account's backing."""
    reckon(state, account)
    total = account.profit_total - account.maintenance_total
    for member in members:
        standing = account.standing[member.key]
        total -= standing.profit - standing.maintenance
    return total


def is_solvent(state: VenueState, account: Account) -> bool:
    """Say whether a cross account keeps its maintenance margin at last prices."""
    reckon(state, account)
    return account.wallet + account.profit_total > account.maintenance_total


def is_safe(state: VenueState, account: Account, position: Position, prices: Prices) -> bool:
    """Say whether no price between the two ``prices`` can liquidate ``position``, or it is flat.

    Maintenance margin is convex in the price, so what is left at the ends bounds it from below.
    """
    if not position.quantity:
        return True
    if account.margin_mode == ISOLATED:
        members, backing = [position], position.margin
    else:
        members = account.held_in(position.key.symbol)
        backing = account.wallet + _others(state, account, members)
    for price in prices:
        left = backing
        for member in members:
            left += member.profit_at(price) - maintenance_margin(state, member, price)
        if left <= ZERO:
            return False
    return True


def view(
    state: VenueState, account: Account, position: Position, status: str = "Normal"
) -> PositionChanged:
    """Return the position as the streams and replies show it."""
    symbol = position.key.symbol
    instrument = state.instruments[symbol]
    mark = state.prices[symbol]
    value = position.entry_value
    tier = instrument.tier(position.size * mark)
    is_open = bool(position.quantity)
    initial = position_margin(account, position)
    liquidation = liquidation_price(state, account, position) if is_open else ZERO
    bust = ZERO
    if is_open and account.margin_mode == ISOLATED:
        bust = max(ZERO, position.entry_price - position.sign * position.margin / position.size)
    return PositionChanged(
        account=account.name,
        number=state.numbers,
        symbol=symbol,
        idx=position.key.idx,
        side=str(position.side or ""),
        size=position.size,
        entry_price=to_cent(position.entry_price),
        value=value,
        leverage=account.leverage_of(symbol),
        mark=mark,
        liquidation=instrument.price(liquidation),
        bankruptcy=instrument.price(bust),
        initial_margin=to_cent(initial),
        maintenance_margin=to_cent(maintenance_margin(state, position, mark)),
        balance=to_cent(position.margin if account.margin_mode == ISOLATED else ZERO),
        take_profit=position.take_profit,
        stop_loss=position.stop_loss,
        trail=position.trail,
        unrealised=position.profit_at(mark),
        realised=position.realised,
        realised_total=position.realised_total,
        isolated=account.margin_mode == ISOLATED,
        status=status,
        tier=instrument.tiers.index(tier) + 1,
        tier_limit=tier.notional_max,
        created_ms=position.created_ms,
        updated_ms=position.updated_ms,
    )
