"""What the venue's rows mean: Bybit v5's orders, executions, positions and wallet as our types.

Decides the reading of every field that is used, strictly: a missing or unreadable number is an
error, never a zero. Never talks to anybody. Rule: rows of the sockets and of REST are read by the
same function, and words of the venue (``orderLinkId``, ``execId``) do not leave this module.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from executor.core.events import (
    FillReceived,
    FundingPaid,
    OrderUpdated,
    VenueOrder,
    VenuePosition,
)
from executor.core.types import Fill, FillKind, OrderStatus
from executor.core.universe import Liquidity
from executor.errors import RetryableError
from features.types import Candle

Row = Mapping[str, Any]

STATUS: Final = {
    "Created": OrderStatus.ACCEPTED,
    "New": OrderStatus.ACCEPTED,
    "Untriggered": OrderStatus.ACCEPTED,
    "Triggered": OrderStatus.ACCEPTED,
    "Active": OrderStatus.ACCEPTED,
    "PartiallyFilled": OrderStatus.PARTIALLY_FILLED,
    "Filled": OrderStatus.FILLED,
    "PartiallyFilledCanceled": OrderStatus.CANCELED,
    "Cancelled": OrderStatus.CANCELED,
    "Deactivated": OrderStatus.CANCELED,
    "Rejected": OrderStatus.REJECTED,
}
SIDES: Final = {"Buy": 1, "Sell": -1}
TRADES: Final = frozenset({"Trade", "BustTrade", "AdlTrade", "Settle"})


class RowError(RetryableError):
    """A row that cannot be read; the reply it came in is worth nothing."""


def rows(reply: Any) -> list[Row]:
    """Return ``result.list`` of a reply."""
    found = reply.get("result", {}).get("list") if isinstance(reply, Mapping) else None
    if not isinstance(found, list) or not all(isinstance(row, Mapping) for row in found):
        raise RowError("the reply holds no list of rows")
    return found


def number(row: Row, key: str) -> float:
    """Return a number that must be there."""
    try:
        value = float(row[key])
    except (KeyError, TypeError, ValueError):
        raise RowError(f"{key} is {row.get(key)!r}, not a number") from None
    if not math.isfinite(value):
        raise RowError(f"{key} is {value}")
    return value


def optional(row: Row, key: str) -> float:
    """Return a number that the venue leaves empty where it is not set: 0 then."""
    return number(row, key) if row.get(key) not in (None, "") else 0.0


def text(row: Row, key: str) -> str:
    """Return a text that must be there, though it may be empty."""
    value = row.get(key)
    if not isinstance(value, str):
        raise RowError(f"{key} is {value!r}, not text")
    return value


def settlement(row: Row) -> tuple[int, float]:
    """Return time and rate of a funding settlement."""
    return int(number(row, "fundingRateTimestamp")), number(row, "fundingRate")


def liquidity(row: Row) -> Liquidity:
    """Return what a ticker says of how liquid a symbol is; 0 where it does not say."""
    return Liquidity(
        symbol=text(row, "symbol"),
        turnover_24h=optional(row, "turnover24h"),
        price=optional(row, "lastPrice"),
    )


def announced(row: Row) -> tuple[str, int]:
    """Return symbol and time of the next funding settlement, 0 where none is announced."""
    return text(row, "symbol"), int(optional(row, "nextFundingTime"))


def _side(row: Row) -> int:
    try:
        return SIDES[text(row, "side")]
    except KeyError:
        raise RowError(f"side is {row.get('side')!r}") from None


def fill(row: Row) -> Fill:
    """Return an execution."""
    kind = FillKind.ORDER
    stop_kind = str(row.get("stopOrderType") or "")
    if row.get("execType") in ("BustTrade", "AdlTrade"):
        kind = FillKind.LIQUIDATION
    elif stop_kind.endswith("StopLoss") or stop_kind == "TrailingStop":
        kind = FillKind.STOP
    elif stop_kind.endswith("TakeProfit"):
        kind = FillKind.TAKE
    return Fill(
        fill_id=text(row, "execId"),
        symbol=text(row, "symbol"),
        side=_side(row),
        quantity=number(row, "execQty"),
        price=number(row, "execPrice"),
        fee=number(row, "execFee"),
        time_ms=int(number(row, "execTime")),
        client_order_id=str(row.get("orderLinkId") or ""),
        kind=kind,
        reduce_only=0.0 < number(row, "execQty") <= optional(row, "closedSize"),
    )


def execution(row: Row) -> FillReceived | FundingPaid | None:
    """Return what an execution row is for the core, None where it is neither fill nor funding."""
    kind = text(row, "execType")
    if kind in TRADES:
        return FillReceived(fill=fill(row))
    if kind == "Funding":
        return FundingPaid(
            symbol=text(row, "symbol"),
            time_ms=int(number(row, "execTime")),
            amount=-number(row, "execFee"),
            rate=optional(row, "feeRate"),
        )
    return None


def order_update(row: Row) -> OrderUpdated:
    """Return an order row as news of one of our orders."""
    word = text(row, "orderStatus")
    if word not in STATUS:
        raise RowError(f"orderStatus {word!r} is not known")
    reason = str(row.get("rejectReason") or "")
    return OrderUpdated(
        client_order_id=text(row, "orderLinkId"),
        symbol=text(row, "symbol"),
        status=STATUS[word],
        time_ms=int(number(row, "updatedTime")),
        venue_order_id=text(row, "orderId"),
        filled_quantity=number(row, "cumExecQty"),
        reason="" if reason == "EC_NoError" else reason,
    )


def open_order(row: Row) -> VenueOrder:
    """Return an order row as something that rests at the venue."""
    return VenueOrder(
        symbol=text(row, "symbol"),
        client_order_id=str(row.get("orderLinkId") or ""),
        venue_order_id=text(row, "orderId"),
        side=_side(row),
        quantity=number(row, "qty"),
        filled_quantity=number(row, "cumExecQty"),
        price=optional(row, "price"),
        reduce_only=bool(row.get("reduceOnly")),
        protective=bool(row.get("stopOrderType")),
    )


def position(row: Row) -> VenuePosition | None:
    """Return a position row, None where it is flat."""
    size = number(row, "size")
    if size == 0.0:
        return None
    return VenuePosition(
        symbol=text(row, "symbol"),
        side=_side(row),
        quantity=size,
        entry_price=number(row, "avgPrice"),
        stop_price=optional(row, "stopLoss"),
        take_price=optional(row, "takeProfit"),
        mark_price=optional(row, "markPrice"),
        liquidation_price=optional(row, "liqPrice"),
    )


def held(row: Row) -> tuple[str, float]:
    """Return symbol and signed quantity of a position row, 0 where it is flat."""
    size = number(row, "size")
    return text(row, "symbol"), (_side(row) * size if size else 0.0)


def wallet_balance(reply: Any, currency: str = "USDT") -> float:
    """Return the wallet balance of ``currency``; a wallet without it is an unreadable reply."""
    for account in rows(reply):
        for coin in account.get("coin", ()):
            if coin.get("coin") == currency:
                return number(coin, "walletBalance")
    raise RowError(f"the wallet holds no {currency}; fund the account or check its type")


def free_margin(reply: Any) -> float:
    """Return what the account can still put up; infinite where the venue counts it per position."""
    for account in rows(reply):
        if account.get("totalAvailableBalance"):
            return number(account, "totalAvailableBalance")
    return math.inf


def candle(row: Any) -> Candle:
    """Return a kline row of REST: [start, open, high, low, close, volume, turnover]."""
    try:
        start, *numbers = (float(value) for value in row[:6])
        opened, high, low, close, volume = numbers
    except (TypeError, ValueError, KeyError):
        raise RowError(f"kline row {row!r} cannot be read") from None
    return _checked(
        Candle(open_ms=int(start), open=opened, high=high, low=low, close=close, volume=volume)
    )


def pushed_candle(row: Row) -> Candle:
    """Return a kline row of the socket."""
    return _checked(
        Candle(
            open_ms=int(number(row, "start")),
            open=number(row, "open"),
            high=number(row, "high"),
            low=number(row, "low"),
            close=number(row, "close"),
            volume=number(row, "volume"),
        )
    )


def _checked(candle: Candle) -> Candle:
    opened, close, low, high = candle.open, candle.close, candle.low, candle.high
    if not (0.0 < low <= opened <= high < math.inf and low <= close <= high):
        raise RowError(f"candle at {candle.open_ms} has impossible prices")
    if not 0.0 <= candle.volume < math.inf:
        raise RowError(f"candle at {candle.open_ms} has an impossible volume")
    return candle
