"""Whether stamps that lie on the grid mean another time than UTC.

Decides by evidence only: the hour that clocks skip in spring and double in autumn, settlements at
hours at which nobody settles, and bars that fit stored ones (of this symbol, or of one that moves
with it) better when moved by some hours. Never corrects a stamp. Rule: pure functions of times and
prices; each answer is a reason in words, or nothing. What cannot be known: a file of one zone
without clock changes, for a symbol of which nothing related is stored.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from features.types import FloatArray, IntArray

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
ZONE_STEP_MS = 900_000  # every zone is a multiple of a quarter of an hour off
ZONE_MAX_MS = 14 * HOUR_MS
FOUND_MIN, BETTER_MIN, BARS_MIN, BARS_MAX = 0.5, 0.3, 200, 5000
WILD = 8.0
SETTLED_TOGETHER = 0.9
# Venues that settle every 8 h at 00, 08 and 16 UTC; others do at 04, 12 and 20.
MIDNIGHT_VENUES = ("binance", "bybit")
# Clock changes: (month, which Sunday) in spring and autumn; -1 is the last one of the month.
CHANGES = (((3, -1), (10, -1)), ((3, 2), (11, 1)), ((10, 1), (4, 1)))
CHANGE_HOURS = (0, 1, 2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closes:
    """Closing prices by the time of the close, ascending; ``name`` for messages."""

    name: str
    step_ms: int
    close_ms: IntArray
    close: FloatArray


def doubled_hour(times_ms: pl.Series, step_ms: int) -> str | None:
    """Return why the stamps are local time: an hour there twice when clocks go back."""
    if step_ms > HOUR_MS:
        return None
    repeated = times_ms.filter(times_ms.is_duplicated()).unique().sort().to_numpy()
    per_hour = HOUR_MS // step_ms
    for first in repeated[:: max(per_hour, 1)].tolist():
        hour = repeated[(repeated >= first) & (repeated < first + HOUR_MS)]
        whole = hour.size == per_hour and int(hour[-1]) == first + HOUR_MS - step_ms
        if whole and first % HOUR_MS == 0 and _is_change(first, autumn=True):
            return f"the hour from {_words(first)} is there twice, when clocks go back"
    return None


def skipped_hour(times_ms: pl.Series, step_ms: int) -> str | None:
    """Return why the stamps may be local time: an hour missing whenever clocks go forward."""
    if step_ms > HOUR_MS or times_ms.len() < 2:
        return None
    times = times_ms.unique().sort().to_numpy()
    after = times[1:][np.diff(times) == HOUR_MS + step_ms]
    skipped = {int(t) - HOUR_MS for t in after.tolist()}
    for spring, _ in CHANGES:
        days = _sundays(spring, int(times[0]), int(times[-1]))
        hits = [hour for day in days if (hour := _skipped_on(day, skipped)) is not None]
        if days and len(hits) == len(days):
            return f"the hour from {_words(hits[0])} is missing, when clocks go forward"
    return None


def foreign_settlements(times_ms: pl.Series, venue: str) -> str | None:
    """Return why settlements are stamped in local time: nobody settles at their hours."""
    if times_ms.len() < 3:
        return None
    times_ms = (times_ms + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS  # stamps jitter
    step_ms = int(times_ms.unique().sort().diff().drop_nulls().mode().sort()[0])
    if step_ms not in {2 * HOUR_MS, 4 * HOUR_MS, 8 * HOUR_MS}:
        return None
    known = step_ms == 8 * HOUR_MS and venue.startswith(MIDNIGHT_VENUES)
    grid_ms = step_ms if known else min(step_ms, 4 * HOUR_MS)
    off = (times_ms % grid_ms != 0).mean()
    if not isinstance(off, float) or off < SETTLED_TOGETHER:
        return None
    hours = (times_ms % DAY_MS // HOUR_MS).unique().sort().to_list()
    shown = ", ".join(f"{hour:02d}:00" for hour in hours[:4])
    return f"settlements are at {shown}, where {venue} does not settle in UTC"


def moved_against(ours: Closes, others: Iterable[Closes]) -> str | None:
    """Return by how much ``ours`` would have to be moved to fit one of ``others``, in words."""
    for other in others:
        found = shift_ms(ours, other)
        if found:
            hours = f"{abs(found) / HOUR_MS:g} h {'ahead of' if found > 0 else 'behind'}"
            return f"its bars move {hours} the stored {other.name}"
    return None


def shift_ms(ours: Closes, other: Closes) -> int:
    """Return by how many milliseconds ``ours`` is late against ``other``; 0: fits, or not known.

    Returns over the longer of both steps are compared at every distance that zones can have. Only
    a clear answer counts: correlation of at least 0.5, and 0.3 better than as the stamps stand.
    """
    step = max(ours.step_ms, other.step_ms)
    start = max(int(ours.close_ms[0]), int(other.close_ms[0]))
    end = min(int(ours.close_ms[-1]), int(other.close_ms[-1]))
    start = max(start, end - BARS_MAX * step)
    if (end - start) // step < BARS_MIN:
        return 0
    lag_step = max(step, ZONE_STEP_MS)
    if lag_step % step:
        return 0
    lags = [k * lag_step for k in range(-(ZONE_MAX_MS // lag_step), ZONE_MAX_MS // lag_step + 1)]
    mine = _returns(ours, start, end, step)
    fits = {lag: _correlation(mine, _returns(other, start - lag, end - lag, step)) for lag in lags}
    best = max(fits, key=lambda lag: fits[lag])
    clear = fits[best] >= FOUND_MIN and fits[best] - fits[0] >= BETTER_MIN
    return best if clear else 0


def _returns(closes: Closes, start: int, end: int, step: int) -> FloatArray:
    """Return log returns on the grid of ``step`` in [start, end), NaN where a close is missing."""
    grid = np.arange(-(-start // step) * step, end, step)
    at = np.searchsorted(closes.close_ms, grid)
    at = np.minimum(at, closes.close_ms.size - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.where(closes.close_ms[at] == grid, np.log(closes.close[at]), np.nan)
    moves: FloatArray = np.diff(logs)
    usual = float(np.nanmedian(np.abs(moves))) if np.isfinite(moves).any() else 0.0
    return np.clip(moves, -WILD * usual, WILD * usual)  # one broken bar must not decide


def _correlation(a: FloatArray, b: FloatArray) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < BARS_MIN:
        return 0.0
    x, y = a[both], b[both]
    spread = x.std() * y.std()
    return float(np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread > 0 else 0.0


def _is_change(time_ms: int, *, autumn: bool) -> bool:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    days = {_sunday(moment.year, *change[1 if autumn else 0]) for change in CHANGES}
    return moment.date() in days and moment.hour in CHANGE_HOURS


def _skipped_on(day: date, skipped: set[int]) -> int | None:
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    hours = (midnight + hour * HOUR_MS for hour in CHANGE_HOURS)
    return next((hour for hour in hours if hour in skipped), None)


def _sundays(change: tuple[int, int], first_ms: int, last_ms: int) -> list[date]:
    """Return the days of one kind of change strictly inside the range."""
    years = range(_day(first_ms).year, _day(last_ms).year + 1)
    days = [_sunday(year, *change) for year in years]
    return [day for day in days if _day(first_ms) < day < _day(last_ms)]


def _sunday(year: int, month: int, which: int) -> date:
    if which > 0:
        first = date(year, month, 1)
        return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (which - 1))
    after = date(year + month // 12, month % 12 + 1, 1)
    return after - timedelta(days=(after.weekday() - 6) % 7 or 7)


def _day(time_ms: int) -> date:
    return datetime.fromtimestamp(time_ms / 1000, UTC).date()


def _words(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"
