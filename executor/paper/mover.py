"""The moves of the market: a bar opens, goes on, and closes.

Decides what happens to the venue in each move and what is published. Never waits and never reads a
clock (the conductor does). Rule: every move is journaled before it is made, so that the same
entries make the same market.
"""

from executor.paper.exchange import Exchange
from executor.paper.journal import Journal
from executor.paper.market import Running, Series
from executor.paper.mischief import Mischief
from executor.paper.rest_market import INTERVAL_CODES
from executor.paper.ticks import Tick, ticks
from executor.paper.topics import (
    book_message,
    kline_message,
    parse_topic,
    ticker_message,
    trade_message,
)
from executor.paper.venue import matching
from executor.paper.venue.funding import settle


class Mover:
    """Moves one exchange's market; ``ticks_left`` is above 0 inside a bar that comes in ticks."""

    def __init__(self, exchange: Exchange, mischief: Mischief, journal: Journal) -> None:
        self._exchange = exchange
        self._mischief = mischief
        self._journal = journal
        self._settled_ms = exchange.market.now_ms - 1
        self._plans: dict[str, list[Tick]] = {}
        self._count = 0
        self.is_open = False
        self.ticks_left = 0
        self.bars_done = 0
        self.close_ms = exchange.market.now_ms
        self.finished = False

    @property
    def bars_left(self) -> int:
        """Bars still to be streamed."""
        return int(self._exchange.market.opens.size) - self.bars_done

    @property
    def open_ms(self) -> int:
        """Opening of the bar that is open or comes next."""
        return int(self._exchange.market.opens[self.bars_done])

    def begin(self, count: int) -> bool:
        """Open the next bar, which comes in ``count`` ticks, or at once where that is 0.

        Settlements up to the opening are booked first, then waiting orders take at it; those of a
        symbol that has no bar here wait for its next one. Says whether any order took.
        """
        self._journal.write(["begin", count])
        self._mischief.begin_bar(self.bars_done + 1, replayed=self._journal.is_replaying)
        exchange, open_ms = self._exchange, self.open_ms
        self.is_open, self.ticks_left, self._count = True, count, count
        here = {
            symbol: index
            for symbol, series in exchange.market.series.items()
            if (index := series.index_of(open_ms)) >= 0
        }
        self._settle_until(open_ms)
        told = exchange.log.lines
        exchange.match(here)
        self._plans = {}
        if count:
            series = exchange.market.series
            self._plans = {symbol: ticks(series[symbol], i, count) for symbol, i in here.items()}
        return exchange.log.lines > told

    def show_opening(self) -> None:
        """Push the openings of the running bars once more; nothing moves."""
        exchange = self._exchange
        for topic in exchange.hub.topics():
            parsed = parse_topic(exchange, topic)
            if parsed is not None and parsed[0] == "kline":
                self._push_kline(topic, parsed[2], INTERVAL_CODES[parsed[1]], self.open_ms)

    def whole(self) -> None:
        """Walk the whole bar at once; its fills bear its opening time, as the simulation's do."""
        self._journal.write(["whole"])
        exchange, open_ms = self._exchange, self.open_ms
        exchange.match()
        for symbol, series in exchange.market.series.items():
            index = series.index_of(open_ms)
            if index >= 0:
                candle = series.candles.candle(index)
                price = series.instrument.price
                path = matching.Path(
                    start=price(candle.open),
                    high=price(candle.high),
                    low=price(candle.low),
                    end=price(candle.close),
                )
                matching.walk(exchange.state, symbol, path)
        exchange.publish()
        self._settle_until(open_ms + exchange.market.interval_ms - 1, mid_bar=True)

    def tick(self) -> None:
        """Move every price to the next point of its path."""
        self._journal.write(["tick"])
        exchange, interval = self._exchange, self._exchange.market.interval_ms
        number = self._count - self.ticks_left
        self.ticks_left -= 1
        last = self.ticks_left == 0
        now_ms = self.open_ms + interval * (number + 1) // self._count - last
        exchange.state.now_ms = max(exchange.state.now_ms, now_ms)
        self._settle_until(exchange.state.now_ms, mid_bar=True)
        for symbol in sorted(self._plans.keys() & exchange.running.keys()):
            self._tick(symbol, self._plans[symbol][number])
        exchange.match()
        if not last:
            self._push(self.open_ms, closed=False)

    def close(self) -> None:
        """Push the closed bars of all symbols, then the opening of the next ones."""
        self._journal.write(["close"])
        exchange, open_ms = self._exchange, self.open_ms
        self.is_open = False
        self.close_ms = open_ms + exchange.market.interval_ms
        self.bars_done += 1
        exchange.state.now_ms = self.close_ms
        exchange.running.clear()
        self._push(open_ms, closed=True)
        exchange.stale_bars = max(0, exchange.stale_bars - 1)
        following = self.open_ms if self.bars_left else self.close_ms
        exchange.open_bar(following)
        self._push(following, closed=False)
        if not exchange.holds_takers:
            exchange.match()

    def finish(self) -> None:
        """End the stream: what waits is filled, and from now on everything is filled at once."""
        self._journal.write(["finish"])
        self._settle_until(self._exchange.state.now_ms)
        self._exchange.match()
        self._exchange.holds_takers = False
        self.finished = True

    def _settle_until(self, time_ms: int, *, mid_bar: bool = False) -> None:
        """Book the settlements since the last ones up to ``time_ms``."""
        state = self._exchange.state
        for symbol, series in self._exchange.market.series.items():
            times = series.funding.time_ms
            begin = int(times.searchsorted(self._settled_ms, side="right"))
            for index in range(begin, int(times.searchsorted(time_ms, side="right"))):
                settled_ms = int(times[index])
                mark = state.prices[symbol]
                if mid_bar:
                    mark = series.instrument.price(series.opening_at(settled_ms))
                state.now_ms = max(state.now_ms, settled_ms)
                settle(state, symbol, float(series.funding.rate[index]), mark)
        self._settled_ms = time_ms
        self._exchange.publish()

    def _tick(self, symbol: str, tick: Tick) -> None:
        """Move one symbol's price to the next point of its path."""
        exchange = self._exchange
        series, state = exchange.market.series[symbol], exchange.state
        start, price = state.prices[symbol], series.instrument.price(tick.price)
        path = matching.Path(
            start=start,
            high=max(start, price),
            low=min(start, price),
            end=price,
            is_opening=tick.is_first,
            ahead_high=series.instrument.price(tick.ahead_high),
            ahead_low=series.instrument.price(tick.ahead_low),
        )
        matching.walk(state, symbol, path)
        was = exchange.running[symbol]
        volume = float(series.candles.volume[series.index_of(was.open_ms)])
        exchange.running[symbol] = Running(
            open_ms=was.open_ms,
            high=max(was.high, tick.price),
            low=min(was.low, tick.price),
            close=tick.price,
            volume=round(volume * tick.share, 6),
        )

    def _push(self, open_ms: int, *, closed: bool) -> None:
        """Publish what the present looks like on every topic that somebody listens to."""
        exchange = self._exchange
        for topic in exchange.hub.topics():
            parsed = parse_topic(exchange, topic)
            if parsed is None:
                continue
            kind, detail, series = parsed
            if kind == "kline":
                self._push_kline(topic, series, INTERVAL_CODES[detail], open_ms)
            elif kind == "tickers":
                exchange.hub.publish(topic, ticker_message(exchange, topic, series, "delta"))
            elif kind == "orderbook" and not closed:
                exchange.hub.publish(topic, book_message(exchange, topic, series, int(detail)))
            elif kind == "publicTrade" and not closed:
                exchange.hub.publish(topic, trade_message(exchange, topic, series, 1.0))

    def _push_kline(self, topic: str, series: Series, length_ms: int, open_ms: int) -> None:
        exchange = self._exchange
        if exchange.stale_bars or series.index_of(open_ms) < 0:
            return
        message = kline_message(exchange, topic, series, length_ms, open_ms)
        if message is not None:
            exchange.hub.publish(topic, message)
