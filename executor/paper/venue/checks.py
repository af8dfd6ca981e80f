"""Whether the venue takes an order.

Decides every refusal of a new or amended order, in the venue's codes and words. Never changes
anything. Rule: checks run in the order in which the venue makes them, and the first that fails
names the refusal.
"""

import re
from decimal import Decimal

from executor.paper.venue import errors
from executor.paper.venue.account import Account
from executor.paper.venue.errors import VenueError
from executor.paper.venue.instruments import Instrument
from executor.paper.venue.margin import needed, totals
from executor.paper.venue.orders import (
    FALLING,
    RISING,
    ZERO,
    Bracket,
    Order,
    OrderRequest,
    PositionKey,
    Side,
)
from executor.paper.venue.positions import Position
from executor.paper.venue.state import VenueState

LINK_ID = re.compile(r"[A-Za-z0-9_-]{0,36}")
TIMES_IN_FORCE = frozenset({"GTC", "IOC", "FOK", "PostOnly"})
PRICE_BAND = Decimal("0.15")
ORDERS_MAX = 500
CONDITIONALS_MAX = 10


def text(amount: Decimal) -> str:
    """Return a number as the venue writes it inside a message."""
    return format(amount.normalize(), "f")


def check_request(state: VenueState, account: Account, request: OrderRequest) -> None:
    """Refuse an order that the venue would not take; margin comes last, in ``check_margin``."""
    instrument = state.instrument(request.symbol)
    _check_status(instrument, request)
    if not LINK_ID.fullmatch(request.link_id):
        raise VenueError(errors.PARAMS_ERROR, "orderLinkId is invalid: at most 36 of A-Za-z0-9_-")
    if request.link_id and (account.name, request.link_id) in state.orders.links:
        raise VenueError(errors.DUPLICATE_LINK_ID, "OrderLinkedID is duplicate")
    check_quantity(instrument, request.quantity, is_market=request.is_market)
    if request.time_in_force not in TIMES_IN_FORCE:
        raise VenueError(errors.PARAMS_ERROR, "timeInForce invalid")
    if not request.is_market:
        check_price(state, instrument, request.price, request.side)
    if request.position_idx not in account.indices(request.symbol):
        raise VenueError(errors.PARAMS_ERROR, "position idx not match position mode")
    if request.trigger_price:
        check_trigger(state, request)
    reference = request.price or request.trigger_price or state.prices[request.symbol]
    check_bracket(request.side, request.bracket, reference, instrument)
    position = account.position(request.symbol, request.position_idx)
    if closes(request, position.key.idx):
        if not request.trigger_price:
            check_reduces(position, request.side)
    elif request.quantity * reference < instrument.notional_min:
        least = text(instrument.notional_min)
        raise VenueError(
            errors.BELOW_NOTIONAL_MIN, f"Order does not meet minimum order value {least}USDT"
        )
    _check_counts(state, request, account)


def closes(request: OrderRequest, idx: int) -> bool:
    """Say whether an order can only reduce: asked for, or the hedge side's closing direction."""
    hedge_close = (idx == 1 and request.side is Side.SELL) or (
        idx == 2 and request.side is Side.BUY
    )
    return request.reduce_only or hedge_close


def _check_status(instrument: Instrument, request: OrderRequest) -> None:
    if instrument.status == "Trading":
        return
    if instrument.status == "ReduceOnly" and request.reduce_only:
        return
    if instrument.status == "ReduceOnly":
        raise VenueError(errors.REDUCE_ONLY_ONLY, "Currently you can only reduce position")
    raise VenueError(errors.SYMBOL_CLOSED, "This contract is not live")


def check_quantity(instrument: Instrument, quantity: Decimal, *, is_market: bool) -> None:
    """Refuse a quantity off the lot or outside the limits."""
    if quantity <= 0 or quantity % instrument.lot:
        raise VenueError(errors.PARAMS_ERROR, "Qty invalid")
    if quantity < instrument.quantity_min:
        raise VenueError(
            errors.PARAMS_ERROR, "The number of contracts exceeds minimum limit allowed"
        )
    most = instrument.market_quantity_max if is_market else instrument.quantity_max
    if quantity > most:
        raise VenueError(
            errors.PARAMS_ERROR,
            "The number of contracts exceeds maximum limit allowed: too large, "
            f"order_qty:{text(quantity)} > max_qty:{text(most)}",
        )


