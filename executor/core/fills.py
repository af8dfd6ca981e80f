"""How orders are filled where there is no venue: the simulation and the paper exchange.

Decides rounding to tick and lot, the price of a market order, what a bar does to a position with
orders resting at the venue, fees and funding. Never draws a random number and never knows why an
order exists. Rule: a bar is walked per position, adverse side first; every rounding goes against
us, and a rounded quantity or stop never carries more risk than the exact one.

Rounding rules: quantities down to the lot; market fills against the order (a buy up, a sell down);
both barrier prices towards the entry.
"""

from dataclasses import dataclass
from typing import Final

from executor.core.types import FillKind
from features.barriers import NONE, PROFIT, STOP, touch, traded_through
from features.costs import Costs, slippage, slipped_price
from features.types import Candle

SCALE_MAX: Final = 1e12
MONEY_SCALE: Final = 1e8
MONEY_MAX: Final = 4.5e7
SPLITTER: Final = 134_217_729.0  # 2**27 + 1
_SCALE_HIGH: Final = SPLITTER * MONEY_SCALE - (SPLITTER * MONEY_SCALE - MONEY_SCALE)
_SCALE_LOW: Final = MONEY_SCALE - _SCALE_HIGH


def step_scale(step: float) -> float:
    """Return the smallest power of ten that makes ``step`` a whole number (1e12 at most)."""
    scale = 1.0
    while scale < SCALE_MAX:
        scaled = step * scale
        if abs(scaled - int(scaled + 0.5)) <= 1e-9 * scaled:
            break
        scale *= 10.0
    return scale


def quantise_down(value: float, step: float) -> float:
    """Return the largest multiple of ``step`` not above ``value`` (>= 0), as its nearest double."""
    if not value > 0.0:
        return 0.0
    scale = step_scale(step)
    units = int(step * scale + 0.5)
    count = int(value * scale / units)
    if (count + 1) * units / scale <= value:
        count += 1
    if count * units / scale > value:
        count -= 1
    return count * units / scale


def quantise_up(value: float, step: float) -> float:
    """Return the smallest multiple of ``step`` not below ``value`` (>= 0)."""
    low = quantise_down(value, step)
    if low >= value:
        return low
    scale = step_scale(step)
    units = int(step * scale + 0.5)
    count = int(low * scale / units + 0.5) + 1
    return count * units / scale


def quantise_quantity(quantity: float, lot: float) -> float:
    """Return ``quantity`` rounded down to the lot: never more risk than asked for."""
    return quantise_down(quantity, lot)


def quantise_price(price: float, tick: float, direction: int) -> float:
    """Return ``price`` rounded to the tick: up for direction 1, down for -1."""
    return quantise_up(price, tick) if direction > 0 else quantise_down(price, tick)


def quantise_barriers(
    side: int, take_price: float, stop_price: float, tick: float
) -> tuple[float, float]:
    """Return ``(take_price, stop_price)`` of a position of ``side``, both towards the entry.

    So the stop never lies further away than the label's, and the take never asks for more.
    """
    return quantise_price(take_price, tick, -side), quantise_price(stop_price, tick, side)


def market_fill_price(
    reference: float, side: int, volatility: float, costs: Costs, tick: float
) -> float:
    """Return the price of a market order of ``side`` (1 buy, -1 sell).

    Parameters
    ----------
    reference : float
        Price at which the order reaches the market: the open of the bar, or a triggered stop.
    volatility : float
        ``volatility_96`` of the last closed bar before the fill, fraction per bar; NaN counts as 0
        (the base slippage is always paid).
    """
    if not volatility >= 0.0:
        volatility = 0.0
    slipped = slippage(costs.slippage_base, costs.slippage_volatility, volatility)
    return quantise_price(slipped_price(reference, side, slipped), tick, side)


