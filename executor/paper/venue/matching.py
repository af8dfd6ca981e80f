"""What the market does to our orders.

Decides which orders fill or trigger as the price moves through a bar, in what order and at what
price. Never draws a random number and never looks past the path it is given. Rule, the same as
``executor.core.fills``: every position is walked by itself, its adverse extreme first; a stop that
the market jumps over fills at the open; a profit is never better than its level; a resting limit
fills only when the price goes a tick beyond it.

A position that opens inside the bar meets its adverse extreme next and then the close: that its
favourable extreme came after its entry is nothing that a bar can prove.
"""

from collections.abc import Container
from dataclasses import dataclass, replace
from decimal import Decimal

from executor.core.fills import market_fill_price
from executor.paper.venue import stops
from executor.paper.venue.account import Account
from executor.paper.venue.changing import announce, end
from executor.paper.venue.checks import check_margin
from executor.paper.venue.errors import VenueError
from executor.paper.venue.filling import exact, fill
from executor.paper.venue.liquidation import liquidate, sweep
from executor.paper.venue.margin import cushion, is_safe, liquidation_price
from executor.paper.venue.orders import RISING, ZERO, Order, PositionKey, Side, Status
from executor.paper.venue.placing import is_marketable
from executor.paper.venue.positions import Position
from executor.paper.venue.state import VenueState
from executor.paper.venue.tampering import PARTIAL_FILL

LIQUIDATION, STOP, LIMIT, TAKE, ACTIVATION = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A piece of a bar: from ``start`` (its opening, or where the last piece ended) to ``end``.

    ``ahead_high`` and ``ahead_low`` are the extremes of the whole rest of the bar, where this is
    only its next piece: a profit is not taken from a position whose stop is still to come.
    """

    start: Decimal
    high: Decimal
    low: Decimal
    end: Decimal
    is_opening: bool = True
    ahead_high: Decimal = ZERO
    ahead_low: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """Something on the way: where the price is then, and what happens.

    ``reach`` tells apart what the price jumps over at once: what it would have met first.
    """

    at: Decimal
    rank: int
    reach: Decimal = ZERO
    order: Order | None = None

    def sorting(self, start: Decimal) -> tuple[Decimal, int, Decimal, int]:
        """Return the key that puts what is met first from ``start`` first."""
        number = self.order.number if self.order is not None else 0
        return abs(self.at - start), self.rank, self.reach, number


def match_takers(state: VenueState, symbols: Container[str]) -> None:
    """Let every order of ``symbols`` that waits to take trade at the current price."""
    waiting, state.takers = state.takers, []
    for order_id in waiting:
        order = state.orders.by_id[order_id]
        if order.symbol not in symbols:
            state.takers.append(order_id)
        elif order_id in state.tampering.doomed:
            _reject(state, order)
        elif order.is_open:
            _take(state, order, state.prices[order.symbol])


def _reject(state: VenueState, order: Order) -> None:
    announce(
        state,
        replace(order, status=Status.REJECTED, reject_reason="EC_Others", updated_ms=state.now_ms),
    )


def _take(state: VenueState, order: Order, reference: Decimal) -> None:
    """Trade ``order`` against the market at ``reference``, slipped and rounded against it."""
    if order.time_in_force == "PostOnly":
        end(state, order, "CancelByUser", "EC_PostOnlyWillTakeLiquidity")
        return
    quantity = _available(state, order)
    fraction = state.tampering.take(PARTIAL_FILL, order.symbol, order.order_id)
    if fraction is not None:
        instrument = state.instruments[order.symbol]
        quantity = max(instrument.lot, instrument.lots_down(quantity * fraction))
    if order.time_in_force == "FOK" and quantity < order.left:
        end(state, order, "CancelByUser", "EC_NoImmediateQtyToFill")
        return
    if quantity:
        _use_up(state, order, quantity)
        order = fill(state, order, quantity, _taken_price(state, order, reference), is_maker=False)
    if not order.is_open:
        return
    if order.is_market or order.time_in_force in ("IOC", "FOK"):
        end(state, order, "UNKNOWN", "EC_NoImmediateQtyToFill")
    elif not quantity:
        announce(state, order)


def _taken_price(state: VenueState, order: Order, reference: Decimal) -> Decimal:
    tick = state.instruments[order.symbol].tick
    price = exact(
        market_fill_price(
            float(reference),
            order.side.sign,
            state.volatility.get(order.symbol, 0.0),
            state.costs,
            float(tick),
        )
    )
    if order.is_market:
        return price
    return min(price, order.price) if order.side is Side.BUY else max(price, order.price)


def _available(state: VenueState, order: Order) -> Decimal:
    """Return how much of ``order`` the bar's volume still lets through; exits are not limited."""
    pool = state.liquidity.get(order.symbol)
    if pool is None or order.stop_kind in stops.EXITS:
        return order.left
    return min(order.left, state.instruments[order.symbol].lots_down(pool))


