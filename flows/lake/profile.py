"""One row a day on the state of a series, and the ranges to put aside.

Decides what a day of data is described by. Never judges (``flows.lake.verdict`` does) and never
changes a bar. Rule: every count of a day is of that day alone, so rows of different runs agree;
pure functions of frames, no storage.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from flows.lake.defects import COLUMNS, DAY_MS, KINDS, Rules, flag
from flows.lake.settlements import missing_settlements

# A bar with one of these is put aside: it is left out of candles, so it becomes a gap.
QUARANTINED = ("bad_price", "crossed", "torn", "spike", "frozen", "volume")
RESTATED_MIN = 1e-4  # one basis point
NOISE_SHARE = 1 / 8
AGREEMENT = 1e-4  # closes, highs and lows of two intervals may differ by one basis point


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What is stored of one symbol, as frames with the columns of the lake's tables."""

    step_ms: int
    candles: pl.DataFrame
    funding: pl.DataFrame | None = None  # None: the market has no funding
    marks: Mapping[int, pl.DataFrame] = field(default_factory=dict)  # by step_ms
    restatements: pl.DataFrame | None = None
    others: Mapping[int, pl.DataFrame] = field(default_factory=dict)  # by step_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What was found: a row a day, and ranges of bars to put aside."""

    days: pl.DataFrame
    quarantine: pl.DataFrame  # start_ms (inclusive), end_ms (exclusive), kind


def profile(inputs: Inputs, rules: Rules) -> Profile:
    """Describe one symbol's bars by day.

    Returns
    -------
    Profile
        ``days`` has one row for every day from the first bar's to the last bar's, with ``day``
        (date), ``expected``, ``bars`` and ``missing`` (bars), ``gaps`` (runs of missing bars), one
        count for every kind of defect, ``untraded``, ``quarantined``, ``restated``,
        ``funding_expected``, ``funding_missing`` (settlements), ``mark_bp`` (how far closes lie off
        the mark price in basis points, null without mark), ``compared`` and ``disagreeing`` (bars
        held against another stored interval).
    """
    flags = flag(inputs.candles, inputs.step_ms, rules)
    if flags.is_empty():
        return Profile(days=pl.DataFrame(), quarantine=_ranges(flags, inputs.step_ms))
    days = _calendar(flags, inputs.step_ms)
    for part in (
        _counts(flags),
        _restated(inputs.restatements),
        _funding(inputs, flags),
        _mark(inputs),
        _agreement(inputs),
    ):
        days = days.join(part, on="day", how="left", maintain_order="left")
    counted = [c for c in days.columns if c not in {"day", "mark_bp"}]
    days = days.with_columns(pl.col(counted).fill_null(0).cast(pl.Int64)).with_columns(
        missing=(pl.col("expected") - pl.col("bars")).clip(0),
        day=(pl.col("day") * DAY_MS).cast(pl.Datetime("ms")).cast(pl.Date),
    )
    return Profile(days=days, quarantine=_ranges(flags, inputs.step_ms))


