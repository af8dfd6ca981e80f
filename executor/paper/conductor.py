"""What moves the market: in lockstep with its clients, or by the clock.

Decides when a bar is released, matched and pushed. Never decides a fill. Rule, in lockstep: the
close of a bar is pushed only after every private message before it was handled, and the next bar
begins only when every client has reported that close done; so nothing depends on anybody's speed.
"""

import asyncio
import math
from dataclasses import dataclass

from executor.paper.exchange import Exchange
from executor.paper.market import Running, Series
from executor.paper.mischief import Mischief
from executor.paper.pace import Pace
from executor.paper.rest_market import INTERVAL_CODES
from executor.paper.topics import (
    book_message,
    kline_message,
    parse_topic,
    ticker_message,
    trade_message,
)
from executor.paper.venue import matching
from executor.paper.venue.funding import settle
from features.errors import InputError

BARRIER_SECONDS = 5.0
TICKS_A_BAR_MAX = 60
TICKS_A_BAR_MIN = 3
TICK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Tick:
    """A point of a bar's public path: its share of the bar's time, its price, what lies ahead."""

    is_first: bool
    share: float
    price: float
    ahead_high: float
    ahead_low: float


class Conductor:
    """Runs the market of one exchange from its first bar to its last."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.mischief = Mischief(exchange)
        self.pace = Pace(exchange.clock, exchange.settings.speed)
        self._done: dict[str, int] = {}
        self._reported = asyncio.Event()
        self._settled_ms = exchange.market.now_ms - 1
        self.bars_done = 0
        self.close_ms = exchange.market.now_ms
        self.finished = False

    @property
    def bars_left(self) -> int:
        """Bars still to be streamed."""
        return int(self._exchange.market.opens.size) - self.bars_done

    def acknowledge(self, client: str, close_ms: int) -> bool:
        """Note that ``client`` has done everything up to ``close_ms``; say whether that is all.

        Raises
        ------
        InputError
            Where the close lies in the future.
        """
        if close_ms > self.close_ms:
            raise InputError(
                f"close_ms {close_ms} is in the future; the last close is {self.close_ms}"
            )
        self._done[client] = close_ms
        self._reported.set()
        return self.finished or close_ms >= self._exchange.market.end_ms

    @property
    def clients(self) -> dict[str, int]:
        """The last close that each client reported done."""
        return dict(self._done)

    async def run(self) -> None:
        """Stream every bar; afterwards the exchange answers and is otherwise silent."""
        is_lockstep = self.pace.speed == 0.0
        if is_lockstep:
            await self._everyone(-1)
        for open_ms in self._exchange.market.opens.tolist():
            at_once = await self.pace.begin(open_ms)
            self.mischief.begin_bar(self.bars_done + 1)
            if is_lockstep:
                self._opening(open_ms)
                self._whole_bar(open_ms)
                await self._exchange.hub.barrier(BARRIER_SECONDS)
                self._close(open_ms)
                await self._everyone(self.close_ms)
            else:
                await self._timed_bar(open_ms, at_once=at_once)
        self._settle_until(self._exchange.state.now_ms)
        self._exchange.match()
        self._exchange.holds_takers = False
        self.finished = True

    async def _everyone(self, close_ms: int) -> None:
        """Wait until as many clients as were announced have reported ``close_ms`` done."""
        wanted = self._exchange.settings.clients
        while sum(done >= close_ms for done in self._done.values()) < wanted:
            self._reported.clear()
            await self._reported.wait()

    def _opening(self, open_ms: int) -> None:
        """Book settlements up to the opening, then let waiting orders take at it.

        Orders of a symbol that has no bar here wait for its next one.
        """
        self._settle_until(open_ms)
        series = self._exchange.market.series
        self._exchange.match({s for s, one in series.items() if one.index_of(open_ms) >= 0})

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

    def _whole_bar(self, open_ms: int) -> None:
        """Walk the whole bar at once; its fills bear its opening time, as the simulation's do."""
        exchange = self._exchange
        for symbol, series in exchange.market.series.items():
            index = series.index_of(open_ms)
            if index >= 0:
                candle = series.candles.candle(index)
                price = series.instrument.price
                matching.walk(
                    exchange.state,
                    symbol,
                    matching.Path(
                        start=price(candle.open),
                        high=price(candle.high),
                        low=price(candle.low),
                        end=price(candle.close),
                    ),
                )
        exchange.publish()
        self._settle_until(open_ms + exchange.market.interval_ms - 1, mid_bar=True)

    def _close(self, open_ms: int) -> None:
        """Push the closed bars of all symbols, then the opening of the next ones."""
        exchange = self._exchange
        self.close_ms = open_ms + exchange.market.interval_ms
        self.bars_done += 1
        self.pace.end()
        exchange.state.now_ms = self.close_ms
        exchange.running.clear()
        self._push(open_ms, closed=True)
        exchange.stale_bars = max(0, exchange.stale_bars - 1)
        opens = exchange.market.opens
        following = self.close_ms
        if self.bars_done < opens.size:
            following = int(opens[self.bars_done])
        exchange.open_bar(following)
        self._push(following, closed=False)

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
        if exchange.stale_bars:
            return
        if series.index_of(open_ms) < 0:
            return
        message = kline_message(exchange, topic, series, length_ms, open_ms)
        if message is not None:
            exchange.hub.publish(topic, message)

    async def _timed_bar(self, open_ms: int, *, at_once: bool) -> None:
        """Stream one bar by the clock, in ticks where there is time for them."""
        exchange = self._exchange
        seconds = exchange.market.interval_ms / 1000 / self.pace.speed
        count = 0 if at_once else min(TICKS_A_BAR_MAX, int(seconds / TICK_SECONDS))
        self._opening(open_ms)
        if count < TICKS_A_BAR_MIN:
            if not at_once:
                await self.pace.until(exchange.clock.monotonic() + seconds)
            exchange.match()
            self._whole_bar(open_ms)
        else:
            await self._ticked_bar(open_ms, seconds, count)
        self._close(open_ms)
        exchange.match()
        # Even the fastest market lets its clients speak between two bars.
        await asyncio.sleep(0)

    async def _ticked_bar(self, open_ms: int, seconds: float, count: int) -> None:
        exchange, interval = self._exchange, self._exchange.market.interval_ms
        plans = {
            symbol: ticks(series, index, count)
            for symbol, series in exchange.market.series.items()
            if (index := series.index_of(open_ms)) >= 0
        }
        began = exchange.clock.monotonic()
        for number in range(count):
            await self.pace.until(began + seconds * (number + 1) / count)
            last = number == count - 1
            exchange.state.now_ms = open_ms + interval * (number + 1) // count - last
            self._settle_until(exchange.state.now_ms, mid_bar=True)
            for symbol in sorted(plans.keys() & exchange.running.keys()):
                self._tick(symbol, plans[symbol][number])
            exchange.match()
            if not last:
                self._push(open_ms, closed=False)

    def _tick(self, symbol: str, tick: Tick) -> None:
        """Move one symbol's price to the next point of its path."""
        exchange = self._exchange
        series, state = exchange.market.series[symbol], exchange.state
        start, price = state.prices[symbol], series.instrument.price(tick.price)
        matching.walk(
            state,
            symbol,
            matching.Path(
                start=start,
                high=max(start, price),
                low=min(start, price),
                end=price,
                is_opening=tick.is_first,
                ahead_high=series.instrument.price(tick.ahead_high),
                ahead_low=series.instrument.price(tick.ahead_low),
            ),
        )
        was = exchange.running[symbol]
        volume = float(series.candles.volume[series.index_of(was.open_ms)])
        exchange.running[symbol] = Running(
            open_ms=was.open_ms,
            high=max(was.high, tick.price),
            low=min(was.low, tick.price),
            close=tick.price,
            volume=round(volume * tick.share, 6),
        )


def ticks(series: Series, index: int, count: int) -> list[Tick]:
    """Return ``count`` points on the public path of bar ``index``: open, extremes, close.

    A bar that rises shows its low first, one that falls its high; both extremes are points.
    """
    candle, scale = series.candles.candle(index), 10.0**series.instrument.places
    rises = candle.close >= candle.open
    corners = [candle.low, candle.high] if rises else [candle.high, candle.low]
    stations = [candle.open, *corners, candle.close]
    prices: list[float] = []
    for number in range(1, count + 1):
        place = 3.0 * number / count
        leg = min(2, math.ceil(place) - 1)
        within = place - leg
        prices.append(
            round((stations[leg] * (1 - within) + stations[leg + 1] * within) * scale) / scale
        )
    for corner in (1, 2):
        prices[max(0, round(corner * count / 3) - 1)] = stations[corner]
    prices[-1] = candle.close
    return [
        Tick(
            is_first=number == 0,
            share=(number + 1) / count,
            price=price,
            ahead_high=max(prices[number:]),
            ahead_low=min(prices[number:]),
        )
        for number, price in enumerate(prices)
    ]
