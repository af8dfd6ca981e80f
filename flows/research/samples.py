"""From markets and a recipe to the pooled rows that models train on.

Decides which bars become events (a tradable primary signal with every feature present), labels and
weighs them, and puts all symbols in one pool by time. Never fits and never splits. Rule: a symbol
without an event is left out with the reason; a row whose label the data cut short, or whose span
crosses a gap (``flows.lake.quarantine``), is dropped, and the latter are counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from features.errors import InputError
from features.labels import Barriers, triple_barrier
from features.meta import model_matrix, model_names
from features.signals_batch import Signals, signals_batch
from features.types import FloatArray, IntArray
from flows.lake.quarantine import crosses_gap
from flows.research.book import Prices, RoundTrips
from flows.research.concurrency import entry_weights
from flows.research.market import Dataset, Market, price_tick
from flows.research.recipe import Recipe
from flows.research.table import BATCH, Table


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Labelled events of all symbols, ascending by decision time; arrays of shape (n,).

    ``x`` has len(names) columns; ``symbol`` numbers ``symbols``; ``weight`` comes of
    :func:`entry_weights`; [``start_ms``, ``end_ms``] is the closed span from decision to the
    label's end.
    ``dropped`` counts, by symbol, the labels that were not used because a bar is missing inside.
    Where rows are ``apart``, each symbol's teach a model of its own.
    """

    names: tuple[str, ...]
    symbols: tuple[str, ...]
    left_out: Mapping[str, str]
    x: Table
    label: NDArray[np.int8]
    net: FloatArray
    gross: FloatArray
    weight: FloatArray
    symbol: IntArray
    side: NDArray[np.int8]
    reason: NDArray[np.int8]
    ambiguous: NDArray[np.bool_]
    volatility: FloatArray
    entry_index: IntArray
    exit_index: IntArray
    entry_price: FloatArray
    start_ms: IntArray
    end_ms: IntArray
    dropped: Mapping[str, int] = field(default_factory=dict)
    apart: bool = False

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.label.size)

    def of(self, number: int) -> NDArray[np.intp]:
        """Return the rows of a symbol."""
        return np.flatnonzero(self.symbol == number)

    @property
    def trips(self) -> RoundTrips:
        """The rows as possible trades."""
        return RoundTrips(
            symbol=self.symbol,
            side=self.side.astype(np.int64),
            entry_index=self.entry_index,
            exit_index=self.exit_index,
            entry_price=self.entry_price,
            gross=self.gross,
            net=self.net,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """One symbol's events before pooling; names as in :class:`Samples`.

    ``bar`` is where the signal fired; ``score``, ``confidence`` and ``rule`` are the signal's.
    """

    bar: IntArray
    score: FloatArray
    confidence: FloatArray
    rule: NDArray[np.int8]
    label: NDArray[np.int8]
    net: FloatArray
    gross: FloatArray
    side: NDArray[np.int8]
    reason: NDArray[np.int8]
    ambiguous: NDArray[np.bool_]
    volatility: FloatArray
    entry_index: IntArray
    exit_index: IntArray
    entry_price: FloatArray
    start_ms: IntArray
    end_ms: IntArray


def draw_samples(dataset: Dataset, recipe: Recipe) -> Samples:
    """Return the pooled rows of all markets under ``recipe``.

    Raises
    ------
    InputError
        Where no symbol has an event.
    """
    symbols = dataset.symbols
    drawn: list[tuple[int, _Rows]] = []
    left_out: dict[str, str] = {}
    dropped: dict[str, int] = {}
    for number, market in enumerate(dataset.markets):
        rows, crossing = _rows(market, dataset, recipe)
        if crossing:
            dropped[market.symbol] = crossing
        if rows is None:
            left_out[market.symbol] = "no tradable signal in the whole history"
        else:
            drawn.append((number, rows))
    if not drawn:
        raise InputError(
            f"no symbol of {', '.join(symbols)} has a tradable signal; "
            "lower signal.momentum_threshold or min_confidence_threshold, or use a longer history"
        )
    symbol = np.concatenate([np.full(rows.label.size, n, dtype=np.int64) for n, rows in drawn])
    order = np.lexsort((symbol, np.concatenate([rows.start_ms for _, rows in drawn])))
    pooled = {
        f.name: np.concatenate([getattr(rows, f.name) for _, rows in drawn])[order]
        for f in fields(_Rows)
    }
    pooled["symbol"] = symbol[order]
    del drawn, symbol, order  # memory may be short
    names = model_names(dataset.catalog.names, symbols, dataset.encoding)
    asked = {name: pooled.pop(name) for name in ("bar", "score", "confidence", "rule")}
    asked |= {name: pooled[name] for name in ("symbol", "side")}
    return Samples(
        names=names,
        symbols=symbols,
        x=_table(dataset, names, asked),
        left_out=left_out,
        dropped=dropped,
        apart=dataset.apart,
        weight=entry_weights(
            pooled["start_ms"],
            pooled["end_ms"],
            dataset.interval_ms,
            symbol=pooled["symbol"],
            correlation=dataset.correlation,
            until_ms=middle_ms(dataset),
        ),
        **pooled,
    )


def _whole(matrix: FloatArray, events: NDArray[np.intp]) -> IntArray:
    """Return the events whose features are all numbers."""
    found = [
        chunk[np.isfinite(matrix[chunk]).all(axis=1)]
        for chunk in np.split(events, range(BATCH, events.size, BATCH))
    ]
    return np.concatenate(found).astype(np.int64)


def _table(dataset: Dataset, names: tuple[str, ...], asked: Mapping[str, np.ndarray]) -> Table:
    """Return the model's inputs, in memory or where the dataset has room for more."""
    n = int(asked["bar"].size)
    edges = range(0, n, BATCH)
    parts = (_inputs(dataset, len(names), asked, at, min(at + BATCH, n)) for at in edges)
    if dataset.room is not None and n * len(names) * 8 > dataset.room.bytes_max:
        return Table(dataset.room.keep(parts, names))
    return Table(np.concatenate(list(parts)))


def _inputs(
    dataset: Dataset, width: int, asked: Mapping[str, np.ndarray], first: int, stop: int
) -> FloatArray:
    """Return the model's inputs of pooled rows from ``first`` to ``stop``."""
    out = np.empty((stop - first, width))
    for number, market in enumerate(dataset.markets):
        rows = first + np.flatnonzero(asked["symbol"][first:stop] == number)
        if rows.size:
            out[rows - first] = model_matrix(
                market.matrix[asked["bar"][rows]],
                Signals(
                    side=asked["side"][rows],
                    score=asked["score"][rows],
                    confidence=asked["confidence"][rows],
                    rule=asked["rule"][rows],
                ),
                market.symbol,
                dataset.symbols,
                dataset.encoding,
            )
    return out


def middle_ms(dataset: Dataset) -> int:
    """Return the middle of the dataset's time: later rows judge, so they settle nothing."""
    first = min(int(m.candles.open_ms[0]) for m in dataset.markets)
    last = max(int(m.candles.close_ms[-1]) for m in dataset.markets)
    return (first + last) // 2


def prices(dataset: Dataset) -> list[Prices]:
    """Return what marking a book of these markets needs, by symbol number."""
    return [Prices(close=m.candles.close, close_ms=m.candles.close_ms) for m in dataset.markets]


def _rows(market: Market, dataset: Dataset, recipe: Recipe) -> tuple[_Rows | None, int]:
    """Return the symbol's events, and how many labels a gap took."""
    signals = signals_batch(market.matrix, dataset.catalog, recipe.signal)
    tradable = signals.side != 0
    tradable[: market.first] = False
    events = _whole(market.matrix, np.flatnonzero(tradable))
    if events.size == 0:
        return None, 0
    labels = triple_barrier(
        market.candles,
        events,
        signals.side[events],
        Barriers(
            profit=recipe.barriers.profit,
            loss=recipe.barriers.loss,
            horizon_bars=recipe.barriers.horizon_bars(market.candles.interval_ms),
            volatility_scaled=recipe.barriers.volatility_scaled,
        ),
        recipe.costs,
        market.funding,
        volatility=market.volatility,
        plan=recipe.exit_plan,
        tick=price_tick(market.candles.close),
    )
    crossing = ~labels.truncated & crosses_gap(market.candles, events, labels.exit_index)
    kept = np.flatnonzero(~labels.truncated & ~crossing)
    if kept.size == 0:
        return None, int(crossing.sum())
    at = events[kept]
    rows = _Rows(
        bar=at,
        score=signals.score[at],
        confidence=signals.confidence[at],
        rule=signals.rule[at],
        label=labels.label[kept],
        net=labels.net[kept],
        gross=labels.gross[kept],
        side=labels.side[kept],
        reason=labels.reason[kept],
        ambiguous=labels.ambiguous[kept],
        volatility=market.volatility[at],
        entry_index=labels.entry_index[kept],
        exit_index=labels.exit_index[kept],
        entry_price=market.candles.open[labels.entry_index[kept]],
        start_ms=labels.start_ms[kept],
        end_ms=labels.end_ms[kept],
    )
    return rows, int(crossing.sum())
