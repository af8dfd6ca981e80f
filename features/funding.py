"""Which bar a funding settlement falls to.

Decides what a bar knows of funding: the newest settlement from the last bar's close on and before
its own. One that is due at the very close belongs to the next bar, since no venue lists it by
then. Never invents a rate. Rule: batch and stream, pipeline and executor ask here; stamps are put
on the whole minute first, as venues record them some milliseconds off.
"""

import numpy as np

from features.errors import InputError
from features.types import Candles, FloatArray, Funding, IntArray

MINUTE_MS = 60_000
EARLY_MS = 5_000


def on_minute(time_ms: IntArray) -> IntArray:
    """Return settlement stamps on their minute; up to 5 s early counts as jitter too."""
    whole: IntArray = (time_ms + EARLY_MS) // MINUTE_MS * MINUTE_MS
    return whole


def settled_between(funding: Funding, after_ms: int, until_ms: int) -> float | None:
    """Return the newest rate settled from ``after_ms`` on and before ``until_ms``, if any.

    This is what ``FeatureStream.update`` wants: the last bar's close and this bar's close.
    """
    # on_minute(t) < until_ms, solved for t: a search, not a pass over all settlements.
    bound = -(-until_ms // MINUTE_MS) * MINUTE_MS - EARLY_MS
    last = int(np.searchsorted(funding.time_ms, bound, side="left")) - 1
    if last < 0 or int(on_minute(funding.time_ms[last : last + 1])[0]) < after_ms:
        return None
    return float(funding.rate[last])


def settled_columns(candles: Candles, funding: Funding) -> tuple[FloatArray, FloatArray]:
    """Return (1 where a bar brings a settlement, its rate or 0), both of shape (n,).

    Raises
    ------
    InputError
        Where settlements are unsorted or a rate is not a number.
    """
    check_funding(funding)
    times = on_minute(funding.time_ms)
    close_ms = candles.close_ms
    count = np.searchsorted(times, close_ms, side="left")
    before = np.empty_like(count)
    before[1:] = count[:-1]
    before[:1] = np.searchsorted(times, candles.open_ms[:1], side="left")
    settled = count > before
    rate = np.zeros(candles.n)
    rate[settled] = funding.rate[count[settled] - 1]
    return settled.astype(np.float64), rate


def check_funding(funding: Funding) -> None:
    """Refuse settlements that cannot be used, naming the row.

    Raises
    ------
    InputError
        Where times and rates differ in number, times do not ascend, or a rate is not finite.
    """
    if funding.time_ms.shape != funding.rate.shape or funding.rate.ndim != 1:
        raise InputError(
            f"funding: {funding.time_ms.size} times and {funding.rate.size} rates; give one each"
        )
    back = np.flatnonzero(np.diff(funding.time_ms) <= 0)
    if back.size:
        row = int(back[0]) + 1
        raise InputError(f"funding row {row}, column time_ms: not after the row before; sort them")
    wrong = np.flatnonzero(~np.isfinite(funding.rate))
    if wrong.size:
        row = int(wrong[0])
        raise InputError(
            f"funding row {row}, column rate: {funding.rate[row]} is not a number; drop the row"
        )
