"""Defects of single bars: which of a series' bars cannot be true, and why.

Decides, bar by bar, what is broken. Never repairs and never clips: a large true move is not a
defect. Two facts carry the rules, both measured on years of real perpetuals (docs/decisions/0005):
trading is continuous, so a bar opens where the last one closed; and a large true move comes with
volume. Rule: pure functions of columns; every threshold stands in ``Rules``.

    duplicate  the same open time again          off_grid  a stamp that is no bar's open
    bad_price  null, not finite, not positive    crossed   high or low inside the body
    torn       the open is not where the last close was, no bar missing between
    spike      a move or shadow that comes back on ordinary volume, or without a shadow at its point
    frozen     no trades at one price, or equal bars, in a row
    volume     many times the day's median, though neither range nor neighbours explain it
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from features.types import FloatArray

KINDS = ("duplicate", "off_grid", "bad_price", "crossed", "torn", "spike", "frozen", "volume")
DAY_MS = 86_400_000
BLOCK_BARS = 32  # local sigma: the median of three blocks' median |return|
MAD_TO_SIGMA = 0.6745
SIGMA_FLOOR = 1e-4
SPIKE_BARS_MAX = 3
COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Thresholds of the bar rules; sigmas are local and robust, per bar."""

    torn_sigmas: float = 6.5
    torn_bars_max: int = 96  # a displaced stretch up to this long is put aside whole
    spike_sigmas: float = 11.8
    spike_volume_max: float = 6.0  # in units of the ordinary volume around
    quiet_spike_sigmas: float = 9.5
    quiet_spike_volume_max: float = 2.0
    # A way there and back without shadows, by the least bar it is looked for in.
    tip_sigmas: tuple[tuple[int, float], ...] = ((900_000, 5.0), (300_000, 5.5), (0, 8.0))
    tip_wick_sigmas: float = 0.002
    # A true move back needs volume as its square: sigmas over the root of the volume around.
    spike_root: float = 9.2
    wick_volume_max: float = 4.0
    wick_root: float = 8.0
    long_interval_ms: int = 3_600_000  # bars this long or longer hold long shadows
    long_wick_root: float = 45.0
    frozen_untraded_bars: int = 3
    frozen_equal_bars: int = 4
    volume_ratio: float = 45.0  # of the day's median
    volume_unexplained: float = 0.83
    volume_neighbours_max: float = 10.0


def flag(frame: pl.DataFrame, step_ms: int, rules: Rules) -> pl.DataFrame:
    """Return the bars in order of time with one boolean column a kind of defect.

    Parameters
    ----------
    frame
        Columns open_ms, open, high, low, close, volume; any order of rows, duplicates allowed.
    step_ms
        Length of a bar.
    rules
        Thresholds.

    Returns
    -------
    pl.DataFrame
        ``open_ms``, ``day`` (days since the epoch), ``missing`` (bars missing just before this
        one), the columns of :data:`KINDS`, and ``untraded`` (no volume; no defect by itself).
        A bar with a bad price takes part in no other rule of prices.
    """
    if frame.is_empty():
        return pl.DataFrame(
            schema={
                "open_ms": pl.Int64,
                "day": pl.Int64,
                "missing": pl.Int64,
                **dict.fromkeys((*KINDS, "untraded"), pl.Boolean),
            }
        )
    bars = _measured(_ordered(frame, step_ms))
    body_high, body_low = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    untraded = (pl.col("volume") == 0) & (pl.col("high") == pl.col("low"))
    bars = bars.with_columns(
        crossed=(pl.col("high") < body_high) | (pl.col("low") > body_low),
        untraded=untraded,
        torn_open=pl.col("gap").abs() >= rules.torn_sigmas * pl.col("sigma"),
        wick=_wick(step_ms, rules),
        frozen=_run(untraded, rules.frozen_untraded_bars) | _equal_run(rules.frozen_equal_bars),
    )
    sizes = (bars["move"] / bars["sigma"]).abs().fill_null(0.0).to_numpy()
    return bars.with_columns(
        torn=_torn_stretches(
            bars["gap"].to_numpy(), bars["torn_open"].fill_null(value=False).to_numpy(), rules
        ),
        spike=_spikes(bars, sizes, rules) | _tips(bars, sizes, step_ms, rules) | pl.col("wick"),
        volume=_volumes(bars, rules),
    ).select(
        "open_ms",
        "day",
        "missing",
        *(pl.col(kind).fill_null(value=False) for kind in (*KINDS, "untraded")),
    )


