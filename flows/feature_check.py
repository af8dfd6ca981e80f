"""Does training see the features that trading sees? Checked on the user's own candles.

Decides three things for each feature: the stream equals the batch to the last bit; a row does not
change when the future is cut off; how many bars a cold start needs until it is bit-identical, and
that the catalog does not promise fewer. And how often each primary rule fires. Never tolerates a
difference: equal means the same bits.
Rule: the truth is the features' own code, batch and stream; nothing is computed a third way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from features.batch import feature_matrix
from features.catalog import Catalog
from features.funding import settled_between
from features.signals import RULES, SignalParams
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
    warm_from: int  # first bar with a number, from the history's start
    identical_from: int  # bars after a cold start until bit-identical; -1 where not in time
    declared: int  # bars after which the catalog says it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found of one symbol."""

    symbol: str
    bars: int
    features: tuple[FeatureFinding, ...]
    firing: dict[str, float]  # share of warm bars on which a rule fires

    @property
    def is_good(self) -> bool:
        """Whether training and trading see the same, whatever the future brings."""
        return all(
            one.same_in_stream and one.unchanged_by_future and one.identical_from >= 0
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
            warm_from=int(warm[j]),
            identical_from=int(identical[j]),
            declared=catalog.features[j].lookback,
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
    """Return for each feature whether rows stay the same when what follows is cut off."""
    unchanged = np.ones(batch.shape[1], dtype=bool)
    low = max(1, candles.n // 2)
    for cut in generator.integers(low, candles.n + 1, size=CUTS):
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
) -> IntArray:
    """Return for each feature the bars until a cold start gives the same bits, -1 if too late."""
    length = catalog.warmup_bars + ROWS_AFTER_WARMUP
    worst = np.zeros(batch.shape[1], dtype=np.int64)
    declared = [feature.lookback for feature in catalog.features]
    last = candles.n - length
    starts = generator.integers(1, last + 1, size=COLD_STARTS) if last >= 1 else np.array([0])
    for start in starts:
        part = candles.slice(int(start), min(candles.n, int(start) + length))
        cold = feature_matrix(part, catalog, funding)
        for j in range(batch.shape[1]):
            whole = batch[start : start + part.n, j]
            differs = np.flatnonzero(_bits(cold[:, j]) != _bits(whole))
            first = int(differs[-1]) + 1 if differs.size else 0
            late = first > min(declared[j], part.n - 1)
            worst[j] = -1 if late or worst[j] < 0 else max(int(worst[j]), first)
    return worst


def _firing(batch: FloatArray, catalog: Catalog, signal: SignalParams) -> dict[str, float]:
    """Return for each rule the share of warm bars with a tradable signal."""
    shares = {}
    warm = np.isfinite(batch).all(axis=1)
    for rule in RULES:
        found = signals_batch(batch, catalog, replace(signal, rule=rule))
        shares[rule] = float(np.mean(found.side[warm] != 0)) if warm.any() else 0.0
    return shares


def _warm_from(batch: FloatArray) -> IntArray:
    """Return the first row with a number, by column; the number of rows where there is none."""
    finite = np.isfinite(batch)
    first: IntArray = np.where(finite.any(axis=0), finite.argmax(axis=0), batch.shape[0])
    return first


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
