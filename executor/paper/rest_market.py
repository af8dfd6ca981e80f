"""The public REST endpoints.

Decides the replies of ``/v5/market/*``: instruments, candles, tickers, order book, trades, funding.
Never shows anything after the market's present. Rule: a reply has the real one's fields; a book
and its trades are made up around the last price, and say nothing that the candles do not.
"""

import numpy as np

from executor.paper.calls import Call, Endpoint
from executor.paper.exchange import Exchange
from executor.paper.listings import instrument_row
from executor.paper.market import Series, Window, visible
from executor.paper.replies import Row, text
from executor.paper.spans import DAY_MS, HOUR_MS, SPANS, Span, span_of
from executor.paper.venue.errors import PARAMS_ERROR, VenueError

KLINES_MAX = 1000
BOOK_LOTS = 100  # what the best price of the made-up book offers
OPEN_INTEREST = "10000"


def time(call: Call) -> Row:
    """Return the server's wall time."""
    now = call.exchange.clock.now_ms()
    return {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}


def instruments(call: Call) -> Row:
    """Return what may be traded, or what has another status, where that is asked for."""
    status = call.params.text("status", "Trading")
    wanted = call.params.text("symbol")
    if not call.is_linear():
        return call.listing([])
    series, now = call.exchange.market.series, call.exchange.state.now_ms
    rows = (
        instrument_row(instrument, number, series[symbol].funding.interval_at(now))
        for number, (symbol, instrument) in enumerate(call.exchange.state.instruments.items(), 1)
        if wanted in ("", symbol)
    )
    return call.pages((row for row in rows if row["status"] == status), dict, 500, 1000)


def kline(call: Call) -> Row:
    """Return candles, newest first."""
    series = call.series()
    span: Span = call.params.choice("interval", SPANS)
    own = call.exchange.market.interval_ms
    if not span.is_made_of(own):
        least = span_of(own).code
        raise VenueError(
            PARAMS_ERROR, f"params error: interval invalid: {least} minutes or a multiple"
        )
    window = Window(
        start=call.params.time_or_none("start"),
        end=call.params.time_or_none("end"),
        limit=call.params.limit(200, KLINES_MAX),
    )
    now = call.exchange.state.now_ms
    running = call.exchange.running.get(series.instrument.symbol)
    candles = visible(series, span, window, now, running)
    places = series.instrument.places
    rows = [
        [
            str(open_ms),
            f"{opened:.{places}f}",
            f"{high:.{places}f}",
            f"{low:.{places}f}",
            f"{close:.{places}f}",
            repr(volume),
            f"{volume * close:.4f}",
        ]
        for open_ms, opened, high, low, close, volume in zip(
            candles.open_ms.tolist(),
            candles.open.tolist(),
            candles.high.tolist(),
            candles.low.tolist(),
            candles.close.tolist(),
            candles.volume.tolist(),
            strict=True,
        )
    ]
    return {"category": "linear", "symbol": series.instrument.symbol, "list": rows[::-1]}


def price_kline(call: Call) -> Row:
    """Return mark or index candles: those of the last price, without volume."""
    reply = kline(call)
    reply["list"] = [row[:5] for row in reply["list"]]
    return reply


def premium_kline(call: Call) -> Row:
    """Return premium candles: the mark price is the last price, so all are zero."""
    reply = kline(call)
    reply["list"] = [[row[0], "0", "0", "0", "0"] for row in reply["list"]]
    return reply


