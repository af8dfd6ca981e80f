"""The moves of the market: a bar opens, goes on, and closes.

Decides what happens to the venue in each move and what is published. Never waits and never reads a
clock (the conductor does). Rule: every move is journaled before it is made, so that the same
entries make the same market.
"""

from collections.abc import Iterator
from itertools import chain

from executor.paper.broadcast import PORTION, Broadcast
from executor.paper.exchange import Exchange
from executor.paper.journal import Journal
from executor.paper.market import VOLUME_DECIMALS, Running
from executor.paper.mischief import Mischief
from executor.paper.ticks import Tick, ticks
from executor.paper.venue import matching
from executor.paper.venue.funding import settle


class Mover:
    """Moves one exchange's market; ``ticks_left`` is above 0 inside a bar that comes in ticks."""

    def __init__(self, exchange: Exchange, mischief: Mischief, journal: Journal) -> None:
        self._exchange = exchange
        self._mischief = mischief
        self._journal = journal
        self._settled_ms = exchange.market.now_ms - 1
        self._broadcast = Broadcast(exchange)
        self._news: Iterator[None] = iter(())
        self._here: list[str] = []
        self._plans: dict[str, list[Tick]] = {}
        self._count = 0
        self._moved = 0
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

    @property
    def _following_ms(self) -> int:
        """Opening of the bar that is open or comes next, after the last one its close."""
        return self.open_ms if self.bars_left else self.close_ms

    def begin(self, count: int) -> bool:
        """Open the next bar, which comes in ``count`` ticks, or at once where that is 0.

        Settlements up to the opening are booked first, then waiting orders take at it; those of a
        symbol that has no bar here wait for its next one. Says whether any order took.
        """
        self._journal.write(["begin", count])
        self._mischief.begin_bar(self.bars_done + 1, replayed=self._journal.is_replaying)
        exchange, open_ms = self._exchange, self.open_ms
        self.is_open, self.ticks_left, self._count = True, count, count
        series = exchange.market.series
        self._here = sorted(name for name in series if series[name].index_of(open_ms) >= 0)
        self._plans, self._moved = {}, 0
        self._settle_until(open_ms)
        told = exchange.log.lines
        exchange.match(self._here)
        return exchange.log.lines > told

    def show_opening(self) -> None:
        """Push the openings of the running bars once more; nothing moves."""
        self._show(self._bars(self._following_ms, self._exchange.state.now_ms))
        for _ in self.news():
            pass

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
                exchange.running[symbol] = Running(
                    open_ms=open_ms,
                    high=candle.high,
                    low=candle.low,
                    close=candle.close,
                    volume=candle.volume,
                )
        exchange.publish()
        self._settle_until(open_ms + exchange.market.interval_ms - 1, mid_bar=True)
        self._show(self._broadcast.prices())

    def tick(self) -> None:
        """Move the next ``PORTION`` symbols to the next point of their paths.

        A tick is over, and ``ticks_left`` less by one, when all symbols have moved.
        """
        self._journal.write(["tick"])
        exchange = self._exchange
        number = self._count - self.ticks_left
        if not self._moved:
            self._advance(number)
        for symbol in self._here[self._moved : self._moved + PORTION]:
            if symbol in exchange.running:
                self._tick(symbol, number)
        self._moved += PORTION
        exchange.match()
        if self._moved < len(self._here):
            return
        self._moved = 0
        self.ticks_left -= 1
        prices = self._broadcast.prices()
        if self.ticks_left:
            self._show(self._bars(self.open_ms, exchange.state.now_ms), prices)
        else:
            self._show(prices)  # the bar is shown when it closes

    def _advance(self, number: int) -> None:
        """Go on to the time of tick ``number`` of the bar."""
        state, interval = self._exchange.state, self._exchange.market.interval_ms
        last = number + 1 == self._count
        now_ms = self.open_ms + interval * (number + 1) // self._count - last
        state.now_ms = max(state.now_ms, now_ms)
        self._settle_until(state.now_ms, mid_bar=True)

    def close(self) -> None:
        """Close the bar and show the openings of the next ones."""
        self._journal.write(["close"])
        exchange, open_ms = self._exchange, self.open_ms
        self.is_open = False
        self.close_ms = open_ms + exchange.market.interval_ms
        self.bars_done += 1
        exchange.state.now_ms = self.close_ms
        exchange.running.clear()
        closed = self._bars(open_ms, self.close_ms)
        exchange.stale_bars = max(0, exchange.stale_bars - 1)
        following = self._following_ms
        exchange.open_bar(following)
        if not exchange.holds_takers:
            exchange.match()
        self._show(closed, self._bars(following, following), self._broadcast.prices())

    def _bars(self, open_ms: int, now_ms: int) -> Iterator[None]:
        """Return the klines to show, none where they have gone stale."""
        return iter(()) if self._exchange.stale_bars else self._broadcast.bars(open_ms, now_ms)

    def _show(self, *parts: Iterator[None]) -> None:
        """Let ``parts`` be the news of the move just made."""
        self._news = chain(*parts)

    def news(self) -> Iterator[None]:
        """Publish what the last move made known, some of it between two steps."""
        yield from self._news

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

    def _tick(self, symbol: str, number: int) -> None:
        """Move one symbol's price to the next point of its path."""
        exchange = self._exchange
        series, state = exchange.market.series[symbol], exchange.state
        if symbol not in self._plans:
            self._plans[symbol] = ticks(series, series.index_of(self.open_ms), self._count)
        tick = self._plans[symbol][number]
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
            volume=round(volume * tick.share, VOLUME_DECIMALS),
        )
