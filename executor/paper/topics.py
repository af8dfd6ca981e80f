"""The public streams: which topics there are and what they say.

Decides the messages of klines, tickers, books and trades. Never decides when the market moves (the
conductor does). Rule: a topic that nobody listens to costs nothing; a message shows the market's
present and nothing beyond it.
"""

from executor.paper.exchange import Exchange
from executor.paper.market import Series, Window, bar_at, visible
from executor.paper.replies import Row
from executor.paper.rest_market import book_levels, ticker_row
from executor.paper.spans import SPANS, Span

DEPTHS = ("1", "50", "200", "1000")


def parse_topic(exchange: Exchange, topic: str) -> tuple[str, str, Series] | None:
    """Return a topic's kind, detail and series, or None where there is no such topic."""
    parts = topic.split(".")
    series = exchange.market.series.get(parts[-1])
    if series is None or not exchange.is_listed(parts[-1]):
        return None
    kind, detail = parts[0], parts[1] if len(parts) == 3 else ""
    if len(parts) == 3 and kind == "kline":
        span = SPANS.get(detail)
        known = span is not None and span.is_made_of(exchange.market.interval_ms)
    elif len(parts) == 3:
        known = kind == "orderbook" and detail in DEPTHS
    else:
        known = len(parts) == 2 and kind in ("tickers", "publicTrade", "allLiquidation")
    return (kind, detail, series) if known else None


def first_message(exchange: Exchange, topic: str) -> Row | None:
    """Return the snapshot that a subscriber gets at once, if the topic has one."""
    parsed = parse_topic(exchange, topic)
    if parsed is None:
        return None
    kind, detail, series = parsed
    if kind == "tickers":
        return ticker_message(exchange, topic, series, "snapshot")
    if kind == "orderbook":
        return book_message(exchange, topic, series, int(detail))
    return None


def ticker_message(exchange: Exchange, topic: str, series: Series, kind: str) -> Row:
    """Return a ticker message."""
    return {
        "topic": topic,
        "type": kind,
        "data": ticker_row(exchange, series),
        "cs": exchange.state.numbers,
        "ts": exchange.state.now_ms,
    }


def book_message(exchange: Exchange, topic: str, series: Series, depth: int) -> Row:
    """Return a whole book."""
    bids, asks = book_levels(exchange, series, depth)
    now, number = exchange.state.now_ms, exchange.state.numbers + 1
    return {
        "topic": topic,
        "type": "snapshot",
        "ts": now,
        "data": {
            "s": series.instrument.symbol,
            "b": bids,
            "a": asks,
            "u": number,
            "seq": number,
        },
        "cts": now,
    }


def trade_message(exchange: Exchange, topic: str, series: Series, volume: float) -> Row:
    """Return one public trade at the last price."""
    symbol, now = series.instrument.symbol, exchange.state.now_ms
    number = exchange.state.numbers
    trade = {
        "T": now,
        "s": symbol,
        "S": "Buy",
        "v": repr(volume),
        "p": f"{exchange.state.prices[symbol]:f}",
        "L": "ZeroPlusTick",
        "i": exchange.state.identifier(f"trade-{symbol}-{now}", number),
        "BT": False,
        "RPI": False,
        "seq": number,
    }
    return {"topic": topic, "type": "snapshot", "ts": now, "data": [trade]}


def kline_message(
    exchange: Exchange, topic: str, series: Series, span: Span, at: tuple[int, int]
) -> Row | None:
    """Return the bar of ``span`` that holds a base bar, as it stood at a time.

    ``at`` are the base bar's opening and that time. None where the symbol has no such bar.
    """
    open_ms, now = at
    symbol, places = series.instrument.symbol, series.instrument.places
    bar = bar_at(series, open_ms, now, exchange.running.get(symbol))
    if bar is not None and span.most_ms != series.candles.interval_ms:
        window = Window(start=span.start(open_ms), end=open_ms, limit=1)
        bars = visible(series, span, window, now, exchange.running.get(symbol))
        bar = bars.candle(0) if bars.n else None
    if bar is None:
        return None
    following = span.following(bar.open_ms)
    row = {
        "start": bar.open_ms,
        "end": following - 1,
        "interval": span.code,
        "open": f"{bar.open:.{places}f}",
        "close": f"{bar.close:.{places}f}",
        "high": f"{bar.high:.{places}f}",
        "low": f"{bar.low:.{places}f}",
        "volume": repr(bar.volume),
        "turnover": f"{bar.volume * bar.close:.4f}",
        "confirm": following <= now,
        "timestamp": now,
    }
    return {"topic": topic, "type": "snapshot", "ts": exchange.clock.now_ms(), "data": [row]}
