"""The signed REST endpoints of positions.

Decides how positions, leverage, modes and exits are asked for and answered. Never decides whether
a change is allowed (``venue.protecting`` does). Rule: by symbol a flat position is shown too, by
settle coin only open ones, as the venue does.
"""

from executor.paper.calls import Call, Endpoint
from executor.paper.listings import closed_row
from executor.paper.replies import Row, position_row
from executor.paper.rest_trade import EXIT_MODES, exit_limit, linear, span
from executor.paper.venue import errors, protecting
from executor.paper.venue.errors import PARAMS_ERROR, VenueError
from executor.paper.venue.margin import view


def positions(call: Call) -> Row:
    """Return positions: by symbol also a flat one, by settle coin only open ones."""
    if not call.is_linear():
        return call.listing([])
    state, account = call.exchange.state, call.owner
    if "symbol" in call.params:
        symbol = call.series().instrument.symbol
        found = [account.position(symbol, idx) for idx in account.indices(symbol)]
    elif call.params.text("settleCoin") == "USDT" or "baseCoin" in call.params:
        base = call.params.text("baseCoin")
        found = [
            position
            for position in account.open_positions()
            if base in ("", state.instruments[position.key.symbol].base)
        ]
    elif "settleCoin" in call.params:
        found = []
    else:
        raise VenueError(PARAMS_ERROR, "params error: symbol or settleCoin is required")
    return call.pages(found, lambda p: position_row(view(state, account, p)), 20, 200)


def set_leverage(call: Call) -> Row:
    """Set a symbol's leverage, the same for both sides."""
    linear(call)
    buy, sell = call.params.decimal("buyLeverage"), call.params.decimal("sellLeverage")
    if buy != sell:
        raise VenueError(PARAMS_ERROR, "params error: buyLeverage must equal sellLeverage")
    protecting.set_leverage(call.exchange.state, call.owner, call.params.needed("symbol"), buy)
    return {}


def switch_mode(call: Call) -> Row:
    """Switch between one-way and hedge mode."""
    linear(call)
    mode = call.params.integer("mode", -1)
    if mode not in (0, 3):
        raise VenueError(PARAMS_ERROR, "params error: mode invalid: 0 one-way, 3 hedge")
    symbol = call.params.text("symbol")
    if not symbol and call.params.text("coin") != "USDT":
        raise VenueError(PARAMS_ERROR, "params error: symbol or coin is required")
    symbols = [symbol] if symbol else list(call.exchange.state.instruments)
    protecting.switch_mode(call.exchange.state, call.owner, symbols, hedge=mode == 3)
    return {}


def switch_isolated(_call: Call) -> Row:
    """Refuse: a unified account sets its margin mode as a whole."""
    raise VenueError(errors.UNIFIED_FORBIDDEN, "unified account is forbidden")


def trading_stop(call: Call) -> Row:
    """Set the exits of an open position."""
    linear(call)
    params = call.params
    protecting.trading_stop(
        call.exchange.state,
        call.owner,
        protecting.TradingStop(
            symbol=params.needed("symbol"),
            position_idx=params.integer("positionIdx", 0),
            stop_loss=params.decimal_or_none("stopLoss"),
            take_profit=params.decimal_or_none("takeProfit"),
            trail=params.decimal_or_none("trailingStop"),
            active_price=params.decimal_or_none("activePrice"),
            partial=params.choice("tpslMode", EXIT_MODES),
            size=params.decimal("slSize") or params.decimal("tpSize"),
            stop_limit=exit_limit(call, "slOrderType", "slLimitPrice"),
            take_limit=exit_limit(call, "tpOrderType", "tpLimitPrice"),
        ),
    )
    return {}


def closed_profits(call: Call) -> Row:
    """Return closed profits, newest first."""
    if not call.is_linear():
        return call.listing([])
    start, end = span(call)
    symbol = call.params.text("symbol")
    found = (
        closed
        for closed in reversed(call.owner.closed)
        if start <= closed.time_ms <= end and symbol in ("", closed.symbol)
    )
    return call.newest(found, closed_row, 50, 100)


ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "/v5/position/list"): positions,
    ("POST", "/v5/position/set-leverage"): set_leverage,
    ("POST", "/v5/position/switch-mode"): switch_mode,
    ("POST", "/v5/position/switch-isolated"): switch_isolated,
    ("POST", "/v5/position/trading-stop"): trading_stop,
    ("GET", "/v5/position/closed-pnl"): closed_profits,
}
