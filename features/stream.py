"""One bar in, one feature row out.

Decides nothing: it runs the catalog's kernels, interpreted, on one bar. Never imports numba and
never differs from ``features.batch`` in a single bit. Rule: all that it remembers is in
``state()``, plain JSON-able data from which :meth:`FeatureStream.restore` goes on exactly.
"""

import math
from typing import Any

import numpy as np

from features.bars import FOLD_START, Fold, fold, overdue
from features.catalog import Catalog, Feature
from features.errors import InputError
from features.types import Candle, FloatArray

MINUTE_MS = 60_000


class FeatureStream:
    """The features of one symbol, bar by bar."""

    def __init__(self, catalog: Catalog, interval_ms: int) -> None:
        self._catalog = catalog
        self._interval_ms = interval_ms
        self._states: list[Any] = [feature.start for feature in catalog.features]
        self._rings: list[list[float]] = [[0.0] * feature.ring for feature in catalog.features]
        self._values = [math.nan] * len(catalog.features)
        self._lengths = [
            feature.n or interval_ms * feature.timeframe // MINUTE_MS
            for feature in catalog.features
        ]
        frames = sorted({feature.timeframe for feature in catalog.features} - {1})
        self._folds: dict[int, Fold] = dict.fromkeys(frames, FOLD_START)
        self._columns: dict[int, list[tuple[int, Feature]]] = {k: [] for k in (1, *frames)}
        for column, feature in enumerate(catalog.features):
            self._columns[feature.timeframe].append((column, feature))
        self.last_open_ms: int | None = None

    def update(self, candle: Candle, funding_rate: float | None = None) -> FloatArray:
        """Take a closed bar and return its row, float64 of shape (n_features,).

        Raises
        ------
        InputError
            Where the bar is not after the last one.
        """
        del funding_rate
        if self.last_open_ms is not None and candle.open_ms <= self.last_open_ms:
            raise InputError(
                f"bar {candle.open_ms} is not after {self.last_open_ms}: feed bars in order"
            )
        self.last_open_ms = candle.open_ms
        index = candle.open_ms // self._interval_ms
        bar = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        self._advance(1, index, bar)
        for k, state in self._folds.items():
            late = state
            if overdue(late, index, k):
                self._advance(k, late[0], late[2:])
            folded, ended = fold(late, index, k, *bar)
            self._folds[k] = folded
            if ended:
                self._advance(k, folded[0], folded[2:])
        return np.array(self._values)

    def _advance(self, k: int, index: int, bar: tuple[float, ...]) -> None:
        for column, feature in self._columns[k]:
            self._states[column], self._values[column] = feature.kernel(
                self._states[column], self._rings[column], self._lengths[column], index, *bar
            )

    def state(self) -> dict[str, Any]:
        """Return all that is remembered, as lists and numbers."""
        return {
            "schema": self._catalog.schema_hash,
            "interval_ms": self._interval_ms,
            "last_open_ms": self.last_open_ms,
            "states": list(self._states),
            "rings": [list(ring) for ring in self._rings],
            "values": [None if math.isnan(value) else value for value in self._values],
            "folds": {
                str(k): [None if math.isnan(x) else x for x in fold_]
                for k, fold_ in self._folds.items()
            },
        }

    @classmethod
    def restore(cls, catalog: Catalog, interval_ms: int, state: dict[str, Any]) -> "FeatureStream":
        """Return the stream that ``state`` was taken from.

        Raises
        ------
        InputError
            Where the state belongs to another catalog or interval.
        """
        if state["schema"] != catalog.schema_hash or state["interval_ms"] != interval_ms:
            raise InputError("the saved stream belongs to other features: warm up from history")
        stream = cls(catalog, interval_ms)
        stream.last_open_ms = state["last_open_ms"]
        stream._states = [_tuples(part) for part in state["states"]]
        stream._rings = [list(ring) for ring in state["rings"]]
        stream._values = [math.nan if value is None else value for value in state["values"]]
        for k, parts in state["folds"].items():
            group, whole, *prices = [math.nan if part is None else part for part in parts]
            first, top, bottom, last, total = prices
            stream._folds[int(k)] = (int(group), int(whole), first, top, bottom, last, total)
        return stream


def _tuples(part: Any) -> Any:
    """Return nested lists as nested tuples."""
    return tuple(_tuples(x) for x in part) if isinstance(part, list | tuple) else part
