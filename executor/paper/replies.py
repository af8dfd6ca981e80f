"""The venue's values as the wire shows them.

Decides the fields and the text of every row of orders, executions, positions and wallets. Never
reads or changes the venue. Rule: a row has every field that the real one has, numbers are strings,
and REST and websocket rows differ only where Bybit's do.
"""

from decimal import Decimal
from typing import Any

from executor.paper.venue.account import ISOLATED
from executor.paper.venue.events import Executed, PositionChanged, WalletChanged
from executor.paper.venue.orders import ZERO, Order

Row = dict[str, Any]
RATE = Decimal("0.0001")


def text(amount: Decimal) -> str:
    """Return a number in plain digits without trailing zeros."""
    return format(amount.normalize(), "f") if amount else "0"


def or_empty(amount: Decimal) -> str:
    """Return a number, or nothing where it is not set."""
    return text(amount) if amount else ""


def order_row(order: Order) -> Row:
    """Return an order as REST shows it."""
    left = order.left if order.is_open else ZERO
    bracket = order.bracket
    triggered = bool(order.trigger_price or order.trail)
    return {
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "blockTradeId": "",
        "symbol": order.symbol,
        "price": text(order.price),
        "qty": text(order.quantity),
        "side": str(order.side),
        "isLeverage": "",
        "positionIdx": order.position_idx,
        "orderStatus": str(order.status),
        "createType": order.create_type,
        "cancelType": order.cancel_type,
        "rejectReason": order.reject_reason,
        "avgPrice": _average(order),
        "leavesQty": text(left),
        "leavesValue": text(left * order.price),
        "cumExecQty": text(order.filled),
        "cumExecValue": text(order.filled_value),
        "cumExecFee": text(order.fee),
        "cumFeeDetail": {"USDT": text(order.fee)} if order.filled else {},
        "timeInForce": order.time_in_force,
        "orderType": "Market" if order.is_market else "Limit",
        "stopOrderType": order.stop_kind,
        "orderIv": "",
        "marketUnit": "",
        "triggerPrice": or_empty(order.trigger_price),
        "takeProfit": or_empty(bracket.take_profit),
        "stopLoss": or_empty(bracket.stop_loss),
        "tpslMode": _exit_mode(order),
        "ocoTriggerBy": "",
        "tpLimitPrice": text(bracket.take_limit),
        "slLimitPrice": text(bracket.stop_limit),
        "tpTriggerBy": "LastPrice" if bracket.take_profit else "",
        "slTriggerBy": "LastPrice" if bracket.stop_loss else "",
        "triggerDirection": order.trigger_direction,
        "triggerBy": "LastPrice" if triggered else "",
        "lastPriceOnCreated": text(order.last_on_created),
        "basePrice": text(order.last_on_created),
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": order.close_on_trigger,
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "slippageTolerance": "",
        "slippageToleranceType": "UNKNOWN",
        "extraFees": "",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
    }


def _average(order: Order) -> str:
    if not order.filled:
        return ""
    return text((order.filled_value / order.filled).quantize(Decimal("0.00000001")))


def _exit_mode(order: Order) -> str:
    # The key must be there even where it is empty: ccxt tells contract from spot by it.
    if order.stop_kind.startswith("Partial") or order.bracket.partial:
        return "Partial"
    if order.stop_kind in ("StopLoss", "TakeProfit", "TrailingStop"):
        return "Full"
    return "Full" if order.bracket.stop_loss or order.bracket.take_profit else ""


def order_push(order: Order, profit: Decimal) -> Row:
    """Return an order as the websocket shows it."""
    row = order_row(order)
    row.update(category="linear", feeCurrency="USDT", closedPnl=text(profit))
    return row


def execution_row(execution: Executed) -> Row:
    """Return an execution; REST and websocket show the same."""
    order = execution.order
    funding = execution.kind == "Funding"
    return {
        "category": "linear",
        "symbol": order.symbol,
        "closedSize": text(execution.closed),
        "execFee": text(execution.fee),
        "execFeeV2": "",
        "execId": execution.execution_id,
        "execPrice": text(execution.price),
        "execQty": text(execution.quantity),
        "execType": execution.kind,
        "execValue": text(execution.value),
        "feeRate": text(execution.rate),
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "markPrice": text(execution.mark),
        "indexPrice": text(execution.mark),
        "underlyingPrice": "",
        "leavesQty": text(order.left if order.is_open else ZERO),
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "orderPrice": text(order.price),
        "orderQty": text(order.quantity),
        "orderType": "UNKNOWN" if funding else "Market" if order.is_market else "Limit",
        "stopOrderType": order.stop_kind or "UNKNOWN",
        "side": str(order.side),
        "execTime": str(execution.time_ms),
        "isLeverage": "0",
        "isMaker": execution.is_maker,
        "seq": execution.number,
        "marketUnit": "",
        "execPnl": text(execution.profit),
        "createType": order.create_type,
        "extraFees": "",
        "feeCurrency": "USDT",
    }


