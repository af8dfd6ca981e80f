"""Rows as XGBoost takes them: binned in memory, or page by page from a store.

Decides which of its matrices is made. Never trains. Rule: rows are given in the same batches either
way, so that bins, and with one thread the trees, come out to the same bytes (a test compares).
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xgboost as xgb

from features.types import FloatArray
from flows.research.logistic import Labels
from flows.research.table import BATCH, Table


def pages(
    x: Table,
    label: Labels,
    weight: FloatArray,
    *,
    bins: int,
    threads: int,
    ref: xgb.DMatrix | None = None,
) -> xgb.DMatrix:
    """Return the rows binned; with the bins of ``ref`` where it is given."""
    terms: dict[str, Any] = {"max_bin": bins, "nthread": threads, "ref": ref}
    scratch = x.scratch()
    if scratch is not None:
        return xgb.ExtMemQuantileDMatrix(_Batches(x, label, weight, scratch), **terms)
    if x.shape[0] <= BATCH or type(ref) is xgb.DMatrix:
        # Binned by the training itself: the same bytes in two thirds of the time, because on
        # thousands of rows sketching them twice costs more than the trees.
        return xgb.DMatrix(x.whole(), label, weight=weight, nthread=threads)
    return xgb.QuantileDMatrix(_Batches(x, label, weight, None), **terms)


class _Batches(xgb.DataIter):
    """The batches of a table, from the beginning as often as XGBoost asks."""

    def __init__(self, x: Table, label: Labels, weight: FloatArray, scratch: str | None) -> None:
        self._x, self._label, self._weight = x, label, weight
        self._left: Iterator[FloatArray] = x.batches()
        self._start = 0
        super().__init__(cache_prefix=scratch, on_host=False)

    def reset(self) -> None:
        """Begin again."""
        self._left, self._start = self._x.batches(), 0

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Hand over one batch; False where there is none left."""
        rows = next(self._left, None)
        if rows is None:
            return False
        at = slice(self._start, self._start + rows.shape[0])
        self._start = at.stop
        input_data(data=np.ascontiguousarray(rows), label=self._label[at], weight=self._weight[at])
        return True
