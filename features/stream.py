"""One bar in, one feature row out.

Decides nothing: it runs the catalog's kernels, interpreted, on one bar. Never imports numba and
never differs from ``features.batch`` in a single bit. Rule: all that it remembers is in
``state()``, plain JSON-able data from which :meth:`FeatureStream.restore` goes on exactly.
"""

import math
import sys
from operator import itemgetter
from typing import Any

import numpy as np

from features.bars import FOLD_START, Fold, fold, overdue
from features.catalog import Catalog
from features.errors import InputError
from features.node import BAR_COLUMNS
from features.plan import Frame, Step, begin, frames
from features.types import Candle, FloatArray
from features.validation import check_candle, check_rate


class _Timeframe:
    """The values and states of one timeframe, advanced at its own closes."""

    def __init__(self, frame: Frame, interval_ms: int) -> None:
        self.timeframe = frame.timeframe
        self.fold: Fold = FOLD_START
        begun = [begin(step) for step in frame.steps]
        self.states = [state for state, _ in begun]
        self.rings = [ring for _, ring in begun]
        self.values: list[Any] = [math.nan] * frame.slots
        self._interval_ms = interval_ms * frame.timeframe
        self._steps = [(n, *self._prepared(step)) for n, step in enumerate(frame.steps)]
        self._reaches = [step.reach for step in frame.steps]
        self._awake = self._steps
        self._published = list(zip(frame.columns, frame.sources, strict=True))

    @staticmethod
    def _prepared(step: Step) -> tuple[Any, ...]:
        single = step.inputs[0] if len(step.inputs) == 1 else -1
        end = step.output + step.kernel.outputs if step.kernel.outputs > 1 else 0
        return step.kernel.update, itemgetter(*step.inputs), single, step.guards, step.output, end

    def wake(self, bars_left: int) -> int:
        """Run the steps that reach ``bars_left`` base bars back; return the most others reach."""
        reaches = list(zip(self._reaches, self._steps, strict=True))
        self._awake = [step for reach, step in reaches if reach >= bars_left]
        return max((reach for reach in self._reaches if reach < bars_left), default=-1)

    def advance(self, index: int, bar: tuple[float, ...], row: list[float]) -> None:
        """Take a closed bar (open, high, low, close, volume, settled, rate) of this timeframe."""
        values, states, rings = self.values, self.states, self.rings
        values[: len(BAR_COLUMNS)] = (index, (index + 1) * self._interval_ms, *bar)
        for number, update, pick, single, guards, output, end in self._awake:
            cold = False
            for guard in guards:
                if values[guard] != values[guard]:
                    cold = True
            if cold:
                continue
            inputs = pick(values) if single < 0 else (values[single],)
            ring = rings[number]
            if ring is None:
                states[number], value = update(states[number], *inputs)
            else:
                states[number], value = update(states[number], ring, *inputs)
            if end:
                values[output:end] = value
            else:
                values[output] = value
        for column, source in self._published:
            row[column] = values[source]