def _use_up(state: VenueState, order: Order, quantity: Decimal) -> None:
    if order.symbol in state.liquidity and order.stop_kind not in stops.EXITS:
        state.liquidity[order.symbol] -= quantity


def walk(state: VenueState, symbol: str, path: Path) -> None:
    """Move the price of ``symbol`` along ``path``; ends with the price at its end."""
    keys = {*state.orders.keys.get(symbol, ()), *state.holders.get(symbol, ())}
    for key in sorted(keys):
        _walk_position(state, key, path)
    state.move(symbol, path.end)
    names = {key.account for key in keys} | state.stressed
    state.stressed.clear()
    sweep(state, names)


def _walk_position(state: VenueState, key: PositionKey, path: Path) -> None:
    account = state.accounts[key.account]
    position = account.position(key.symbol, key.idx)
    _stand(state, account, key.symbol, path.start)
    ends = (path.low, path.high)
    if not state.orders.count_at(key) and is_safe(state, account, position, ends):
        return
    at = path.start
    # The first leg has no length: it is the jump from the last close to the open.
    legs = [path.start, *_route(position, path)]
    while legs:
        _stand(state, account, key.symbol, at)
        hit = _next_hit(state, account, position, (at, legs[0]), path)
        if hit is None:
            at = legs.pop(0)
            _follow(state, position, at)
            continue
        at = hit.at
        _stand(state, account, key.symbol, at)
        before = position.sign
        _act(state, account, position, hit)
        if position.sign not in (0, before):
            legs = [at, path.low if position.sign > 0 else path.high, path.end]


def _stand(state: VenueState, account: Account, symbol: str, price: Decimal) -> None:
    """Set the price that ``account`` sees on its way; the others' follows at the path's end."""
    state.prices[symbol] = price
    account.moved.update(position.key for position in account.held_in(symbol))


def _route(position: Position, path: Path) -> list[Decimal]:
    """Return the extremes and the end in the order in which this position meets them."""
    low_first = position.sign > 0 or (not position.sign and path.end >= path.start)
    first, second = (path.low, path.high) if low_first else (path.high, path.low)
    return [first, second, path.end]


def _next_hit(
    state: VenueState,
    account: Account,
    position: Position,
    leg: tuple[Decimal, Decimal],
    path: Path,
) -> Hit | None:
    """Return what the price meets first on its way along ``leg``."""
    at, target = leg
    orders = state.orders.open_at(position.key)
    held = _held_back(position, orders, path)
    hits: list[Hit] = []
    for order in orders:
        hit = _meets(state, order, at, target)
        if hit is None or (held and hit.rank in (LIMIT, TAKE) and not _at_opening(hit, path)):
            continue
        hits.append(hit)
    if position.quantity and cushion(state, account, position, target) <= ZERO:
        level = at
        if cushion(state, account, position, at) > ZERO:
            level = liquidation_price(state, account, position)
        hits.append(Hit(at=state.instruments[position.key.symbol].price(level), rank=LIQUIDATION))
    if not hits:
        return None
    return min(hits, key=lambda hit: hit.sorting(at))


def _at_opening(hit: Hit, path: Path) -> bool:
    return path.is_opening and hit.at == path.start


