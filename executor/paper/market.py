"""The market that is replayed: candles, funding and what is visible of them at a time.

Decides which bars a client may see, on which tick, and how bars are added up to longer ones.
Never matches an order. Rule: columns stay numpy arrays and are formatted on reply; nothing after
the running bar's opening price is visible before its time.
"""

from dataclasses import dataclass, replace

import numpy as np

from executor.paper.schedule import Schedule, schedule_of
from executor.paper.spans import Span, span_of
from executor.paper.venue.instruments import Instrument, instrument_for
from features.errors import InputError
from features.types import Candle, Candles, FloatArray, Funding, IntArray

VOLUME_DECIMALS = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One symbol: candles on the tick, settlements on the minute."""

    instrument: Instrument
    candles: Candles
    funding: Schedule

    def index_of(self, open_ms: int) -> int:
        """Return the index of the bar that opens at ``open_ms``, or -1."""
        index = int(self.candles.open_ms.searchsorted(open_ms))
        if index < self.candles.n and int(self.candles.open_ms[index]) == open_ms:
            return index
        return -1

    def index_before(self, time_ms: int) -> int:
        """Return the index of the last bar that opened before ``time_ms``, or -1."""
        return int(np.searchsorted(self.candles.open_ms, time_ms)) - 1

    def without(self, index: int) -> "Series":
        """Return the series without bar ``index``."""
        kept = np.arange(self.candles.n) != index
        bars = self.candles
        return replace(
            self,
            candles=Candles(
                interval_ms=bars.interval_ms,
                open_ms=bars.open_ms[kept],
                open=bars.open[kept],
                high=bars.high[kept],
                low=bars.low[kept],
                close=bars.close[kept],
                volume=bars.volume[kept],
            ),
        )

    def opening_at(self, time_ms: int) -> float:
        """Return the opening price of the bar that holds ``time_ms``."""
        index = int(np.searchsorted(self.candles.open_ms, time_ms, side="right")) - 1
        return float(self.candles.open[max(0, index)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Market:
    """All symbols; ``opens`` are the bar openings to stream, beginning at ``now_ms``."""

    interval: str
    interval_ms: int
    now_ms: int
    opens: IntArray
    series: dict[str, Series]

    @property
    def end_ms(self) -> int:
        """Close of the last bar to stream."""
        return int(self.opens[-1]) + self.interval_ms


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recorded:
    """A symbol's raw market, before it is put on a tick."""

    symbol: str
    candles: Candles
    funding: Funding