class FeatureStream:
    """The features of one symbol, bar by bar.

    Parameters
    ----------
    catalog : Catalog
        What to compute.
    interval_ms : int
        Length of a base bar.
    """

    def __init__(self, catalog: Catalog, interval_ms: int) -> None:
        if interval_ms <= 0:
            raise InputError(f"feature stream: interval_ms is {interval_ms}; it must be above 0")
        self._catalog = catalog
        self._interval_ms = interval_ms
        self._row = [math.nan] * len(catalog.features)
        base, *higher = (_Timeframe(frame, interval_ms) for frame in frames(catalog))
        self._base = base
        self._higher = higher
        self._asleep = sys.maxsize  # the most base bars that a step which is left out reaches back
        self.last_open_ms: int | None = None

    def update(self, candle: Candle, funding_rate: float | None = None) -> FloatArray:
        """Take a closed bar and return its row, float64 of shape (n_features,).

        Parameters
        ----------
        candle : Candle
            The bar after the last one; bars may be missing between them.
        funding_rate : float or None
            The newest rate settled from the last bar's close on and before this one's, None where
            there was none (``features.funding.settled_between``).

        Returns
        -------
        ndarray
            NaN in a feature that is not warm yet.

        Raises
        ------
        InputError
            Before anything is changed, where the bar is not after the last one, or a number in it
            cannot be.
        """
        self._advance(candle, funding_rate, 0)
        return np.array(self._row)

    def warm(self, candle: Candle, funding_rate: float | None, bars_left: int) -> None:
        """Take a closed bar of the past, as :meth:`update` does.

        The next row that is read is that of ``bars_left`` bars later: a step that serves only what
        does not remember as much is left out (three quarters of a warm-up's work).
        """
        self._advance(candle, funding_rate, bars_left)

    def _advance(self, candle: Candle, funding_rate: float | None, bars_left: int) -> None:
        check_candle(candle, self._interval_ms, self.last_open_ms)
        if funding_rate is not None:
            check_rate(funding_rate)
        if bars_left <= self._asleep:
            self._asleep = max(one.wake(bars_left) for one in (self._base, *self._higher))
        self.last_open_ms = int(candle.open_ms)
        index = self.last_open_ms // self._interval_ms
        bar = (
            float(candle.open),
            float(candle.high),
            float(candle.low),
            float(candle.close),
            float(candle.volume),
            0.0 if funding_rate is None else 1.0,
            0.0 if funding_rate is None else float(funding_rate),
        )
        row = self._row
        self._base.advance(index, bar, row)
        for one in self._higher:
            k, before = one.timeframe, one.fold
            if overdue(before, index, k):
                one.advance(before[0], before[2:], row)
            after, ended = fold(before, index, k, *bar)
            one.fold = after
            if ended:
                one.advance(after[0], after[2:], row)

    def state(self) -> dict[str, Any]:
        """Return all that is remembered, as lists and numbers (NaN as None)."""
        return {
            "schema": self._catalog.schema_hash,
            "interval_ms": self._interval_ms,
            "last_open_ms": self.last_open_ms,
            "row": _plain(self._row),
            "frames": [
                {
                    "fold": _plain(one.fold),
                    "values": _plain(one.values[len(BAR_COLUMNS) :]),
                    "states": _plain(one.states),
                    "rings": _plain(one.rings),
                }
                for one in (self._base, *self._higher)
            ],
        }

    @classmethod
    def restore(cls, catalog: Catalog, interval_ms: int, state: dict[str, Any]) -> "FeatureStream":
        """Return the stream that ``state`` was taken from.

        Raises
        ------
        InputError
            Where the state belongs to another catalog or interval, or is damaged.
        """
        stream = cls(catalog, interval_ms)
        known = (catalog.schema_hash, interval_ms)
        if (state.get("schema"), state.get("interval_ms")) != known:
            raise InputError("the saved stream belongs to other features: warm up from history")
        try:
            stream._take(state)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the saved stream is damaged ({error}): warm up again") from None
        return stream

    def _take(self, state: dict[str, Any]) -> None:
        last = state["last_open_ms"]
        self.last_open_ms = None if last is None else int(last)
        self._row = _like(self._row, state["row"])
        for one, saved in zip((self._base, *self._higher), state["frames"], strict=True):
            one.fold = _like(one.fold, saved["fold"])
            kept = one.values[len(BAR_COLUMNS) :]
            one.values[len(BAR_COLUMNS) :] = _like(kept, saved["values"])
            one.states = _like(one.states, saved["states"])
            one.rings = _like(one.rings, saved["rings"])


def _plain(part: Any) -> Any:
    """Return nested tuples as lists, and NaN as None."""
    if isinstance(part, tuple | list):
        return [_plain(x) for x in part]
    return None if isinstance(part, float) and math.isnan(part) else part


def _like(template: Any, saved: Any) -> Any:
    """Return ``saved`` in the shape and number types of ``template``."""
    if isinstance(template, tuple | list):
        parts = [_like(x, y) for x, y in zip(template, saved, strict=True)]
        return tuple(parts) if isinstance(template, tuple) else parts
    if template is None or saved is None:
        return template if template is None else math.nan
    return type(template)(saved)
