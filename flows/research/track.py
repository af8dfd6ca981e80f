"""The record that a way of choosing entries would have made.

Decides nothing: rows wished for become trades of a book, their days and their figures. Never fits.
Rule: model, baselines and stressed costs all make their records here, so they differ in the choice
or the costs and in nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.types import FloatArray
from flows.research.book import (
    DAY_MS,
    RoundTrips,
    daily_returns,
    mean_exposure,
    one_at_a_time,
)
from flows.research.market import Dataset
from flows.research.performance import return_metrics, trade_metrics
from flows.research.recipe import HOUR_MS
from flows.research.samples import Samples, prices
from flows.research.splits import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A range of whole UTC days, in days since 1970."""

    first_day: int
    days: int

    @classmethod
    def between(cls, first_ms: int, last_ms: int) -> "Period":
        """Return the days that hold any time of [first_ms, last_ms)."""
        first = first_ms // DAY_MS
        return cls(first_day=first, days=max(1, (last_ms - 1) // DAY_MS - first + 1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """Daily net returns, the figures of days and trades, and the rows that were entered."""

    daily: FloatArray
    metrics: Mapping[str, float]
    rows: Rows
    trips: RoundTrips


def make_track(
    dataset: Dataset,
    samples: Samples,
    wished: NDArray[np.bool_],
    period: Period,
    *,
    cost_factor: float = 1.0,
) -> Track:
    """Return the record of entering wished rows, one position a symbol at a time.

    Parameters
    ----------
    wished
        Shape (samples.n,).
    cost_factor
        Multiplies fees, slippage and funding of every trade; choices stay as they are.
    """
    rows = one_at_a_time(samples.trips, wished)
    held = samples.trips.take(rows)
    daily = daily_returns(
        held,
        prices(dataset),
        first_day=period.first_day,
        days=period.days,
        cost_factor=cost_factor,
    )
    net = held.gross - cost_factor * (held.gross - held.net)
    hours = (samples.end_ms[rows] - samples.start_ms[rows]) / HOUR_MS
    figures = {
        **return_metrics(daily),
        **trade_metrics(net, held.gross, hours),
        "exposure": mean_exposure(
            held, dataset.interval_ms, days=period.days, symbols=len(dataset.markets)
        ),
    }
    return Track(daily=daily, metrics=figures, rows=rows, trips=held)


def mark(samples: Samples, rows: Rows, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a flag for every row of ``samples``: those of ``rows`` that are ``chosen``."""
    wished = np.zeros(samples.n, dtype=np.bool_)
    wished[rows] = chosen
    return wished


def buy_and_hold(dataset: Dataset, period: Period) -> FloatArray:
    """Return daily returns of an equal share in each symbol, rebalanced daily, without costs."""
    total = np.zeros(period.days)
    edges = (period.first_day + np.arange(period.days + 1)) * DAY_MS
    for price in prices(dataset):
        at = np.searchsorted(price.close_ms, edges, side="right") - 1
        close = price.close[np.maximum(at, 0)]
        total += np.where(at[:-1] >= 0, close[1:] / close[:-1] - 1.0, 0.0)
    return total / max(1, len(dataset.markets))
