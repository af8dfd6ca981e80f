"""What everybody is shown after a move: klines, tickers, books and public trades.

Decides what each public topic says and in what portions it is said. Never moves the market. Rule:
a topic that nobody listens to costs nothing; between two portions the server answers its clients,
so that an order never waits for hundreds of klines.
"""

from collections.abc import Iterator

from executor.paper.exchange import Exchange
from executor.paper.market import Series
from executor.paper.replies import Row
from executor.paper.spans import SPANS
from executor.paper.topics import (
    book_message,
    kline_message,
    parse_topic,
    ticker_message,
    trade_message,
)

PORTION = 25


class Broadcast:
    """Publishes the public topics of one exchange, ``PORTION`` topics between two steps."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def bars(self, open_ms: int, now_ms: int) -> Iterator[None]:
        """Publish the klines that hold the base bar of ``open_ms``, as they stood at ``now_ms``."""
        exchange = self._exchange
        for number, topic in enumerate(list(exchange.hub.topics()), 1):
            parsed = parse_topic(exchange, topic)
            if parsed is not None and parsed[0] == "kline":
                _, code, series = parsed
                message = kline_message(exchange, topic, series, SPANS[code], (open_ms, now_ms))
                if message is not None:
                    exchange.hub.publish(topic, message)
            if number % PORTION == 0:
                yield

    def _present(self, topic: str, kind: str, detail: str, series: Series) -> Row | None:
        """Return what a topic other than klines has to say, if anything."""
        if kind == "tickers":
            return ticker_message(self._exchange, topic, series)
        if kind == "orderbook":
            return book_message(self._exchange, topic, series, int(detail))
        if kind == "publicTrade":
            return trade_message(self._exchange, topic, series)
        return None

    def prices(self) -> Iterator[None]:
        """Publish the present on every other topic."""
        exchange = self._exchange
        for number, topic in enumerate(list(exchange.hub.topics()), 1):
            parsed = parse_topic(exchange, topic)
            if parsed is not None:
                message = self._present(topic, *parsed)
                if message is not None:
                    exchange.hub.publish(topic, message)
            if number % PORTION == 0:
                yield
