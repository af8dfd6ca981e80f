"""Whether a dataset holds what trading will see, and its folds what they may.

Decides two counts: features of the newest bars that differ from the live stream's, and training
rows whose spans touch what judges them. Never repairs. Rule: neither uses what made the dataset or
the split: the stream is the executor's, the overlap is counted from the spans themselves.
"""

from collections.abc import Iterable

import numpy as np

from features.funding import settled_between
from features.stream import FeatureStream
from features.types import FloatArray, Funding
from flows.research.market import Dataset, Market
from flows.research.samples import Samples
from flows.research.splits import Rows

PARITY_BARS = 64


def unequal_features(dataset: Dataset, symbols: int | None = None) -> tuple[int, int]:
    """Return how many of the newest bars' features differ from the stream's, and of how many.

    Of the first ``symbols``, or of all.
    """
    unequal = compared = 0
    for market in dataset.markets[:symbols]:
        streamed = _streamed(market, dataset)
        batch = market.matrix[-streamed.shape[0] :]
        whole = np.isfinite(batch).all(axis=1)  # on others nothing is decided
        same = streamed[whole] == batch[whole]
        unequal += int((~same).sum())
        compared += int(same.size)
    return unequal, compared


def leaked_rows(samples: Samples, parts: Iterable[tuple[Rows, Rows]], embargo_ms: int) -> int:
    """Return how many training rows, widened by the embargo, touch a span that judges them.

    Parameters
    ----------
    parts
        Pairs of row numbers: those that train, those that judge.
    """
    leaked = 0
    for train, judges in parts:
        begun = np.sort(samples.start_ms[judges])
        ended = np.sort(samples.end_ms[judges])
        before_end = np.searchsorted(begun, samples.end_ms[train] + embargo_ms, side="right")
        over = np.searchsorted(ended, samples.start_ms[train] - embargo_ms, side="left")
        leaked += int(np.sum(before_end > over))
    return leaked


def _streamed(market: Market, dataset: Dataset) -> FloatArray:
    """Return the stream's rows of the last bars, started a warm-up before them."""
    candles, catalog = market.candles, dataset.catalog
    count = min(PARITY_BARS, max(1, candles.n - catalog.warmup_bars))
    begin = max(0, candles.n - count - catalog.warmup_bars)
    settled = market.funding if isinstance(market.funding, Funding) else None
    stream = FeatureStream(catalog, candles.interval_ms)
    rows = []
    for i in range(begin, candles.n):
        close = int(candles.close_ms[i])
        before = int(candles.close_ms[i - 1]) if i > begin else close - candles.interval_ms
        rate = settled_between(settled, before, close) if settled else None
        rows.append(stream.update(candles.candle(i), rate))
    return np.array(rows[-count:])
