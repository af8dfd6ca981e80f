"""Does training see the features that trading sees? Checked on the user's own candles.

Decides three things for each feature: the stream equals the batch to the last bit; a row does not
change when the future is cut off; how many bars a cold start needs until it is bit-identical, and
that the catalog does not promise fewer. And how often each primary rule fires. Never tolerates a
difference: equal means the same bits.
Rule: the truth is the features' own code, batch and stream; nothing is computed a third way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from features.batch import feature_matrix
from features.catalog import Catalog
from features.funding import settled_between
from features.signals import HIGHER, INPUTS, RULES, SignalParams
from features.signals_batch import signals_batch
from features.stream import FeatureStream
from features.types import Candles, FloatArray, Funding, IntArray

CUTS: Final = 8
COLD_STARTS: Final = 3
ROWS_AFTER_WARMUP: Final = 64

Tell = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFinding:
    """What was found of one feature."""

    name: str
    same_in_stream: bool
    unchanged_by_future: bool
    warm_from: int | None  # first bar with a number, from the history's start; None: it has none
    declared: int  # bars after which the catalog says that a cold start is bit-identical
    identical_from: int | None  # bars after which it was; None: the history is too short to tell

    @property
    def is_late(self) -> bool:
        """Whether a cold start took longer than the catalog says."""
        return self.identical_from is not None and self.identical_from > self.declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found of one symbol."""

    symbol: str
    bars: int
    features: tuple[FeatureFinding, ...]
    # Share of the bars on which a rule fires, of those that it can judge; None: of none.
    firing: dict[str, float | None]

    @property
    def is_good(self) -> bool:
        """Whether training and trading see the same, whatever the future brings."""
        return all(
            one.same_in_stream and one.unchanged_by_future and not one.is_late
            for one in self.features
        )


def check_features(
    symbol: str,
    candles: Candles,
    funding: Funding | None,
    catalog: Catalog,
    signal: SignalParams,
    *,
    generator: np.random.Generator,
    tell: Tell,
) -> Findings:
    """Return what was found on one symbol's candles.

    Parameters
    ----------
    symbol
        Venue id, for the result.
    candles, funding
        The history; more than twice the catalog's warm-up shows the most.
    catalog
        Which features.
    signal
        Parameters of the primary rules.
    generator
        Chooses where the future is cut off and where cold starts begin.
    tell
        Told how far the work is (fraction) and what is done.
    """
    tell(0.0, "batch")
    batch = feature_matrix(candles, catalog, funding)
    streamed = _streamed(candles, funding, catalog, 0, lambda f: tell(0.7 * f, "bar by bar"))
    tell(0.7, "cutting off the future")
    causal = _causal(candles, funding, catalog, batch, generator)
    tell(0.85, "cold starts")
    identical = _identical_from(candles, funding, catalog, batch, generator)
    same = np.array([_same(batch[:, j], streamed[:, j]) for j in range(batch.shape[1])])
    warm = _warm_from(batch)
    features = tuple(
        FeatureFinding(
            name=name,
            same_in_stream=bool(same[j]),
            unchanged_by_future=bool(causal[j]),
            warm_from=warm[j],
            declared=catalog.features[j].lookback,
            identical_from=identical[j],
        )
        for j, name in enumerate(catalog.names)
    )
    tell(1.0, "how often the rules fire")
    firing = _firing(batch, catalog, signal)
    return Findings(symbol=symbol, bars=candles.n, features=features, firing=firing)


def _streamed(
    candles: Candles,
    funding: Funding | None,
    catalog: Catalog,
    start: int,
    tell: Callable[[float], None],
) -> FloatArray:
    """Return the stream's rows from a cold start at bar ``start``, shape (n - start, k)."""
    stream = FeatureStream(catalog, candles.interval_ms)
    rows = np.empty((candles.n - start, len(catalog.names)))
    close_ms = candles.close_ms
    for i in range(start, candles.n):
        before_ms = int(close_ms[i - 1]) if i > start else int(close_ms[i]) - candles.interval_ms
        rate = settled_between(funding, before_ms, int(close_ms[i])) if funding else None
        rows[i - start] = stream.update(candles.candle(i), rate)
        if i % 1000 == 0:
            tell((i - start + 1) / (candles.n - start))
    return rows


def _causal(
    candles: Candles,
    funding: Funding | None,
    catalog: Catalog,
    batch: FloatArray,
    generator: np.random.Generator,
) -> Sequence[bool]:
    """Return for each feature whether rows stay the same when what follows is cut off.

    One cut in each eighth: a look-ahead to the largest value shows only before that value.
    """
    unchanged = np.ones(batch.shape[1], dtype=bool)
    edges = np.linspace(1, candles.n + 1, CUTS + 1).astype(np.int64)
    for low, high in pairwise(edges):
        cut = generator.integers(low, max(high, low + 1))
        known = None if funding is None else _until(funding, int(candles.close_ms[cut - 1]))
        again = feature_matrix(candles.slice(0, int(cut)), catalog, known)
        unchanged &= [_same(again[:, j], batch[:cut, j]) for j in range(batch.shape[1])]
    return [bool(one) for one in unchanged]


def _identical_from(
    candles: Candles,
    funding: Funding | None,
    catalog: Catalog,
    batch: FloatArray,
    generator: np.random.Generator,
) -> list[int | None]:
    """Return for each feature the bars until a cold start gives the same bits, the worst of some.

    None where no start leaves bars with a number after the declared warm-up: nothing was seen.
    """
    length = catalog.warmup_bars + ROWS_AFTER_WARMUP
    last = candles.n - length if candles.n > length else candles.n // 4
    worst: list[int | None] = [None] * batch.shape[1]
    for start in generator.integers(min(1, last), last + 1, size=COLD_STARTS):
        part = candles.slice(int(start), min(candles.n, int(start) + length))
        cold = feature_matrix(part, catalog, funding)
        for j, feature in enumerate(catalog.features):
            whole = batch[start : start + part.n, j]
            if not np.isfinite(whole[feature.lookback :]).any():
                continue
            differs = np.flatnonzero(_bits(cold[:, j]) != _bits(whole))
            first = int(differs[-1]) + 1 if differs.size else 0
            worst[j] = max(worst[j] or 0, first)
    return worst


def _firing(batch: FloatArray, catalog: Catalog, signal: SignalParams) -> dict[str, float | None]:
    """Return for each rule the share of bars with a tradable signal, of those that it can judge."""
    shares: dict[str, float | None] = {}
    for rule, number in RULES.items():
        found = signals_batch(batch, catalog, replace(signal, rule=rule))
        read = [catalog.names.index(name) for name in (*INPUTS[number], HIGHER)]
        warm = np.isfinite(batch[:, read]).all(axis=1)
        shares[rule] = float(np.mean(found.side[warm] != 0)) if warm.any() else None
    return shares


def _warm_from(batch: FloatArray) -> list[int | None]:
    """Return the first row with a number, by column; None where there is none."""
    finite = np.isfinite(batch)
    return [int(column.argmax()) if column.any() else None for column in finite.T]


def _until(funding: Funding, time_ms: int) -> Funding:
    known = funding.time_ms <= time_ms
    return Funding(time_ms=funding.time_ms[known], rate=funding.rate[known])


def _bits(column: FloatArray) -> IntArray:
    """Return the bit patterns, every NaN as one."""
    plain = np.where(np.isnan(column), np.nan, column)
    patterns: IntArray = np.ascontiguousarray(plain).view(np.int64)
    return patterns


def _same(left: FloatArray, right: FloatArray) -> bool:
    return bool(np.array_equal(_bits(left), _bits(right)))