def _ordered(frame: pl.DataFrame, step_ms: int) -> pl.DataFrame:
    """Sort by time, mark duplicates and foreign stamps, null every bar with a bad number."""
    good = pl.all_horizontal(
        pl.col(c).is_finite().fill_null(value=False)
        & (pl.col(c) >= 0 if c == "volume" else pl.col(c) > 0)
        for c in COLUMNS
    )
    bars = frame.select("open_ms", *COLUMNS).sort("open_ms", maintain_order=True)
    bars = bars.with_columns(bad_price=~good, step=pl.col("open_ms").diff())
    bars = bars.with_columns(
        pl.when(~pl.col("bad_price")).then(pl.col(c)).alias(c) for c in COLUMNS
    )
    return bars.with_columns(
        day=pl.col("open_ms") // DAY_MS,
        duplicate=pl.col("step") == 0,
        off_grid=pl.col("open_ms") % step_ms != 0,
        missing=(pl.col("step") // step_ms - 1).clip(0).fill_null(0),
        close_before=pl.when(pl.col("step") == step_ms).then(pl.col("close").shift(1)),
    )


def _measured(bars: pl.DataFrame) -> pl.DataFrame:
    """Add opening gap, return, range, local sigma and what volume is ordinary."""
    bars = bars.with_columns(
        gap=pl.col("open") / pl.col("close_before") - 1,  # no logarithms: they took the time
        move=pl.col("close") / pl.col("close_before") - 1,
        range=pl.col("high") / pl.col("low") - 1,
        block=(pl.int_range(pl.len()) // BLOCK_BARS).set_sorted(),
        day_number=pl.col("day").rle_id(),
    )
    blocks = bars.group_by("block", maintain_order=True).agg(
        move=pl.col("move").abs().median(), volume=pl.col("volume").median()
    )
    sigma = blocks["move"].rolling_median(3, min_samples=1, center=True) / MAD_TO_SIGMA
    around = blocks["volume"].rolling_median(5, min_samples=1, center=True)
    days = bars.group_by("day_number", maintain_order=True).agg(
        volume=pl.col("volume").median(), range=pl.col("range").median()
    )
    day_volume = days["volume"].gather(bars["day_number"])
    return bars.with_columns(
        sigma=sigma.fill_null(SIGMA_FLOOR).clip(SIGMA_FLOOR).gather(bars["block"]),
        volume_ratio=pl.col("volume") / day_volume,
        volume_ordinary=pl.col("volume")
        / pl.min_horizontal(day_volume, around.gather(bars["block"])),
        range_ratio=pl.col("range") / days["range"].gather(bars["day_number"]),
    )


def _spikes(bars: pl.DataFrame, size: FloatArray, rules: Rules) -> pl.Series:
    """Mark the bars of a move that comes back within a few bars on ordinary volume.

    ``size`` is each bar's move in local sigmas. Only bars with a large one are looked at, so that
    ten million bars cost no more than one.
    """
    close, before = bars["close"].to_numpy(), bars["close_before"].to_numpy()
    volume = bars["volume_ordinary"].to_numpy()
    marked = np.zeros(bars.height, dtype=np.bool_)
    for first in np.flatnonzero(size >= rules.quiet_spike_sigmas).tolist():
        loud = size[first] >= rules.spike_sigmas
        limit = rules.spike_volume_max if loud else rules.quiet_spike_volume_max
        move = abs(np.log(close[first] / before[first]))
        for last in range(first + 1, min(first + SPIKE_BARS_MAX, bars.height - 1) + 1):
            left = abs(np.log(close[last] / before[first]))
            most = volume[first : last + 1].max()
            calm = most < limit or size[first] >= rules.spike_root * np.sqrt(most)
            if left < 0.4 * move and calm:
                marked[first : last + 1] = True
                break
    return pl.Series(marked)


def _tips(bars: pl.DataFrame, size: FloatArray, step_ms: int, rules: Rules) -> pl.Series:
    """Mark a way there and back without a shadow at either end, whatever the volume.

    A true move of that size is traded through: it leaves a shadow beyond the close that it ends at,
    or beyond the open that the way back begins at. A price that was written wrong is the extreme of
    both bars, to the digit.
    """
    least = next(sigmas for length_ms, sigmas in rules.tip_sigmas if step_ms >= length_ms)
    marked = np.zeros(bars.height, dtype=np.bool_)
    for length in range(1, SPIKE_BARS_MAX + 1):
        at = np.flatnonzero(size[:-length] >= least)
        there, back = bars[at], bars[at + length]
        before, sigma = there["close_before"].to_numpy(), there["sigma"].to_numpy()
        is_top = there["close"].to_numpy() > before
        found = ((back["open_ms"] - there["open_ms"]) == length * step_ms).to_numpy().copy()
        for one, price in ((there, "close"), (back, "open")):
            high, low, tip = (one[name].to_numpy() for name in ("high", "low", price))
            shadow = np.where(is_top, high / tip - 1, 1 - low / tip)
            found &= shadow <= rules.tip_wick_sigmas * sigma
        way_back = np.abs(back["close"].to_numpy() / back["open"].to_numpy() - 1)
        left = np.abs((back["close"].to_numpy() / before - 1) / there["move"].to_numpy())
        found &= (way_back >= least * sigma) & (left < 0.6)
        for first in at[found].tolist():
            marked[first : first + length + 1] = True
    return pl.Series(marked)


def _wick(step_ms: int, rules: Rules) -> pl.Expr:
    """Mark shadows too long for their volume; a long bar has room for longer true ones."""
    above = pl.col("high") / pl.max_horizontal("open", "close") - 1
    below = 1 - pl.col("low") / pl.min_horizontal("open", "close")
    longest = pl.max_horizontal(above, below) / pl.col("sigma")
    root = pl.col("volume_ordinary").clip(1.0).sqrt()
    if step_ms >= rules.long_interval_ms:
        return (longest >= rules.long_wick_root * root).fill_null(value=False)
    ordinary = pl.col("volume_ordinary") < rules.wick_volume_max
    much = longest >= rules.wick_root * root
    return ((longest >= rules.spike_sigmas) & (ordinary | much)).fill_null(value=False)


def _volumes(bars: pl.DataFrame, rules: Rules) -> pl.Series:
    """Mark volume that its own bar's range and its neighbours' volume do not explain."""
    ratio = bars["volume_ratio"].fill_nan(None).fill_null(1.0).to_numpy()
    spread = bars["range_ratio"].fill_nan(None).fill_null(1.0).to_numpy()
    marked = np.zeros(bars.height, dtype=np.bool_)
    loud = (ratio >= rules.volume_ratio) & np.isfinite(ratio)
    for at in np.flatnonzero(loud).tolist():
        sides = ratio[max(at - 1, 0)], ratio[min(at + 1, bars.height - 1)]
        beside = max((sides[0] + sides[1]) / 2 if 0 < at < bars.height - 1 else min(sides), 1.0)
        explained = max(spread[at], 1.0) ** 2 * beside**0.75
        marked[at] = (
            ratio[at] / explained >= rules.volume_unexplained
            and beside <= rules.volume_neighbours_max
        )
    return pl.Series(marked)


def _run(mark: pl.Expr, bars: int) -> pl.Expr:
    """Mark every bar of a run of at least ``bars`` marked bars."""
    mark = mark.fill_null(value=False)
    ends = mark
    for back in range(1, bars):
        ends &= mark.shift(back, fill_value=False)
    run = ends
    for later in range(1, bars):
        run |= ends.shift(-later, fill_value=False)
    return run


def _equal_run(bars: int) -> pl.Expr:
    """Mark runs of at least ``bars`` bars that repeat one bar whole, or stand at one price."""
    later = pl.col("step") != 0
    repeated = later & pl.all_horizontal(pl.col(c) == pl.col(c).shift(1) for c in COLUMNS)
    flat = (pl.col("high") == pl.col("low")) & (pl.col("close") == pl.col("close").shift(1))
    again, still = _run(repeated, bars - 1), _run(later & flat, bars - 1)
    first_flat = still.shift(-1, fill_value=False) & (pl.col("high") == pl.col("low"))
    return again | again.shift(-1, fill_value=False) | still | first_flat


def _torn_stretches(gap: FloatArray, torn_open: np.ndarray, rules: Rules) -> pl.Series:
    """Mark the bars on both sides of a torn open, and a displaced stretch between two of them."""
    torn = np.zeros(gap.size, dtype=np.bool_)
    found = np.flatnonzero(torn_open)
    torn[found] = True
    torn[np.maximum(found - 1, 0)] = True
    for first, second in pairwise(found):
        near = second - first <= rules.torn_bars_max
        there, back = np.log1p(gap[first]), np.log1p(gap[second])
        if near and abs(there + back) < 0.5 * abs(there):
            torn[first:second] = True
    return pl.Series(torn)