def ticker_row(exchange: Exchange, series: Series) -> Row:
    """Return a symbol's ticker."""
    instrument, state = series.instrument, exchange.state
    places, candles = instrument.places, series.candles
    last = float(state.prices[instrument.symbol])
    stop = int(np.searchsorted(candles.open_ms, state.now_ms))
    begin = int(np.searchsorted(candles.open_ms, state.now_ms - DAY_MS))
    hour = int(np.searchsorted(candles.open_ms, state.now_ms - HOUR_MS))
    running = exchange.running.get(instrument.symbol)
    high, low = (running.high, running.low) if running is not None else (last, last)
    high = max(high, float(candles.high[begin:stop].max(initial=last)))
    low = min(low, float(candles.low[begin:stop].min(initial=last)))
    volumes = candles.volume[begin:stop]
    turnover = float((volumes * candles.close[begin:stop]).sum())
    day_open = float(candles.open[begin]) if stop > begin else last
    hour_open = float(candles.open[hour]) if stop > hour else last
    rate = series.funding.rate_at(state.now_ms)
    tick = float(instrument.tick)
    volume = float(volumes.sum())
    size = text(instrument.lot * BOOK_LOTS)
    price = f"{last:.{places}f}"
    return {
        "symbol": instrument.symbol,
        "lastPrice": price,
        "indexPrice": price,
        "markPrice": price,
        "prevPrice24h": f"{day_open:.{places}f}",
        "price24hPcnt": f"{last / day_open - 1:.6f}",
        "highPrice24h": f"{high:.{places}f}",
        "lowPrice24h": f"{low:.{places}f}",
        "prevPrice1h": f"{hour_open:.{places}f}",
        "tickDirection": "PlusTick" if last >= day_open else "MinusTick",
        "openInterest": OPEN_INTEREST,
        "openInterestValue": f"{float(OPEN_INTEREST) * last:.2f}",
        "turnover24h": f"{turnover:.4f}",
        "volume24h": f"{volume:.4f}",
        "fundingRate": "" if rate is None else f"{rate + 0.0:.8f}".rstrip("0").rstrip("."),
        "nextFundingTime": str(series.funding.next_ms(state.now_ms, exchange.market.end_ms)),
        "fundingIntervalHour": str(series.funding.interval_at(state.now_ms) // 60),
        "fundingCap": "0.005",
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "basis": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "bid1Price": f"{last - tick:.{places}f}",
        "bid1Size": size,
        "ask1Price": f"{last + tick:.{places}f}",
        "ask1Size": size,
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }


def tickers(call: Call) -> Row:
    """Return one or all tickers."""
    if not call.is_linear():
        return {"category": call.params.text("category"), "list": []}
    exchange = call.exchange
    listed = [s for name, s in exchange.market.series.items() if exchange.is_listed(name)]
    chosen = [call.series()] if "symbol" in call.params else listed
    return {"category": "linear", "list": [ticker_row(exchange, series) for series in chosen]}


def book_levels(
    exchange: Exchange, series: Series, depth: int
) -> tuple[list[list[str]], list[list[str]]]:
    """Return made-up bids and asks: ``depth`` ticks on either side of the last price."""
    instrument = series.instrument
    last = exchange.state.prices[instrument.symbol]
    bids: list[list[str]] = []
    asks: list[list[str]] = []
    for step in range(1, depth + 1):
        size = text(instrument.lot * BOOK_LOTS * step)
        below = last - instrument.tick * step
        if below > 0:
            bids.append([text(below), size])
        asks.append([text(last + instrument.tick * step), size])
    return bids, asks


def orderbook(call: Call) -> Row:
    """Return the order book."""
    series = call.series()
    bids, asks = book_levels(call.exchange, series, call.params.limit(25, 500))
    now = call.exchange.state.now_ms
    return {
        "s": series.instrument.symbol,
        "b": bids,
        "a": asks,
        "ts": now,
        "u": call.exchange.state.numbers + 1,
        "seq": call.exchange.state.numbers + 1,
        "cts": now,
    }


def recent_trades(call: Call) -> Row:
    """Return recent public trades: one a closed bar, at its close."""
    series = call.series()
    now = call.exchange.state.now_ms
    own = call.exchange.market.interval_ms
    candles = visible(series, span_of(own), Window(limit=call.params.limit(60, KLINES_MAX)), now)
    symbol = series.instrument.symbol
    rows = [
        {
            "execId": f"{symbol}-{int(candles.open_ms[i])}",
            "symbol": symbol,
            "price": f"{float(candles.close[i]):.{series.instrument.places}f}",
            "size": repr(float(candles.volume[i])),
            "side": "Buy" if candles.close[i] >= candles.open[i] else "Sell",
            "time": str(min(now, int(candles.open_ms[i]) + own - 1)),
            "isBlockTrade": False,
            "isRPITrade": False,
        }
        for i in range(candles.n)
    ]
    return {"category": "linear", "list": rows[::-1]}


def funding_history(call: Call) -> Row:
    """Return settlements up to now, newest first."""
    series, params = call.series(), call.params
    start, end = params.integer_or_none("startTime"), params.integer_or_none("endTime")
    if start is not None and end is None:
        raise VenueError(PARAMS_ERROR, "params error: endTime is required with startTime")
    times = series.funding.time_ms
    now = call.exchange.state.now_ms
    stop = int(np.searchsorted(times, min(now, now if end is None else end), side="right"))
    begin = 0 if start is None else int(np.searchsorted(times, start))
    begin = max(begin, stop - params.limit(200, 200))
    rows = [
        {
            "symbol": series.instrument.symbol,
            "fundingRate": f"{float(series.funding.rate[i]):.8f}",
            "fundingRateTimestamp": str(int(times[i])),
        }
        for i in range(begin, max(begin, stop))
    ]
    return {"category": "linear", "list": rows[::-1]}


def risk_limit(call: Call) -> Row:
    """Return the risk tiers of one or all symbols."""
    wanted = call.params.text("symbol")
    rows = [
        {
            "id": number,
            "symbol": symbol,
            "riskLimitValue": text(tier.notional_max),
            "maintenanceMargin": text(tier.maintenance),
            "initialMargin": text(1 / tier.leverage_max),
            "isLowestRisk": int(number == 1),
            "maxLeverage": text(tier.leverage_max),
            "mmDeduction": text(tier.deduction),
        }
        for symbol, instrument in call.exchange.state.instruments.items()
        if wanted in ("", symbol)
        for number, tier in enumerate(instrument.tiers, 1)
    ]
    return call.pages(rows, dict, 500, 1000)


def open_interest(call: Call) -> Row:
    """Return the open interest, a constant that nothing depends on."""
    symbol = call.series().instrument.symbol
    row = {"openInterest": OPEN_INTEREST, "timestamp": str(call.exchange.state.now_ms)}
    return {"category": "linear", "symbol": symbol, "list": [row], "nextPageCursor": ""}


def server_status(call: Call) -> Row:
    """Return the running maintenance, if there is one."""
    if not call.exchange.is_closed:
        return {"list": []}
    notice: Row = {
        "id": "1",
        "title": "Maintenance",
        "state": "ongoing",
        "begin": str(call.exchange.clock.now_ms()),
        "end": "",
        "href": "",
        "serviceTypes": [2, 3, 5],
        "product": [1, 2],
        "uidSuffix": [],
        "maintainType": 2,
        "env": 1,
    }
    return {"list": [notice]}


ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "/v5/market/time"): time,
    ("GET", "/v5/market/instruments-info"): instruments,
    ("GET", "/v5/market/kline"): kline,
    ("GET", "/v5/market/mark-price-kline"): price_kline,
    ("GET", "/v5/market/index-price-kline"): price_kline,
    ("GET", "/v5/market/premium-index-price-kline"): premium_kline,
    ("GET", "/v5/market/tickers"): tickers,
    ("GET", "/v5/market/orderbook"): orderbook,
    ("GET", "/v5/market/recent-trade"): recent_trades,
    ("GET", "/v5/market/funding/history"): funding_history,
    ("GET", "/v5/market/risk-limit"): risk_limit,
    ("GET", "/v5/market/open-interest"): open_interest,
    ("GET", "/v5/system/status"): server_status,
}