def to_money(value: float) -> float:
    """Return ``value`` in the venue's decimals, as ``round(value, 8)`` does, tie to even included.

    The product's rounding error is taken apart (Dekker, 1971), so that compiled code, whose own
    ``round`` is another, gets the same bits. Above 4.5e7 a double has no eighth decimal: unchanged.
    """
    if not -MONEY_MAX < value < MONEY_MAX:
        return value
    size = value if value >= 0.0 else -value
    scaled = size * MONEY_SCALE
    split = size * SPLITTER
    high = split - (split - size)
    low = size - high
    error = ((high * _SCALE_HIGH - scaled) + high * _SCALE_LOW + low * _SCALE_HIGH) + (
        low * _SCALE_LOW
    )
    units = int(scaled)
    past_half = (scaled - (units + 0.5)) + error
    if past_half > 0.0 or (past_half == 0.0 and units % 2 == 1):
        units += 1
    money = units / MONEY_SCALE
    return money if value >= 0.0 else -money


def fee(quantity: float, price: float, rate: float) -> float:
    """Return the fee of a fill in quote currency, in the venue's decimals; below 0 a rebate."""
    return to_money(quantity * price * rate)


def funding_payment(side: int, quantity: float, mark_price: float, rate: float) -> float:
    """Return what the holder's cash gains at a settlement: a long pays a positive rate."""
    return to_money(-side * quantity * mark_price * rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestingLimit:
    """A reduce-only limit order on a position: a partial take-profit."""

    client_order_id: str
    quantity: float
    price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """A position and what rests at the venue for it; a price of 0 means not set."""

    side: int
    quantity: float
    take_price: float
    stop_price: float
    limits: tuple[RestingLimit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkFill:
    """What a bar executed: ``client_order_id`` is "" for the attached stop and take.

    ``reference`` is the price without slippage.
    """

    kind: FillKind
    client_order_id: str
    quantity: float
    price: float
    fee: float
    reference: float


def walk_bar(
    resting: Resting, candle: Candle, volatility: float, costs: Costs, tick: float
) -> tuple[WalkFill, ...]:
    """Return the fills of one bar for one position, in order.

    The adverse side first (``features.exit_plan.exit_step``): a bar that touches the stop closes
    all at the stop, but for what the bar's open was already past; else the limits that were traded
    through by a tick fill, nearest to the market first, and the take closes the rest. A limit so
    near to the take that the price reaches the take first is closed by it. The attached stop is a
    market order; so is the take where ``costs.take_profit_is_market``.
    """
    side = resting.side
    stop_price = resting.stop_price or (0.0 if side > 0 else float("inf"))
    take_price = resting.take_price or (float("inf") if side > 0 else 0.0)
    target = take_price
    if not costs.take_profit_is_market:
        target = traded_through(side, take_price, tick)
    reason, reached = touch(side, target, stop_price, candle.open, candle.high, candle.low)
    fills: list[WalkFill] = []
    left = resting.quantity
    for limit in sorted(resting.limits, key=lambda order: side * order.price):
        needed = traded_through(side, limit.price, tick)
        taken_first = reason == PROFIT and side * (needed - target) > tick / 2
        if left > 0.0 and _limit_fills(side, needed, candle, reason, taken_first=taken_first):
            quantity = min(limit.quantity, left)
            left = round(left - quantity, 12)
            fills.append(
                WalkFill(
                    kind=FillKind.ORDER,
                    client_order_id=limit.client_order_id,
                    quantity=quantity,
                    price=limit.price,
                    fee=fee(quantity, limit.price, costs.maker_fee),
                    reference=limit.price,
                )
            )
    if left <= 0.0 or reason == NONE:
        return tuple(fills)
    reference = take_price if reason == PROFIT else reached
    if reason == PROFIT:
        price, rate, kind = take_price, costs.take_profit_fee, FillKind.TAKE
        if costs.take_profit_is_market:
            price = market_fill_price(take_price, -side, volatility, costs, tick)
    else:
        price = market_fill_price(reached, -side, volatility, costs, tick)
        rate, kind = costs.taker_fee, FillKind.STOP
    paid = fee(left, price, rate)
    fills.append(
        WalkFill(
            kind=kind,
            client_order_id="",
            quantity=left,
            price=price,
            fee=paid,
            reference=reference,
        )
    )
    return tuple(fills)


def _limit_fills(
    side: int, needed: float, candle: Candle, reason: int, *, taken_first: bool
) -> bool:
    """Say whether a reduce-only limit that fills at ``needed`` or beyond does so in this bar."""
    if side > 0:
        past, reached = candle.open >= needed, candle.high >= needed
    else:
        past, reached = candle.open <= needed, candle.low <= needed
    return past or (reached and reason != STOP and not taken_first)
