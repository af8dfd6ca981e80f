"""The public streams: which topics there are and what they say.

Decides the messages of klines, tickers, books and trades. Never decides when the market moves (the
conductor does). Rule: a topic that nobody listens to costs nothing; a message shows the market's
present and nothing beyond it.
"""

from executor.paper.deltas import Levels, changed_fields, changed_levels
from executor.paper.exchange import Exchange
from executor.paper.market import VOLUME_DECIMALS, Series, Window, bar_at, visible
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
    alone = exchange.hub.count(topic) < 2
    if kind == "tickers":
        row = exchange.deltas.begin(topic, ticker_row(exchange, series), alone=alone)
        return _ticker(exchange, topic, "snapshot", row)
    if kind == "orderbook":
        book = exchange.deltas.begin(topic, _sides(exchange, series, int(detail)), alone=alone)
        return _book(exchange, topic, "snapshot", book)
    return None


def ticker_message(exchange: Exchange, topic: str, series: Series) -> Row | None:
    """Return what has changed of a ticker, None where nothing has."""
    row = ticker_row(exchange, series)
    changed = changed_fields(exchange.deltas.change(topic, row), row)
    if not changed:
        return None
    return _ticker(exchange, topic, "delta", {"symbol": row["symbol"], **changed})


def _ticker(exchange: Exchange, topic: str, kind: str, row: Row) -> Row:
    number, now = exchange.deltas.number(topic), exchange.state.now_ms
    return {"topic": topic, "type": kind, "data": row, "cs": number, "ts": now}


def _sides(exchange: Exchange, series: Series, depth: int) -> dict[str, Levels]:
    bids, asks = book_levels(exchange, series, depth)
    return {"b": dict(bids), "a": dict(asks)}


def book_message(exchange: Exchange, topic: str, series: Series, depth: int) -> Row | None:
    """Return what has changed of a book, None where nothing has."""
    book = _sides(exchange, series, depth)
    before = exchange.deltas.change(topic, book)
    changed = {side: changed_levels(before.get(side, {}), book[side]) for side in book}
    return _book(exchange, topic, "delta", changed) if any(changed.values()) else None


def _book(exchange: Exchange, topic: str, kind: str, sides: dict[str, Levels]) -> Row:
    now, number = exchange.state.now_ms, exchange.deltas.number(topic)
    return {
        "topic": topic,
        "type": kind,
        "ts": now,
        "data": {
            "s": topic.rsplit(".", 1)[1],
            "b": [[price, size] for price, size in sides["b"].items()],
            "a": [[price, size] for price, size in sides["a"].items()],
            "u": number,
            "seq": number,
        },
        "cts": now,
    }


def trade_message(exchange: Exchange, topic: str, series: Series) -> Row | None:
    """Return a public trade at the last price, for what the running bar has gained in volume."""
    symbol, now = series.instrument.symbol, exchange.state.now_ms
    running = exchange.running.get(symbol)
    if running is None:
        return None
    said = {"open": running.open_ms, "volume": running.volume, "price": running.close}
    before = exchange.deltas.change(topic, said)
    gained = running.volume - (before["volume"] if before.get("open") == running.open_ms else 0.0)
    if gained <= 0.0:
        return None
    number = exchange.deltas.number(topic)
    moved = running.close - before.get("price", running.close)
    trade = {
        "T": now,
        "s": symbol,
        "S": "Buy" if moved >= 0.0 else "Sell",
        "v": repr(round(gained, VOLUME_DECIMALS)),
        "p": f"{exchange.state.prices[symbol]:f}",
        "L": "PlusTick" if moved > 0.0 else "MinusTick" if moved < 0.0 else "ZeroPlusTick",
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