def on_tick(recorded: Recorded) -> Series:
    """Return a symbol's series with prices on its tick and settlements on the minute."""
    candles = recorded.candles
    prices = np.concatenate([candles.open, candles.high, candles.low, candles.close])
    instrument = instrument_for(
        recorded.symbol,
        prices if prices.size < 40_000 else prices[:: prices.size // 40_000 + 1],
    )
    return Series(
        instrument=instrument,
        candles=_snap(candles, float(instrument.tick)),
        funding=schedule_of(recorded.funding),
    )


def _snap(candles: Candles, tick: float) -> Candles:
    """Return ``candles`` with every price the double nearest to a multiple of ``tick``."""
    scale = round(1.0 / tick)

    def snapped(column: FloatArray) -> FloatArray:
        return np.maximum(np.rint(column * scale), 1.0) / scale

    return Candles(
        interval_ms=candles.interval_ms,
        open_ms=candles.open_ms,
        open=snapped(candles.open),
        high=snapped(candles.high),
        low=snapped(candles.low),
        close=snapped(candles.close),
        volume=np.round(candles.volume, VOLUME_DECIMALS),
    )


def build(
    series: dict[str, Series], interval: str, interval_ms: int, now_ms: int | None, bars: int | None
) -> Market:
    """Return a market that streams ``bars`` bars from ``now_ms`` on.

    Without ``now_ms`` the first four fifths of the common history come before it.

    Raises
    ------
    InputError
        Where some symbol has no bar before or after ``now_ms``, or there are too few bars.
    """
    first = max(int(one.candles.open_ms[0]) for one in series.values())
    last = min(int(one.candles.open_ms[-1]) for one in series.values())
    if first >= last:
        raise InputError("the symbols' candles do not overlap in time; choose others")
    if now_ms is None:
        now_ms = first + (last - first) * 4 // 5
        now_ms -= now_ms % interval_ms
    if now_ms % interval_ms:
        raise InputError(f"--now {now_ms} is not the opening of a {interval} bar")
    if not first < now_ms < last:
        raise InputError(
            f"--now {now_ms} is outside the candles of all symbols: give {first + interval_ms} "
            f"to {last - interval_ms}"
        )
    # The bar after the last one is there too, so that every close is followed by an opening.
    streamed = (one.candles.open_ms for one in series.values())
    opens = np.unique(np.concatenate([t[slice(*t.searchsorted((now_ms, last)))] for t in streamed]))
    if bars is not None:
        if opens.size < bars:
            raise InputError(f"--bars {bars}: only {opens.size} bars lie at or after --now")
        opens = opens[:bars]
    return Market(
        interval=interval, interval_ms=interval_ms, now_ms=now_ms, opens=opens, series=series
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What has happened so far in the bar that is not closed yet."""

    open_ms: int
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which bars are asked for: inclusive bounds of their open times, UTC ms, and how many."""

    start: int | None = None
    end: int | None = None
    limit: int


def visible(
    series: Series,
    span: Span,
    window: Window,
    now_ms: int,
    running: Running | None = None,
) -> Candles:
    """Return the bars of ``span`` in ``window`` as seen at ``now_ms``, ascending.

    As the venue does it: ``start`` alone gives the first bars from it on, anything else the last
    bars up to ``end``. The running bar shows what has happened of it so far.
    ``span`` must be made of the series' own bars.
    """
    open_ms, factor = series.candles.open_ms, span.most_ms // series.candles.interval_ms
    begin, stop = 0, int(np.searchsorted(open_ms, now_ms, side="right"))
    if window.start is not None:
        begin = int(np.searchsorted(open_ms, span.ceiling(window.start)))
    if window.end is not None:
        stop = min(stop, int(np.searchsorted(open_ms, span.following(window.end))))
    # One bucket more than is wanted, so that the outermost one that is shown is whole.
    reach = window.limit if factor == 1 else (window.limit + 1) * factor
    from_start = window.start is not None and window.end is None
    if from_start:
        stop = min(stop, begin + reach)
    else:
        begin = max(begin, stop - reach)
    part = _so_far(series.candles.slice(begin, max(begin, stop)), now_ms, running)
    if factor == 1:
        return part
    whole = added_up(part, span)
    first = 0 if from_start else max(0, whole.n - window.limit)
    return whole.slice(first, min(whole.n, first + window.limit))


def until(series: Series, now_ms: int, running: Running | None) -> Series:
    """Return the series as it ends at ``now_ms``; a bar that only opens then is not there."""
    span, every = span_of(series.candles.interval_ms), Window(limit=series.candles.n)
    return replace(series, candles=visible(series, span, every, now_ms - 1, running))


def going_on(ended: Series, whole: Series, now_ms: int) -> Series:
    """Return a series that ended, and goes on with the bars of ``whole`` from ``now_ms`` on."""
    first = int(whole.candles.open_ms.searchsorted(now_ms))
    before, after = ended.candles, whole.candles.slice(first, whole.candles.n)
    return replace(
        ended,
        candles=Candles(
            interval_ms=before.interval_ms,
            open_ms=np.concatenate([before.open_ms, after.open_ms]),
            open=np.concatenate([before.open, after.open]),
            high=np.concatenate([before.high, after.high]),
            low=np.concatenate([before.low, after.low]),
            close=np.concatenate([before.close, after.close]),
            volume=np.concatenate([before.volume, after.volume]),
        ),
    )


def _so_far(part: Candles, now_ms: int, running: Running | None) -> Candles:
    """Hide what the running bar has not shown yet."""
    if not part.n or int(part.open_ms[-1]) + part.interval_ms <= now_ms:
        return part
    seen = running
    if seen is None or seen.open_ms != int(part.open_ms[-1]):
        price = float(part.open[-1])
        seen = Running(
            open_ms=int(part.open_ms[-1]), high=price, low=price, close=price, volume=0.0
        )
    return Candles(
        interval_ms=part.interval_ms,
        open_ms=part.open_ms,
        open=part.open,
        high=np.append(part.high[:-1], seen.high),
        low=np.append(part.low[:-1], seen.low),
        close=np.append(part.close[:-1], seen.close),
        volume=np.append(part.volume[:-1], seen.volume),
    )


def bar_at(series: Series, open_ms: int, now_ms: int, running: Running | None) -> Candle | None:
    """Return the bar of ``open_ms`` as seen at ``now_ms``; None where there is none.

    The same as ``visible`` with the series' own interval, for the one bar that streams show.
    """
    index = series.index_of(open_ms)
    if index < 0 or open_ms > now_ms:
        return None
    whole = series.candles.candle(index)
    if open_ms + series.candles.interval_ms <= now_ms:
        return whole
    if running is None or running.open_ms != open_ms:
        running = Running(
            open_ms=open_ms, high=whole.open, low=whole.open, close=whole.open, volume=0.0
        )
    return Candle(
        open_ms=open_ms,
        open=whole.open,
        high=running.high,
        low=running.low,
        close=running.close,
        volume=running.volume,
    )


def added_up(candles: Candles, span: Span) -> Candles:
    """Return ``candles`` added up to those of ``span``, which is made of their length."""
    begins = span.starts(candles.open_ms)
    starts = np.flatnonzero(np.diff(begins, prepend=-1))
    if not starts.size:
        return replace(candles, interval_ms=span.most_ms)
    ends = np.append(starts[1:], candles.n) - 1
    volume: FloatArray = np.add.reduceat(candles.volume, starts)
    return Candles(
        interval_ms=span.most_ms,
        open_ms=begins[starts],
        open=candles.open[starts],
        high=np.maximum.reduceat(candles.high, starts),
        low=np.minimum.reduceat(candles.low, starts),
        close=candles.close[ends],
        volume=volume.round(VOLUME_DECIMALS),
    )
