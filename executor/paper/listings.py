"""Rows that only REST shows: instruments, the transaction log and closed profits.

Decides their fields and texts. Never reads or changes the venue. Rule, as in ``replies``: a row has
every field that the real one has, and numbers are strings.
"""

from executor.paper.replies import Row, text
from executor.paper.venue.account import ClosedProfit, Entry
from executor.paper.venue.instruments import Instrument


def instrument_row(instrument: Instrument, number: int, funding_interval_min: int) -> Row:
    """Return an instrument by its number; its settlements come at this interval for now."""
    tick, lot = text(instrument.tick), text(instrument.lot)
    most = text(instrument.quantity_max)
    return {
        "symbol": instrument.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading" if instrument.status == "ReduceOnly" else instrument.status,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "settleCoin": instrument.quote,
        "launchTime": str(instrument.launch_ms),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(instrument.places),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": text(instrument.leverage_max),
            "leverageStep": "0.01",
        },
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999.8", "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": most,
            "minOrderQty": text(instrument.quantity_min),
            "qtyStep": lot,
            "postOnlyMaxOrderQty": most,
            "maxMktOrderQty": text(instrument.market_quantity_max),
            "minNotionalValue": text(instrument.notional_min),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": funding_interval_min,
        "copyTrading": "none",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.15", "priceLimitRatioY": "0.15"},
        "displayName": "",
        "symbolId": number,
        "symbolType": "",
    }


def entry_row(entry: Entry) -> Row:
    """Return a line of the transaction log."""
    change = entry.cash - entry.fee + entry.funding
    return {
        "id": f"{entry.trade_id}_{entry.symbol}_{entry.number}",
        "symbol": entry.symbol,
        "category": "linear",
        "side": entry.side,
        "transactionTime": str(entry.time_ms),
        "type": str(entry.kind),
        "transSubType": "",
        "qty": text(entry.quantity),
        "size": text(entry.size_after),
        "currency": "USDT",
        "tradePrice": text(entry.price),
        "funding": text(entry.funding) if entry.funding else "",
        "fee": text(entry.fee),
        "cashFlow": text(entry.cash),
        "change": text(change),
        "cashBalance": text(entry.balance),
        "feeRate": text(entry.rate),
        "bonusChange": "",
        "tradeId": entry.trade_id,
        "orderId": entry.order_id,
        "orderLinkId": entry.link_id,
        "extraFees": "",
    }


def closed_row(closed: ClosedProfit) -> Row:
    """Return a line of the closed profits."""
    return {
        "symbol": closed.symbol,
        "orderId": closed.order_id,
        "side": closed.side,
        "qty": text(closed.quantity),
        "orderPrice": text(closed.exit_price),
        "orderType": closed.kind,
        "execType": closed.exec_type,
        "closedSize": text(closed.quantity),
        "cumEntryValue": text(closed.quantity * closed.entry_price),
        "avgEntryPrice": text(closed.entry_price),
        "cumExitValue": text(closed.quantity * closed.exit_price),
        "avgExitPrice": text(closed.exit_price),
        "closedPnl": text(closed.profit),
        "fillCount": "1",
        "leverage": text(closed.leverage),
        "openFee": text(closed.open_fee),
        "closeFee": text(closed.close_fee),
        "createdTime": str(closed.time_ms),
        "updatedTime": str(closed.time_ms),
    }
