"""What the labels refuse before any work.

Decides whether events, barriers, volatility and funding can be labelled, and names the row and
the column that cannot. Never repairs: a missing funding history is an error, not a zero.
Rule: one clear line each, with the next step.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled
from features.costs import FUNDING_INTERVAL_MS, SETTLEMENT_GRID_MS
from features.errors import InputError
from features.types import Candles, FloatArray, Funding, IntArray

Scalar = TypeVar("Scalar", bound=np.generic)


def first_row(bad: NDArray[np.bool_]) -> int:
    """Return the first row that is bad, -1 if none is."""
    return int(bad.argmax()) if bad.any() else -1


def check_column(name: str, column: object, dtype: type[np.generic], rows: int) -> None:
    """Refuse a column of the wrong type or length."""
    if not isinstance(column, np.ndarray):
        raise InputError(f"{name}: give a numpy array, not {type(column).__name__}")
    wanted = np.dtype(dtype)
    if column.dtype != wanted:
        raise InputError(f"{name}: dtype is {column.dtype}; convert it with .astype('{wanted}')")
    if column.shape != (rows,):
        raise InputError(f"{name}: shape is {column.shape}; it must be ({rows},)")


def check_events(events: IntArray, side: NDArray[np.int8], bars: int) -> None:
    """Refuse events that are unsorted or outside the data, and sides other than 1 and -1."""
    rows = events.size if isinstance(events, np.ndarray) else 0
    check_column("events", events, np.int64, rows)
    check_column("side", side, np.int8, rows)
    row = first_row(np.diff(events) < 0)
    if row >= 0:
        raise InputError(
            f"events row {row + 1}: bar {events[row + 1]} comes after bar {events[row]}; "
            "sort events ascending"
        )
    if rows and (events[0] < 0 or events[-1] >= bars):
        row = 0 if events[0] < 0 else int(np.searchsorted(events, bars))
        raise InputError(f"events row {row}: bar {events[row]} is not among the {bars} bars")
    row = first_row(np.abs(side) != 1)
    if row >= 0:
        raise InputError(f"side row {row}: {side[row]} is neither 1 (long) nor -1 (short)")


def check_distance(name: str, distance: FloatArray, side: NDArray[np.int8]) -> None:
    """Refuse barriers that are not above 0, and stops of longs at or below a price of 0."""
    row = first_row(~((distance > 0.0) & (distance < np.inf)))
    if row >= 0:
        raise InputError(
            f"barriers: {name} row {row} is {distance[row]}; a barrier must be above 0 and finite"
        )
    if name == "loss":
        row = first_row((distance >= 1.0) & (side > 0))
        if row >= 0:
            raise InputError(
                f"barriers: loss row {row} is {distance[row]}; a long cannot lose 1.0 or more"
            )


def check_horizon(horizon: IntArray) -> None:
    """Refuse time barriers shorter than one bar."""
    row = first_row(horizon < 1)
    if row >= 0:
        raise InputError(f"barriers: horizon_bars row {row} is {horizon[row]}; give 1 or more")


def check_volatility(volatility: FloatArray, first: int, last: int, bars: int) -> None:
    """Refuse a volatility column that is NaN, infinite or negative from bar first to bar last."""
    check_column("volatility", volatility, np.float64, bars)
    used = volatility[first : last + 1]
    row = first_row(~((used >= 0.0) & (used < np.inf)))
    if row >= 0:
        raise InputError(
            f"volatility row {first + row}: {used[row]}; drop events before the warm-up's end"
        )


def check_funding(funding: Funding, first_ms: int, last_ms: int) -> None:
    """Refuse a funding history that is unsorted, NaN, or has no settlement for over 8 hours.

    ``first_ms`` is the first entry, ``last_ms`` the last possible exit. Venues settle at least
    every 8 hours, so a longer silence is a hole in the history.
    """
    rows = funding.time_ms.size
    check_column("funding.time_ms", funding.time_ms, np.int64, rows)
    check_column("funding.rate", funding.rate, np.float64, rows)
    row = first_row(~np.isfinite(funding.rate))
    if row >= 0:
        raise InputError(f"funding.rate row {row}: {funding.rate[row]} is not a number")
    settled = funding.time_ms - funding.time_ms % SETTLEMENT_GRID_MS
    row = first_row(np.diff(settled) <= 0)
    if row >= 0:
        raise InputError(
            f"funding.time_ms row {row + 1}: {funding.time_ms[row + 1]} is not after the row "
            "before; sort the settlements and drop duplicates"
        )
    held = settled[(settled > first_ms) & (settled <= last_ms)]
    # An entry at a settlement owes the next one; an exit at a settlement owes that one.
    marks = np.concatenate(([first_ms], held, [last_ms + 1]))
    row = first_row(np.diff(marks) > FUNDING_INTERVAL_MS)
    if row >= 0:
        raise InputError(
            f"funding: no settlement from {marks[row]} to {marks[row + 1]} ms; ingest the funding "
            "history, or ask for a constant rate by name: FlatFunding(rate=...)"
        )


def first_bad_bar(open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray) -> int:
    """Return the first bar whose prices are not 0 < low <= open, close <= high, -1 if none.

    NaN is in no order, so it is found too. One pass without temporaries: the check must not cost
    what the labels cost.
    """
    for row in range(open_.size):
        bottom, top = low[row], high[row]
        if not (
            bottom > 0.0
            and top < np.inf
            and bottom <= open_[row] <= top
            and bottom <= close[row] <= top
        ):
            return row
    return -1


_first_bad_bar = compiled(first_bad_bar)


def check_prices(candles: Candles) -> None:
    """Refuse prices that are NaN, infinite, zero or negative, and highs below lows."""
    columns = {name: getattr(candles, name) for name in ("open", "high", "low", "close")}
    for name, column in columns.items():
        check_column(name, column, np.float64, candles.n)
    row = int(_first_bad_bar(*(one_layout(column) for column in columns.values())))
    if row < 0:
        return
    for name, column in columns.items():
        if not 0.0 < column[row] < np.inf:
            raise InputError(f"{name} row {row}: {column[row]}; a price must be above 0 and finite")
    raise InputError(
        f"high row {row}: open {candles.open[row]} and close {candles.close[row]} must lie between "
        f"low {candles.low[row]} and high {candles.high[row]}"
    )


def one_layout(column: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return the column contiguous and writeable: one memory layout, one compiled kernel."""
    return np.require(column, requirements=["C", "W"])
