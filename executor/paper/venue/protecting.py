"""Exits and settings of a position, as clients ask for them.

Decides what the trading-stop, leverage, position-mode and margin-mode requests change. Never
triggers an exit. Rule: a request that changes nothing is refused with the venue's code for
"not modified", so that a client learns it.
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from executor.paper.venue import errors, stops
from executor.paper.venue.account import CROSS, ISOLATED, PORTFOLIO, Account
from executor.paper.venue.checks import check_bracket, check_quantity
from executor.paper.venue.errors import VenueError
from executor.paper.venue.margin import totals, view
from executor.paper.venue.orders import ZERO, Bracket, Side
from executor.paper.venue.positions import Position, to_cent
from executor.paper.venue.state import VenueState


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingStop:
    """What a trading-stop request asks for: None leaves as is, zero removes."""

    symbol: str
    position_idx: int = 0
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    trail: Decimal | None = None
    active_price: Decimal | None = None
    partial: bool = False
    size: Decimal = ZERO
    stop_limit: Decimal = ZERO
    take_limit: Decimal = ZERO


def trading_stop(state: VenueState, account: Account, wanted: TradingStop) -> None:
    """Set, move or remove the exits of an open position."""
    instrument = state.instrument(wanted.symbol)
    if wanted.position_idx not in account.indices(wanted.symbol):
        raise VenueError(errors.PARAMS_ERROR, "position idx not match position mode")
    position = account.position(wanted.symbol, wanted.position_idx)
    if not position.quantity:
        raise VenueError(errors.PARAMS_ERROR, "can not set tp/sl/ts for zero position")
    side = Side.BUY if position.quantity > 0 else Side.SELL
    last = state.prices[wanted.symbol]
    bracket = Bracket(
        stop_loss=wanted.stop_loss or ZERO,
        take_profit=wanted.take_profit or ZERO,
        partial=wanted.partial,
        stop_limit=wanted.stop_limit,
        take_limit=wanted.take_limit,
    )
    check_bracket(side, bracket, last, instrument)
    if wanted.partial:
        size = wanted.size or position.size
        check_quantity(instrument, size, is_market=False)
        stops.attach_partial(state, position, bracket, min(size, position.size))
        return
    _set_whole(state, position, wanted)
    position.updated_ms = state.now_ms
    stops.sync(state, position)
    state.events.append(view(state, account, position))


def _set_whole(state: VenueState, position: Position, wanted: TradingStop) -> None:
    now = (position.stop_loss, position.take_profit, position.trail, position.active_price)
    asked = (wanted.stop_loss, wanted.take_profit, wanted.trail, wanted.active_price)
    then = tuple(old if new is None else new for old, new in zip(now, asked, strict=True))
    tick = state.instruments[wanted.symbol].tick
    if any(value < 0 or value % tick for value in then):
        raise VenueError(errors.PARAMS_ERROR, "trailingStop or activePrice invalid")
    last = state.prices[wanted.symbol]
    if then[3] and position.sign * (then[3] - last) <= 0:
        raise VenueError(errors.PARAMS_ERROR, "activePrice is already reached by the last price")
    if then == now:
        raise VenueError(errors.STOP_UNCHANGED, "not modified")
    position.stop_loss, position.take_profit, position.trail, position.active_price = then


def set_leverage(state: VenueState, account: Account, symbol: str, leverage: Decimal) -> None:
    """Set the leverage of a symbol; an isolated position gives or takes margin."""
    instrument = state.instrument(symbol)
    leverage = leverage.quantize(Decimal("0.01"), ROUND_DOWN)
    if not 1 <= leverage <= instrument.leverage_max:
        raise VenueError(errors.LEVERAGE_LIMIT, "cannot set leverage due to risk limit")
    if account.leverage_of(symbol) == leverage:
        raise VenueError(errors.LEVERAGE_UNCHANGED, "leverage not modified")
    before = account.leverage_of(symbol)
    account.leverage[symbol] = leverage
    state.orders.touch(account.name, symbol)
    state.stressed.add(account.name)
    touched = account.held_in(symbol)
    account.moved.update(position.key for position in touched)
    now = totals(state, account)
    if touched and now.equity < now.position_margin + now.order_margin:
        account.leverage[symbol] = before
        account.moved.update(position.key for position in touched)
        state.orders.touch(account.name, symbol)
        raise VenueError(errors.NOT_ENOUGH_BALANCE, "ab not enough for new leverage")
    for position in touched:
        if account.margin_mode == ISOLATED:
            position.margin = to_cent(position.entry_value / leverage)
            account.moved.add(position.key)
        state.events.append(view(state, account, position))


def switch_mode(state: VenueState, account: Account, symbols: list[str], *, hedge: bool) -> None:
    """Turn hedge mode on or off for ``symbols``, none of which may have a position or an order."""
    for symbol in symbols:
        state.instrument(symbol)
    chosen = set(symbols)
    if any(key.symbol in chosen for key in account.held):
        raise VenueError(
            errors.POSITION_EXISTS,
            "You have an existing position, so position mode cannot be switched",
        )
    if any(order.symbol in chosen for order in state.orders.open_of(account.name)):
        raise VenueError(
            errors.ORDERS_EXIST, "You have existing orders, so position mode cannot be switched"
        )
    if all((symbol in account.hedged) == hedge for symbol in symbols):
        raise VenueError(errors.POSITION_MODE_UNCHANGED, "Position mode is not modified")
    if hedge:
        account.hedged |= chosen
    else:
        account.hedged -= chosen


def _margin_mode_refused(*reasons: tuple[str, str]) -> VenueError:
    return VenueError(errors.MARGIN_MODE_FAILED, "Set margin mode failed", *reasons)


def set_margin_mode(state: VenueState, account: Account, mode: str) -> None:
    """Set cross or isolated margin for the whole account; only while it is flat.

    Portfolio margin is refused as the venue refuses accounts that are too small for it.
    """
    if mode not in (CROSS, ISOLATED, PORTFOLIO):
        raise VenueError(errors.PARAMS_ERROR, "setMarginMode invalid")
    if mode == PORTFOLIO:
        raise _margin_mode_refused(errors.EQUITY_TOO_LOW)
    if mode == account.margin_mode:
        return
    reasons = [errors.POSITIONS_OPEN] if account.held else []
    if next(state.orders.open_of(account.name), None) is not None:
        reasons.append(errors.ORDERS_ACTIVE)
    if reasons:
        raise _margin_mode_refused(*reasons)
    account.margin_mode = mode
    state.events.append(totals(state, account))