def _held_back(position: Position, orders: list[Order], path: Path) -> bool:
    """Say whether a stop of this position lies in the rest of the bar."""
    if not position.quantity or not path.ahead_high:
        return False
    triggers = [o.trigger_price for o in orders if o.stop_kind in stops.ADVERSE]
    if position.quantity > 0:
        return any(trigger >= path.ahead_low for trigger in triggers)
    return any(ZERO < trigger <= path.ahead_high for trigger in triggers)


def _meets(state: VenueState, order: Order, at: Decimal, target: Decimal) -> Hit | None:
    if order.status is not Status.UNTRIGGERED:
        return _meets_limit(state, order, at, target)
    if not order.trigger_price:
        return _meets_activation(order, at, target)
    trigger, rising = order.trigger_price, order.trigger_direction == RISING
    reached = max(at, target) >= trigger if rising else min(at, target) <= trigger
    if not reached:
        return None
    passed = at >= trigger if rising else at <= trigger
    profit = order.stop_kind in (stops.TAKE_PROFIT, stops.PARTIAL_TAKE)
    return Hit(
        at=at if passed else trigger,
        rank=TAKE if profit else STOP,
        reach=trigger if rising else -trigger,
        order=order,
    )


def _meets_limit(state: VenueState, order: Order, at: Decimal, target: Decimal) -> Hit | None:
    if order.is_market:
        return None
    instrument = state.instruments[order.symbol]
    if state.liquidity.get(order.symbol, instrument.lot) < instrument.lot:
        return None
    # A limit is not filled by a touch: somebody else stood before us in the queue.
    sign = order.side.sign
    level = order.price - sign * instrument.tick
    if sign > 0:
        reached, where = min(at, target) <= level, min(at, level)
    else:
        reached, where = max(at, target) >= level, max(at, level)
    return Hit(at=where, rank=LIMIT, reach=-sign * level, order=order) if reached else None


def _meets_activation(order: Order, at: Decimal, target: Decimal) -> Hit | None:
    if not order.active_price:
        return None
    long = order.side is Side.SELL
    reached = (
        max(at, target) >= order.active_price if long else min(at, target) <= order.active_price
    )
    return Hit(at=order.active_price, rank=ACTIVATION, order=order) if reached else None


def _follow(state: VenueState, position: Position, at: Decimal) -> None:
    """Let trailing stops follow a price that went our way."""
    if not position.trail:
        return
    for order in state.orders.open_at(position.key):
        if order.stop_kind == stops.TRAILING and order.trigger_price:
            trigger = stops.trail_trigger(position, at)
            if position.sign * (trigger - order.trigger_price) > 0:
                state.orders.save(replace(order, trigger_price=trigger, updated_ms=state.now_ms))


def _act(state: VenueState, account: Account, position: Position, hit: Hit) -> None:
    order = hit.order
    if order is None:
        liquidate(state, account, position, hit.at)
    elif hit.rank == ACTIVATION:
        trigger = stops.trail_trigger(position, order.active_price)
        announce(state, replace(order, trigger_price=trigger, updated_ms=state.now_ms))
    elif hit.rank == LIMIT:
        quantity = _available(state, order)
        _use_up(state, order, quantity)
        fill(state, order, quantity, order.price, is_maker=True)
    else:
        _trigger(state, account, order, hit.at)


def _trigger(state: VenueState, account: Account, order: Order, at: Decimal) -> None:
    """Turn a conditional order into a live one at price ``at`` and let it act."""
    # Never better than its trigger, and no better than the market once that has passed it.
    worse = max if order.side is Side.BUY else min
    reference = worse(at, order.trigger_price)
    carried = order.reduce_only or _can_carry(state, account, order)
    order = announce(state, replace(order, status=Status.TRIGGERED, updated_ms=state.now_ms))
    if not carried:
        _reject(state, order)
        return
    order = replace(order, status=Status.NEW)
    if is_marketable(order, reference):
        _take(state, order, reference)
    else:
        announce(state, order)


def _can_carry(state: VenueState, account: Account, order: Order) -> bool:
    try:
        check_margin(state, account, order)
    except VenueError:
        return False
    return True