def check_price(state: VenueState, instrument: Instrument, price: Decimal, side: Side) -> None:
    """Refuse a limit price off the tick, not above zero, or too far through the market."""
    if price <= 0 or price % instrument.tick:
        raise VenueError(errors.PARAMS_ERROR, "Order price is invalid: not a multiple of tickSize")
    last = state.prices[instrument.symbol]
    edge = last * (1 + side.sign * PRICE_BAND)
    if side.sign * (price - edge) > 0:
        raise VenueError(
            errors.PRICE_OUT_OF_BAND,
            "Order price is out of permissible range: "
            f"{'max' if side is Side.BUY else 'min'} allowed {text(instrument.price(edge))}",
        )


def check_trigger(state: VenueState, request: OrderRequest) -> None:
    """Refuse a trigger that the market is already past."""
    instrument = state.instrument(request.symbol)
    last = state.prices[request.symbol]
    trigger = request.trigger_price
    if trigger <= 0 or trigger % instrument.tick:
        raise VenueError(errors.PARAMS_ERROR, "triggerPrice is invalid: not a multiple of tickSize")
    if request.trigger_direction not in (RISING, FALLING):
        raise VenueError(errors.PARAMS_ERROR, "triggerDirection invalid: 1 rise, 2 fall")
    if request.trigger_direction == RISING and trigger <= last:
        raise VenueError(
            errors.EXPECT_RISING,
            f"expect Rising, but trigger_price[{text(trigger)}] <= current[{text(last)}]",
        )
    if request.trigger_direction == FALLING and trigger >= last:
        raise VenueError(
            errors.EXPECT_FALLING,
            f"expect Falling, but trigger_price[{text(trigger)}] >= current[{text(last)}]",
        )


def check_bracket(side: Side, bracket: Bracket, base: Decimal, instrument: Instrument) -> None:
    """Refuse exits on the wrong side of the price they protect."""
    for name, price, sign, word in (
        ("StopLoss", bracket.stop_loss, side.sign, ("lower", "higher")),
        ("TakeProfit", bracket.take_profit, -side.sign, ("higher", "lower")),
    ):
        if not price:
            continue
        if price < 0 or price % instrument.tick:
            raise VenueError(errors.PARAMS_ERROR, f"{name} is invalid: not a multiple of tickSize")
        if sign * (price - base) >= 0:
            raise VenueError(
                errors.PARAMS_ERROR,
                f"{name}:{text(price)} set for {side} position should be "
                f"{word[side is Side.SELL]} than base_price:{text(base)}",
            )


def check_reduces(position: Position, side: Side) -> None:
    """Refuse an order that has nothing to reduce."""
    if position.sign != -side.sign:
        raise VenueError(
            errors.REDUCE_ONLY, "current position is zero, cannot fix reduce-only order qty"
        )


def _check_counts(state: VenueState, request: OrderRequest, account: Account) -> None:
    keys = [PositionKey(account.name, request.symbol, i) for i in account.indices(request.symbol)]
    if request.trigger_price:
        here = [order for key in keys for order in state.orders.open_at(key)]
        waiting = sum(o.status == "Untriggered" and o.stop_kind == "Stop" for o in here)
        if waiting >= CONDITIONALS_MAX:
            raise VenueError(
                errors.TOO_MANY_CONDITIONALS,
                "The number of stop orders exceeds the maximum allowable limit",
            )
    if sum(map(state.orders.count_at, keys)) >= ORDERS_MAX:
        raise VenueError(errors.TOO_MANY_ORDERS, "Not allowed to have more than 500 active orders")


def check_margin(
    state: VenueState, account: Account, order: Order, before: Order | None = None
) -> None:
    """Refuse an order whose opening part the account cannot carry.

    ``before`` is the order as it rests now, whose margin is bound already.
    """
    wanted = needed(state, account, order)
    if before is not None:
        wanted -= needed(state, account, before)
    if wanted > ZERO and wanted > totals(state, account).available:
        raise VenueError(errors.NOT_ENOUGH_BALANCE, "ab not enough for new order")