def _calendar(flags: pl.DataFrame, step_ms: int) -> pl.DataFrame:
    """Return every day from the first to the last bar with the number of bars it should have."""
    first, last = int(flags["open_ms"][0]), int(flags["open_ms"][-1])
    start = pl.col("day") * DAY_MS
    return pl.DataFrame(
        {"day": pl.int_range(first // DAY_MS, last // DAY_MS + 1, eager=True)}
    ).select(
        "day",
        expected=(
            (pl.min_horizontal(start + DAY_MS, pl.lit(last + step_ms)) - 1) // step_ms
            - (pl.max_horizontal(start, pl.lit(first)) - 1) // step_ms
        ),
    )


def _counts(flags: pl.DataFrame) -> pl.DataFrame:
    aside = pl.any_horizontal(QUARANTINED)
    return flags.group_by("day", maintain_order=True).agg(
        bars=pl.len() - pl.col("duplicate").sum() - pl.col("off_grid").sum(),
        gaps=(pl.col("missing") > 0).sum(),
        quarantined=aside.sum(),
        untraded=pl.col("untraded").sum(),
        **{kind: pl.col(kind).sum() for kind in KINDS},
    )


def _restated(restatements: pl.DataFrame | None) -> pl.DataFrame:
    """Count bars that a later answer of the venue changed by at least a basis point."""
    if restatements is None:
        return pl.DataFrame(schema={"day": pl.Int64, "restated": pl.Int64})
    changed = (pl.col("new") / pl.col("old") - 1).abs() >= RESTATED_MIN
    unknown = pl.col("old").is_null() | pl.col("new").is_null() | (pl.col("old") == 0)
    return (
        restatements.filter(changed | unknown)
        .group_by(day=pl.col("time_ms") // DAY_MS)
        .agg(restated=pl.col("time_ms").n_unique())
    )


def _funding(inputs: Inputs, flags: pl.DataFrame) -> pl.DataFrame:
    if inputs.funding is None:
        schema = {"day": pl.Int64, "funding_expected": pl.Int64, "funding_missing": pl.Int64}
        return pl.DataFrame(schema=schema)
    first, last = int(flags["open_ms"][0]), int(flags["open_ms"][-1]) + inputs.step_ms
    times = inputs.funding["time_ms"].filter(inputs.funding["time_ms"].is_between(first, last))
    missing = missing_settlements(times.to_list(), first, last)
    both = pl.DataFrame(
        {
            "day": [t // DAY_MS for t in (*times.to_list(), *missing)],
            "funding_missing": [0] * times.len() + [1] * len(missing),
        },
        schema={"day": pl.Int64, "funding_missing": pl.Int64},
    )
    return both.group_by("day").agg(
        funding_expected=pl.len(), funding_missing=pl.col("funding_missing").sum()
    )


def _mark(inputs: Inputs) -> pl.DataFrame:
    """Measure how far closes are from the mark price; another market's closes are far off.

    By the day's median with its sign: another market lies to one side for hours, while the noise of
    a thin book lies to both. Noise counts an eighth, so that anything wild still stands out.
    """
    schema = {"close_ms": pl.Int64, "mark": pl.Float64}
    marks = pl.concat(
        [
            pl.DataFrame(schema=schema),
            *(
                frame.select(close_ms=pl.col("open_ms") + step_ms, mark="close")
                for step_ms, frame in inputs.marks.items()
            ),
        ]
    ).unique("close_ms")
    close_ms = pl.col("open_ms") + inputs.step_ms
    both = inputs.candles.select("open_ms", "close", close_ms=close_ms).join(marks, on="close_ms")
    distance = ((pl.col("close") / pl.col("mark") - 1) * 1e4).fill_nan(None)
    aside, noise = distance.median().abs(), distance.abs().median() * NOISE_SHARE
    return both.group_by(day=pl.col("open_ms") // DAY_MS).agg(
        mark_bp=pl.max_horizontal(aside, noise)
    )


def _agreement(inputs: Inputs) -> pl.DataFrame:
    """Hold the bars against every other stored interval of the symbol."""
    parts = []
    for step_ms, other in inputs.others.items():
        fine, coarse = sorted(
            ((inputs.step_ms, inputs.candles), (step_ms, other)), key=lambda pair: pair[0]
        )
        if coarse[0] % fine[0] == 0:
            parts.append(_disagreeing(fine[1], coarse[1], coarse[0], coarse[0] // fine[0]))
    if not parts:
        return pl.DataFrame(schema={"day": pl.Int64, "compared": pl.Int64, "disagreeing": pl.Int64})
    return (
        pl.concat(parts).group_by("day").agg(compared=pl.len(), disagreeing=pl.col("differs").sum())
    )


def _disagreeing(
    fine: pl.DataFrame, coarse: pl.DataFrame, coarse_ms: int, bars: int
) -> pl.DataFrame:
    """Compare coarse bars with those built from the fine ones, where all of them are there."""
    built = (
        fine.select("open_ms", *COLUMNS)
        .sort("open_ms")
        .group_by(bar=pl.col("open_ms") // coarse_ms * coarse_ms, maintain_order=True)
        .agg(pl.col("high").max(), pl.col("low").min(), pl.col("close").last(), parts=pl.len())
        .filter(pl.col("parts") == bars)
    )
    both = coarse.rename({"open_ms": "bar"}).join(built, on="bar", suffix="_built")
    differs = pl.any_horizontal(
        ((pl.col(c) / pl.col(f"{c}_built") - 1).abs() > AGREEMENT).fill_null(value=True)
        for c in ("high", "low", "close")
    )
    return both.select(day=pl.col("bar") // DAY_MS, differs=differs)


def _ranges(flags: pl.DataFrame, step_ms: int) -> pl.DataFrame:
    """Merge neighbouring bars to put aside into ranges, with the kinds found in each."""
    named = [pl.when(pl.col(k)).then(pl.lit(k)) for k in QUARANTINED]
    aside = flags.filter(pl.any_horizontal(QUARANTINED)).unique("open_ms", maintain_order=True)
    return (
        aside.select("open_ms", kinds=pl.concat_list(named).list.drop_nulls())
        .with_columns(run=(pl.col("open_ms").diff().fill_null(0) > step_ms).cum_sum())
        .group_by("run", maintain_order=True)
        .agg(
            start_ms=pl.col("open_ms").first(),
            end_ms=pl.col("open_ms").last() + step_ms,
            kind=pl.col("kinds").explode().unique(maintain_order=True).str.join("+"),
        )
        .drop("run")
    )
