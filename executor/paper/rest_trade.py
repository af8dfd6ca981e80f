"""The signed REST endpoints of orders and executions.

Decides how a body becomes a request to the venue and the venue's answer a reply. Never decides
whether an order is good. Rule: the same functions serve REST and order entry over the websocket.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from executor.paper.calls import Call, Endpoint
from executor.paper.replies import Row, execution_row, order_row
from executor.paper.venue import placing
from executor.paper.venue.errors import PARAMS_ERROR, VenueError
from executor.paper.venue.orders import ZERO, Bracket, Order, OrderRequest, Side, Status

SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
ORDER_TYPES = {"Market": True, "Limit": False}
EXIT_MODES = {"": False, "Full": False, "Partial": True}
RECENT_CLOSED = 500
WEEK_MS = 7 * 86_400_000
BATCH_MAX = 10


def linear(call: Call) -> None:
    """Refuse any other category."""
    if call.params.text("category") != "linear":
        raise VenueError(PARAMS_ERROR, "params error: Category is invalid")


def _ids(order: Order) -> Row:
    return {"orderId": order.order_id, "orderLinkId": order.link_id}


def _bracket(call: Call) -> Bracket:
    params = call.params
    return Bracket(
        stop_loss=params.decimal("stopLoss"),
        take_profit=params.decimal("takeProfit"),
        partial=params.choice("tpslMode", EXIT_MODES),
        stop_limit=exit_limit(call, "slOrderType", "slLimitPrice"),
        take_limit=exit_limit(call, "tpOrderType", "tpLimitPrice"),
    )


def exit_limit(call: Call, kind: str, price: str) -> Decimal:
    """Return the limit price of an exit, zero where it is a market order."""
    if call.params.text(kind, "Market") != "Limit":
        return ZERO
    if not call.params.choice("tpslMode", EXIT_MODES):
        raise VenueError(PARAMS_ERROR, f"params error: {kind} Limit needs tpslMode Partial")
    return call.params.decimal(price)


def create(call: Call) -> Row:
    """Place an order."""
    linear(call)
    params = call.params
    is_market = params.choice("orderType", ORDER_TYPES)
    request = OrderRequest(
        symbol=params.needed("symbol"),
        side=params.choice("side", SIDES),
        is_market=is_market,
        quantity=params.decimal("qty"),
        price=ZERO if is_market else params.decimal("price"),
        time_in_force="GTC" if is_market else params.text("timeInForce", "GTC"),
        link_id=params.text("orderLinkId"),
        reduce_only=params.flag("reduceOnly"),
        close_on_trigger=params.flag("closeOnTrigger"),
        position_idx=params.integer("positionIdx", 0),
        trigger_price=params.decimal("triggerPrice"),
        trigger_direction=params.integer("triggerDirection", 0),
        bracket=_bracket(call),
    )
    return _ids(placing.place(call.exchange.state, call.owner, request))


def _open_order(call: Call) -> Order:
    linear(call)
    if "orderId" not in call.params and "orderLinkId" not in call.params:
        raise VenueError(PARAMS_ERROR, "params error: orderId or orderLinkId is required")
    return placing.find(
        call.exchange.state,
        call.owner,
        call.params.needed("symbol"),
        call.params.text("orderId"),
        call.params.text("orderLinkId"),
    )


def amend(call: Call) -> Row:
    """Change an open order."""
    order, params = _open_order(call), call.params
    bracket = None
    if "stopLoss" in params or "takeProfit" in params:
        stop, take = params.decimal_or_none("stopLoss"), params.decimal_or_none("takeProfit")
        bracket = replace(
            order.bracket,
            stop_loss=order.bracket.stop_loss if stop is None else stop,
            take_profit=order.bracket.take_profit if take is None else take,
        )
    changed = placing.amend(
        call.exchange.state,
        call.owner,
        order,
        quantity=params.decimal_or_none("qty"),
        price=params.decimal_or_none("price"),
        trigger_price=params.decimal_or_none("triggerPrice"),
        bracket=bracket,
    )
    return _ids(changed)


def cancel(call: Call) -> Row:
    """Cancel an open order."""
    order = _open_order(call)
    placing.cancel(call.exchange.state, call.owner, order)
    return _ids(order)


def _is_conditional(order: Order) -> bool:
    return order.status is Status.UNTRIGGERED


def _filter(call: Call) -> Callable[[Order], bool]:
    """Return what an ``orderFilter`` picks; without one, every kind."""
    kinds: dict[str, Callable[[Order], bool]] = {
        "": lambda _order: True,
        "Order": lambda order: not _is_conditional(order),
        "StopOrder": _is_conditional,
        "tpslOrder": lambda order: order.stop_kind not in ("", "Stop"),
    }
    chosen: Callable[[Order], bool] = call.params.choice("orderFilter", kinds)
    return chosen


def cancel_all(call: Call) -> Row:
    """Cancel open orders of a symbol, or of all symbols that settle in a coin."""
    linear(call)
    symbol = call.params.text("symbol")
    coin = call.params.text("settleCoin") or call.params.text("baseCoin")
    if not symbol and not coin:
        raise VenueError(PARAMS_ERROR, "params error: symbol, settleCoin or baseCoin is required")
    if symbol:
        call.exchange.state.instrument(symbol)
    kind = _filter(call)

    def wanted(order: Order) -> bool:
        base = call.exchange.state.instruments[order.symbol].base
        return kind(order) and (order.symbol == symbol if symbol else coin in ("USDT", base))

    ended = placing.cancel_all(call.exchange.state, call.owner, wanted, "CancelByUser")
    return {"list": [_ids(order) for order in ended], "success": "1"}


def _batch(one: Endpoint) -> Endpoint:
    """Return an endpoint that does ``one`` for every element of ``request``.

    What was created says when, what was amended or cancelled does not.
    """
    dated = one is create

    def many(call: Call) -> Row:
        linear(call)
        requests = call.params.objects("request", BATCH_MAX)
        rows: list[Row] = []
        results: list[Row] = []
        for params in requests:
            row: Row = {"category": "linear", "symbol": params.text("symbol")}
            result: Row = {"code": 0, "msg": "OK"}
            try:
                ids = one(Call(call.exchange, params.with_value("category", "linear"), call.owner))
                row.update(ids)
                created = str(call.exchange.state.now_ms)
            except VenueError as error:
                row.update(orderId="", orderLinkId=params.text("orderLinkId"))
                created = ""
                result = {"code": error.code, "msg": error.message}
            rows.append({**row, "createAt": created} if dated else row)
            results.append(result)
        return {"list": rows, "retExtInfo": {"list": results}}

    return many


def _matches(call: Call, order: Order) -> bool:
    params, base = call.params, call.exchange.state.instruments[order.symbol].base
    return (
        order.account == call.owner.name
        and params.text("symbol") in ("", order.symbol)
        and params.text("settleCoin") in ("", "USDT")
        and params.text("baseCoin") in ("", base)
        and params.text("orderId") in ("", order.order_id)
        and params.text("orderLinkId") in ("", order.link_id)
    )


def realtime(call: Call) -> Row:
    """Return open orders; asked for by id, or with openOnly 1, also recently closed ones."""
    if not call.is_linear():
        return call.listing([])
    by_id = "orderId" in call.params or "orderLinkId" in call.params
    if not by_id and not any(n in call.params for n in ("symbol", "settleCoin", "baseCoin")):
        raise VenueError(PARAMS_ERROR, "params error: symbol, settleCoin or baseCoin is required")
    kind = _filter(call)
    orders = call.exchange.state.orders
    if by_id:
        named = orders.find(
            call.owner.name, call.params.text("orderId"), call.params.text("orderLinkId")
        )
        found = [named] if named is not None else []
    elif call.params.integer("openOnly", 0) == 1:
        found = [o for o in list(orders.by_id.values())[-RECENT_CLOSED:] if not o.is_open]
    else:
        found = list(orders.open_of(call.owner.name))
    wanted = (order for order in reversed(found) if _matches(call, order) and kind(order))
    return call.newest(wanted, order_row, 20, 50)


def span(call: Call) -> tuple[int, int]:
    """Return the times asked for, at most seven days; without any, all there is."""
    start, end = call.params.integer_or_none("startTime"), call.params.integer_or_none("endTime")
    if start is not None and end is not None and not 0 <= end - start <= WEEK_MS:
        raise VenueError(PARAMS_ERROR, "The time range between startTime and endTime is 7 days max")
    if start is not None and end is None:
        end = start + WEEK_MS
    if end is not None and start is None:
        start = end - WEEK_MS
    return (0 if start is None else start), (1 << 62 if end is None else end)


def history(call: Call) -> Row:
    """Return finished orders, newest first."""
    if not call.is_linear():
        return call.listing([])
    start, end = span(call)
    found = (
        order
        for order in reversed(call.exchange.state.orders.by_id.values())
        if not order.is_open
        and start <= order.created_ms <= end
        and _matches(call, order)
        and call.params.text("orderStatus") in ("", order.status)
    )
    return call.newest(found, order_row, 20, 50)


def executions(call: Call) -> Row:
    """Return executions, newest first."""
    if not call.is_linear():
        return call.listing([])
    start, end = span(call)
    kind = call.params.text("execType")
    found = (
        execution
        for execution in reversed(call.exchange.state.executions)
        if start <= execution.time_ms <= end
        and kind in ("", execution.kind)
        and _matches(call, execution.order)
    )
    return call.newest(found, execution_row, 50, 100)


ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("POST", "/v5/order/create"): create,
    ("POST", "/v5/order/amend"): amend,
    ("POST", "/v5/order/cancel"): cancel,
    ("POST", "/v5/order/cancel-all"): cancel_all,
    ("POST", "/v5/order/create-batch"): _batch(create),
    ("POST", "/v5/order/amend-batch"): _batch(amend),
    ("POST", "/v5/order/cancel-batch"): _batch(cancel),
    ("GET", "/v5/order/realtime"): realtime,
    ("GET", "/v5/order/history"): history,
    ("GET", "/v5/execution/list"): executions,
}
