"""The features of each bar, from the same streams the training data came from.

Decides which row of features a bar is handed out with: none while the volatility is not warm, NaN
for funding that is not certain, and only what the model was trained on, in its order. Never fetches
a bar. Rule: every bar goes through its symbol's stream once, in order.
"""

import asyncio
import math
from collections.abc import Sequence

import numpy as np

from executor.core.columns import VOLATILITY
from executor.market.settlements import Settlements
from features.catalog import Catalog
from features.stream import FeatureStream
from features.types import Candle, FloatArray, IntArray


class FeatureRows:
    """One stream a symbol."""

    def __init__(self, catalog: Catalog, interval_ms: int, settlements: Settlements) -> None:
        self._catalog = catalog
        self._interval_ms = interval_ms
        self._settlements = settlements
        self._streams: dict[str, FeatureStream] = {}
        self._columns: IntArray | None = None
        self._volatility = catalog.names.index(VOLATILITY)
        self._funded = [catalog.names.index(name) for name in catalog.funding_names]

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._streams

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols that have a stream."""
        return tuple(self._streams)

    def use_columns(self, names: Sequence[str]) -> None:
        """Hand out only these features, in this order: what the model was trained on."""
        known = self._catalog.names
        if tuple(names) == known:
            self._columns = None
        else:
            self._columns = np.array([known.index(name) for name in names], dtype=np.int64)

    async def streamed(self, symbol: str, rows: Sequence[Candle], newest_ms: int) -> FeatureStream:
        """Return a stream that has seen ``rows`` up to the bar that opens at ``newest_ms``."""
        stream = FeatureStream(self._catalog, self._interval_ms)
        past = [row for row in rows if row.open_ms <= newest_ms]
        for number, row in enumerate(past):
            stream.warm(row, self._rate(symbol, stream, row), len(past) - number)
            if number % 256 == 0:
                await asyncio.sleep(0)
        return stream

    def put(self, symbol: str, stream: FeatureStream) -> None:
        """Let a symbol's rows come from ``stream`` from now on."""
        self._streams[symbol] = stream

    def drop(self, symbol: str) -> None:
        """Forget a symbol."""
        self._streams.pop(symbol, None)

    def newest_ms(self, symbol: str) -> int:
        """Return the open of the newest bar that the symbol's stream has seen, 0 where none."""
        stream = self._streams.get(symbol)
        return (stream.last_open_ms or 0) if stream is not None else 0

    def row(self, symbol: str, candle: Candle) -> FloatArray | None:
        """Return the row that the model wants, None while the volatility is not warm."""
        stream = self._streams[symbol]
        row = stream.update(candle, self._rate(symbol, stream, candle))
        if not self._settlements.is_sure(symbol):
            row[self._funded] = math.nan
        if not row[self._volatility] > 0.0:
            return None
        return row if self._columns is None else row[self._columns]

    def _rate(self, symbol: str, stream: FeatureStream, candle: Candle) -> float | None:
        """Return the newest funding rate that was settled since the stream's last bar."""
        last_ms = stream.last_open_ms
        after_ms = candle.open_ms if last_ms is None else last_ms + self._interval_ms
        return self._settlements.rate(symbol, after_ms, candle.open_ms + self._interval_ms)
