"""One symbol's history with its features, computed once for all trials.

Decides which bars may be used: from the first with every feature a number. Never reads files and
depends on no parameter of a search. Rule: a history that cannot be trained on is refused here with
the reason, before any work.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.batch import feature_matrix
from features.catalog import Catalog
from features.costs import FlatFunding
from features.errors import InputError
from features.types import Candles, FloatArray, Funding, IntArray
from flows.research.table import Room

DAY_MS = 86_400_000
VOLATILITY = "volatility_96"
COMMON_BARS_MIN = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """All that trials share: the catalog, the markets and how a row names its symbol."""

    catalog: Catalog
    markets: tuple["Market", ...]
    encoding: str
    correlation: FloatArray
    """Of the symbols' bar returns, shape (symbols, symbols); see :func:`return_correlation`."""
    apart: bool = False
    """Whether each symbol has a model of its own, that learns from its rows alone."""
    room: Room | None = None
    """Where rows are kept that memory cannot hold; all are in memory where there is none."""

    @property
    def interval_ms(self) -> int:
        """Length of a bar."""
        return self.markets[0].candles.interval_ms

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols in the order of their numbers."""
        return tuple(market.symbol for market in self.markets)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Market:
    """A symbol's bars and feature matrix of shape (bars, features)."""

    symbol: str
    candles: Candles
    funding: Funding | FlatFunding
    matrix: FloatArray
    volatility: FloatArray
    first: int
    """First bar on which every feature can be computed."""

    @property
    def history_days(self) -> float:
        """Days from the first bar to the last."""
        return self.candles.n * self.candles.interval_ms / DAY_MS

    @property
    def coverage(self) -> float:
        """Share of the grid between first and last bar that has a bar."""
        c = self.candles
        slots = (int(c.open_ms[-1]) - int(c.open_ms[0])) // c.interval_ms + 1
        return c.n / slots


def build_market(
    symbol: str,
    candles: Candles,
    funding: Funding | FlatFunding,
    catalog: Catalog,
    *,
    days_min: float,
    without: NDArray[np.bool_] | None = None,
) -> Market:
    """Return the market of a symbol.

    ``without`` marks bars, by their close, on which nothing may be decided (the symbol was not in
    the universe then): their row of features is NaN but for the volatility, that fills need.

    Raises
    ------
    InputError
        Where the history is shorter than ``days_min`` after the warm-up, or a feature has no value
        on any bar.
    """
    days = candles.n * candles.interval_ms / DAY_MS
    warm = catalog.warmup_bars * candles.interval_ms / DAY_MS
    if days < days_min + warm:
        raise InputError(
            f"{symbol}: {days:.1f} days of candles; training needs {days_min:g} after {warm:.1f} "
            "of warm-up: ingest more, or lower model.history_days_min"
        )
    settled = funding if isinstance(funding, Funding) else None
    matrix = feature_matrix(candles, catalog, settled)
    present = np.isfinite(matrix)
    counts: IntArray = present.sum(axis=0)
    empty = [name for name, n in zip(catalog.names, counts, strict=True) if n == 0]
    if empty:
        raise InputError(
            f"{symbol}: feature {empty[0]} has no value on any bar; check the candles' volume and "
            "funding, or leave it out of the catalog"
        )
    whole = np.flatnonzero(present.sum(axis=1) == len(catalog.names))
    if whole.size == 0:
        worst = catalog.names[int(np.argmin(counts))]
        raise InputError(f"{symbol}: no bar has all features; {worst} is the rarest")
    volatility = np.ascontiguousarray(matrix[:, catalog.names.index(VOLATILITY)])
    if without is not None and without.any():
        if without[whole].all():
            raise InputError(f"{symbol}: was not in the universe on any bar that has features")
        matrix[without] = np.nan
        matrix[:, catalog.names.index(VOLATILITY)] = volatility
    return Market(
        symbol=symbol,
        candles=candles,
        funding=funding,
        matrix=matrix,
        volatility=volatility,
        first=int(whole[0]),
    )


def make_dataset(
    catalog: Catalog, markets: Sequence[Market], encoding: str, *, apart: bool = False
) -> Dataset:
    """Return the dataset of these markets, in order of their symbols.

    Symbols that learn ``apart`` are told from each other by nothing and share no news: what one
    learns does not depend on who else is there.
    """
    ordered = tuple(sorted(markets, key=lambda market: market.symbol))
    return Dataset(
        catalog=catalog,
        markets=ordered,
        encoding="none" if apart else encoding,
        correlation=np.eye(len(ordered)) if apart else return_correlation(ordered),
        apart=apart,
    )


def return_correlation(markets: Sequence[Market], share: float = 0.5) -> FloatArray:
    """Return the correlation of log returns over the earliest ``share`` of the common bars.

    Later bars are left out because they judge. Symbols without 1,000 bars in common count as one
    market (correlation 1): the cautious answer, for it makes their labels worth less.
    """
    size = len(markets)
    shared = np.ones((size, size))
    for a in range(size):
        for b in range(a):
            first, second = markets[a].candles, markets[b].candles
            _, i, j = np.intersect1d(
                first.open_ms, second.open_ms, assume_unique=True, return_indices=True
            )
            n = int(i.size * share)
            if n >= COMMON_BARS_MIN:
                x = np.diff(np.log(first.close[i[:n]]))
                y = np.diff(np.log(second.close[j[:n]]))
                spread = x.std() * y.std()
                value = float(np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread else 1.0
                shared[a, b] = shared[b, a] = value
    return shared


def price_tick(close: FloatArray, most: int = 8) -> float:
    """Return the finest price step that the newest 2,000 closes show, where no venue says it."""
    prices = np.asarray(close[-2000:])
    for digits in range(most):
        if np.allclose(prices, np.round(prices, digits), rtol=0.0, atol=10.0**-digits * 1e-6):
            return round(10.0**-digits, digits)
    return round(10.0**-most, most)