def fast_execution_row(execution: Executed) -> Row:
    """Return an execution as the fast stream shows it."""
    row = execution_row(execution)
    fields = (
        "category symbol execId execPrice execQty orderId isMaker orderLinkId side execTime seq"
    )
    return {name: row[name] for name in fields.split()}


def position_row(position: PositionChanged) -> Row:
    """Return a position as REST shows it."""
    is_open = bool(position.size)
    return {
        "positionIdx": position.idx,
        "riskId": position.tier,
        "riskLimitValue": text(position.tier_limit),
        "symbol": position.symbol,
        "side": position.side,
        "size": text(position.size),
        "avgPrice": text(position.entry_price),
        "positionValue": or_empty(position.value),
        "tradeMode": 1 if position.isolated else 0,
        "positionStatus": position.status,
        "autoAddMargin": 0,
        "adlRankIndicator": 2 if is_open else 0,
        "leverage": text(position.leverage),
        "positionBalance": text(position.balance or position.initial_margin),
        "markPrice": text(position.mark),
        "liqPrice": or_empty(position.liquidation),
        "bustPrice": or_empty(position.bankruptcy),
        "positionMM": text(position.maintenance_margin),
        "positionMMByMp": text(position.maintenance_margin),
        "positionIM": text(position.initial_margin),
        "positionIMByMp": text(position.initial_margin),
        "tpslMode": "Full",
        "takeProfit": or_empty(position.take_profit),
        "stopLoss": or_empty(position.stop_loss),
        "trailingStop": text(position.trail),
        "unrealisedPnl": text(position.unrealised),
        "curRealisedPnl": text(position.realised),
        "cumRealisedPnl": text(position.realised_total),
        "sessionAvgPrice": "",
        "createdTime": str(position.created_ms),
        "updatedTime": str(position.updated_ms),
        "openTime": position.created_ms,
        "seq": position.number,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
    }


def position_push(position: PositionChanged) -> Row:
    """Return a position as the websocket shows it: zeros where REST leaves a field empty."""
    row = position_row(position)
    row.update(
        category="linear",
        entryPrice=row.pop("avgPrice"),
        takeProfit=text(position.take_profit),
        stopLoss=text(position.stop_loss),
        positionValue=text(position.value),
        positionBalance=text(position.balance),
    )
    return row


def wallet_row(wallet: WalletChanged) -> Row:
    """Return an account's totals as REST shows them."""
    isolated = wallet.margin_mode == ISOLATED
    initial = wallet.position_margin + wallet.order_margin
    equity = text(wallet.equity)
    coin = {
        "coin": "USDT",
        "equity": equity,
        "usdValue": equity,
        "walletBalance": text(wallet.wallet),
        "availableToWithdraw": "",
        "availableToBorrow": "",
        "borrowAmount": "0",
        "accruedInterest": "0",
        "totalOrderIM": text(wallet.order_margin),
        "totalPositionIM": text(wallet.position_margin),
        "totalPositionMM": text(wallet.maintenance_margin),
        "unrealisedPnl": text(wallet.unrealised),
        "cumRealisedPnl": text(wallet.realised_total),
        "bonus": "0",
        "locked": "0",
        "collateralSwitch": True,
        "marginCollateral": True,
        "spotHedgingQty": "0",
        "spotBorrow": "0",
    }
    return {
        "accountType": "UNIFIED",
        "accountIMRate": "" if isolated else _rate(initial, wallet.equity),
        "accountMMRate": "" if isolated else _rate(wallet.maintenance_margin, wallet.equity),
        "accountIMRateByMp": "" if isolated else _rate(initial, wallet.equity),
        "accountMMRateByMp": "" if isolated else _rate(wallet.maintenance_margin, wallet.equity),
        "totalInitialMarginByMp": "" if isolated else text(initial),
        "totalMaintenanceMarginByMp": "" if isolated else text(wallet.maintenance_margin),
        "accountLTV": "0",
        "totalEquity": equity,
        "totalWalletBalance": text(wallet.wallet),
        "totalMarginBalance": "" if isolated else equity,
        "totalAvailableBalance": "" if isolated else text(wallet.available),
        "totalPerpUPL": text(wallet.unrealised),
        "totalInitialMargin": "" if isolated else text(initial),
        "totalMaintenanceMargin": "" if isolated else text(wallet.maintenance_margin),
        "coin": [coin],
    }


def _rate(part: Decimal, equity: Decimal) -> str:
    return text((part / equity).quantize(RATE)) if equity > 0 else "1"
