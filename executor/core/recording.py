"""Recorded bars of many symbols on one grid of closes, looked up as they are needed.

Decides which bars close together and what a close knows of each symbol; makes a bar an object only
when somebody asks for it, for most bars of most symbols nobody does. Never decides a trade. Rule:
a recorded close answers every question exactly as one made of plain bars would.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from executor.core.events import HEALTHY, BarClosed, GateFacts
from executor.core.signal_source import SignalSource
from executor.core.types import Bar
from features.costs import SETTLEMENT_GRID_MS
from features.errors import InputError
from features.signals import Signal, SignalParams, primary_signal
from features.types import Candle, Candles, FloatArray, Funding, IntArray

CHUNK: Final = 1024
CHUNKS_KEPT: Final = 8
_NAN: Final = float("nan")
_PRICES: Final = ("open", "high", "low", "close", "volume")
Settled = Sequence[tuple[str, int, float]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tape:
    """What was recorded of one symbol.

    ``features`` has shape (n, k), None rows are not possible: NaN in the volatility means the row
    is not warm. ``volatility`` has shape (n,): ``volatility_96`` at each close.
    """

    symbol: str
    candles: Candles
    features: FloatArray
    volatility: FloatArray
    funding: Funding | None = None


class _Chunk:
    """Consecutive closes, arrays of shape (closes, tapes); bar -1 where a tape has none."""

    def __init__(self, tapes: Sequence[Tape], bars: IntArray) -> None:
        columns = {name: np.empty(bars.shape) for name in (*_PRICES, "volatility", "next_open")}
        for s, tape in enumerate(tapes):
            candles, at = tape.candles, np.maximum(bars[:, s], 0)
            for name in _PRICES:
                columns[name][:, s] = getattr(candles, name)[at]
            follows = candles.open_ms[at + 1] == candles.close_ms[at]
            columns["next_open"][:, s] = np.where(follows, candles.open[at + 1], candles.close[at])
            columns["volatility"][:, s] = tape.volatility[at]
        price = columns["close"]
        sound = (bars >= 0) & (price > 0.0) & (price < math.inf)
        self.bars = bars
        self.whole: NDArray[np.bool_] = np.all(sound, axis=1)
        self.close, self.volume = price, columns["volume"]
        self.volatility = columns["volatility"]
        self.table = np.stack(list(columns.values()), axis=-1)


class Recording:
    """Tapes on one grid: every close in [start_ms, stop_ms) with a following bar for some symbol.

    Symbols come in alphabetical order. ``signals`` answers for many rows at once; without it each
    row is asked for alone.

    Raises
    ------
    InputError
        Where there is no tape, or the tapes have bars of several lengths.
    """

    def __init__(
        self,
        tapes: Sequence[Tape],
        start_ms: int,
        stop_ms: int,
        facts: GateFacts = HEALTHY,
        signals: SignalSource | None = None,
    ) -> None:
        if len({tape.candles.interval_ms for tape in tapes}) != 1:
            raise InputError("a replay needs tapes of one bar interval; give at least one tape")
        self.tapes = sorted(tapes, key=lambda tape: tape.symbol)
        self.interval_ms = self.tapes[0].candles.interval_ms
        self.symbols = tuple(tape.symbol for tape in self.tapes)
        self.number = {symbol: s for s, symbol in enumerate(self.symbols)}
        self._facts = facts
        self._signals = signals
        closing = [tape.candles.close_ms[:-1] for tape in self.tapes]
        inside = [times[(times >= start_ms) & (times < stop_ms)] for times in closing]
        self.grid: IntArray = np.unique(np.concatenate(inside)) if inside else np.empty(0, np.int64)
        self.bars: IntArray = np.full((self.grid.size, len(self.tapes)), -1, dtype=np.int64)
        for s, (tape, times) in enumerate(zip(self.tapes, inside, strict=True)):
            first = int(np.searchsorted(tape.candles.close_ms, start_ms))
            places = np.searchsorted(self.grid, times)
            self.bars[places, s] = first + np.arange(times.size)
        self._close_ms: list[int] = self.grid.tolist()
        self._chunks: dict[int, _Chunk] = {}
        self._number, self._current = -1, _Chunk(self.tapes, self.bars[:0])
        self._found: dict[tuple[SignalParams, int], dict[int, list[tuple[int, Signal]]]] = {}
        times, self._settlements = _settlements(self.tapes, start_ms - self.interval_ms)
        self._paid_from: list[int] = np.searchsorted(times, self.grid - self.interval_ms).tolist()
        self._paid_to: list[int] = np.searchsorted(times, self.grid).tolist()

    def __iter__(self) -> Iterator["RecordedClose"]:
        """Yield the closes in order."""
        for place, close_ms in enumerate(self._close_ms):
            yield RecordedClose(self, place, close_ms, self._facts)

    def settled(self, place: int) -> Settled:
        """Return (symbol, time, rate) of the settlements from each bar's open to its close."""
        low, high = self._paid_from[place], self._paid_to[place]
        if low == high:
            return ()
        bars = self.row(place)
        found = [one for one in self._settlements[low:high] if bars[self.number[one[0]]] >= 0]
        return sorted(found, key=lambda one: one[0])

    def row(self, place: int) -> list[int]:
        """Return the bar of each tape at a close, -1 where it has none."""
        found: list[int] = self._chunk(place).bars[place % CHUNK].tolist()
        return found

    def prices(self, place: int) -> tuple[dict[str, float], dict[str, float]]:
        """Return close and volume by symbol; a close that is no price is left out."""
        chunk, k = self._chunk(place), place % CHUNK
        prices = dict(zip(self.symbols, chunk.close[k].tolist(), strict=True))
        volumes = dict(zip(self.symbols, chunk.volume[k].tolist(), strict=True))
        if chunk.whole[k]:
            return prices, volumes
        there = {s for s, bar in zip(self.symbols, chunk.bars[k].tolist(), strict=True) if bar >= 0}
        prices = {s: price for s, price in prices.items() if s in there and 0.0 < price < math.inf}
        return prices, {s: volume for s, volume in volumes.items() if s in there}

    def bar(self, place: int, s: int) -> Bar | None:
        """Return the bar of tape ``s`` at a close, None where it has none."""
        k, chunk = place % CHUNK, self._chunk(place)
        i = chunk.bars.item(k, s)
        if i < 0:
            return None
        tape = self.tapes[s]
        opened, high, low, close, volume, volatility, next_open = chunk.table[k, s].tolist()
        return Bar(
            symbol=tape.symbol,
            candle=Candle(
                open_ms=self._close_ms[place] - self.interval_ms,
                open=opened,
                high=high,
                low=low,
                close=close,
                volume=volume,
            ),
            next_open=next_open,
            features=None if math.isnan(volatility) else tape.features[i],
        )

    def volatility(self, place: int, s: int, *, warm: bool) -> float:
        """Return the volatility at the last bar of tape ``s`` up to a close; NaN before any.

        With ``warm``, at the last bar on which it was a number.
        """
        while place >= 0:
            k, chunk = place % CHUNK, self._chunk(place)
            if chunk.bars.item(k, s) >= 0:
                value = chunk.volatility.item(k, s)
                if not (warm and math.isnan(value)):
                    return value
            place -= 1
        return _NAN

    def signalled(
        self, place: int, columns: Mapping[str, int], params: SignalParams
    ) -> list[tuple[int, Signal]]:
        """Return (tape, signal) of each tape whose row at a close is warm and signals."""
        if self._signals is None:
            found = []
            for s, i in enumerate(self.row(place)):
                tape = self.tapes[s]
                if i >= 0 and tape.volatility[i] == tape.volatility[i]:
                    signal = primary_signal(tape.features[i], columns, params)
                    if signal.side:
                        found.append((s, signal))
            return found
        key = (params, place // CHUNK)
        known = self._found.get(key)
        if known is None:
            known = self._found[key] = self._search(place // CHUNK, self._signals, params)
            while len(self._found) > CHUNKS_KEPT:
                del self._found[next(iter(self._found))]
        return known.get(place, [])

    def _search(
        self, number: int, source: SignalSource, params: SignalParams
    ) -> dict[int, list[tuple[int, Signal]]]:
        """Return all signals of a chunk by place, tapes in order."""
        bars = self.bars[number * CHUNK : (number + 1) * CHUNK]
        found: dict[int, list[tuple[int, Signal]]] = {}
        for s, tape in enumerate(self.tapes):
            places = np.flatnonzero(bars[:, s] >= 0)
            if places.size == 0:
                continue
            rows = bars[places, s]
            first, last = int(rows[0]), int(rows[-1]) + 1
            all_found = source(tape.features[first:last], params)
            warm = tape.volatility[rows] == tape.volatility[rows]
            for k in np.flatnonzero((all_found.side[rows - first] != 0) & warm):
                at = int(rows[k]) - first
                signal = Signal(
                    side=int(all_found.side[at]),
                    score=float(all_found.score[at]),
                    confidence=float(all_found.confidence[at]),
                    rule=int(all_found.rule[at]),
                )
                found.setdefault(number * CHUNK + int(places[k]), []).append((s, signal))
        return found

    def _chunk(self, place: int) -> _Chunk:
        number = place // CHUNK
        if number == self._number:
            return self._current
        found = self._chunks.get(number)
        if found is None:
            bars = self.bars[number * CHUNK : (number + 1) * CHUNK]
            found = self._chunks[number] = _Chunk(self.tapes, bars)
            while len(self._chunks) > CHUNKS_KEPT:
                del self._chunks[next(iter(self._chunks))]
        self._number, self._current = number, found
        return found


class RecordedClose(BarClosed):
    """A close of a recording; equal in all it says to one made of plain bars."""

    __slots__ = ("_bars", "place", "recording")
    recording: Recording
    place: int
    _bars: Mapping[str, Bar]

    def __init__(self, recording: Recording, place: int, close_ms: int, facts: GateFacts) -> None:
        put = object.__setattr__
        put(self, "recording", recording)
        put(self, "place", place)
        put(self, "close_ms", close_ms)
        put(self, "facts", facts)
        put(self, "_bars", _Bars(recording, place))

    @property
    def bars(self) -> tuple[Bar, ...]:
        """All bars of this close, made for whoever asks."""
        return tuple(self._bars.values())

    def by_symbol(self) -> Mapping[str, Bar]:
        """Return the bars by symbol; each is made when it is first looked up."""
        return self._bars

    def prices(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return close and volume by symbol; a close that is no price is left out."""
        return self.recording.prices(self.place)

    def signalled(
        self, columns: Mapping[str, int], params: SignalParams
    ) -> list[tuple[Bar, FloatArray, Signal]]:
        """Return the bars whose features give a primary signal."""
        found = []
        for s, signal in self.recording.signalled(self.place, columns, params):
            bar = self._bars[self.recording.symbols[s]]
            if bar.features is not None:
                found.append((bar, bar.features, signal))
        return found


class _Bars(Mapping[str, Bar]):
    """The bars of a recorded close by symbol; those that were looked up are kept."""

    __slots__ = ("_made", "_place", "_recording")

    def __init__(self, recording: Recording, place: int) -> None:
        self._recording = recording
        self._place = place
        self._made: dict[str, Bar] = {}

    def __getitem__(self, symbol: str) -> Bar:
        bar = self._made.get(symbol)
        if bar is None:
            bar = self._recording.bar(self._place, self._recording.number[symbol])
            if bar is None:
                raise KeyError(symbol)
            self._made[symbol] = bar
        return bar

    def __iter__(self) -> Iterator[str]:
        row = self._recording.row(self._place)
        return (symbol for symbol, i in zip(self._recording.symbols, row, strict=True) if i >= 0)

    def __len__(self) -> int:
        return sum(i >= 0 for i in self._recording.row(self._place))


class LastVolatility(Mapping[str, float]):
    """The volatility of every symbol at its last bar up to a close.

    With ``warm``, at its last bar on which it was a number.
    """

    __slots__ = ("_place", "_recording", "_warm")

    def __init__(self, recording: Recording, place: int, *, warm: bool = False) -> None:
        self._recording = recording
        self._place = place
        self._warm = warm

    def __getitem__(self, symbol: str) -> float:
        s = self._recording.number[symbol]
        return self._recording.volatility(self._place, s, warm=self._warm)

    def __iter__(self) -> Iterator[str]:
        return iter(self._recording.symbols)

    def __len__(self) -> int:
        return len(self._recording.symbols)


def _settlements(
    tapes: Sequence[Tape], start_ms: int
) -> tuple[IntArray, list[tuple[str, int, float]]]:
    """Return all settlements from ``start_ms`` on, ascending by time, then in order of symbols."""
    times, rates, owners = [], [], []
    for s, tape in enumerate(tapes):
        if tape.funding is not None:
            stamps = tape.funding.time_ms
            times.append(stamps - stamps % SETTLEMENT_GRID_MS)
            rates.append(tape.funding.rate)
            owners.append(np.full(stamps.size, s))
    if not times:
        return np.empty(0, np.int64), []
    time_ms, rate, owner = (np.concatenate(parts) for parts in (times, rates, owners))
    order = np.lexsort((owner, time_ms))
    order = order[time_ms[order] >= start_ms]
    symbols = [tapes[s].symbol for s in owner[order].tolist()]
    found = zip(symbols, time_ms[order].tolist(), rate[order].tolist(), strict=True)
    return time_ms[order], list(found)
