"""A calendar of defects: one row of squares a weekday, one block a symbol.

Decides how a profile is drawn. Never computes a count. Rule: a day without data is grey, a clean
day is pale, and colour grows with the share of bars that are missing or put aside.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from flows.lake.verdict import Thresholds

FLOOR = 1e-3  # the share that a clean day is drawn with
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def share_of_defects(days: pl.DataFrame, limits: Thresholds) -> pl.Series:
    """Return the share of each day's bars that are missing, put aside or contradicted.

    Where closes do not follow the mark price (more such days than ``limits`` allow), each of those
    days is contradicted whole; a single one is a wild day, not another market.
    """
    wrong = pl.col("missing") + pl.col("quarantined") + pl.col("disagreeing") + pl.col("restated")
    share = (wrong + pl.col("funding_missing")) / pl.col("expected").clip(1)
    apart = days["mark_bp"].fill_null(0.0) > limits.mark_bp_max
    if apart.sum() <= limits.mark_days_max * days["mark_bp"].count():
        return days.select(share.clip(0, 1)).to_series()
    return days.select(pl.when(apart).then(1.0).otherwise(share.clip(0, 1))).to_series()


def calendar(
    profiles: Mapping[str, pl.DataFrame], title: str, path: Path, limits: Thresholds
) -> Path:
    """Draw the calendars of all symbols into one PNG at ``path``."""
    shown = {symbol: days for symbol, days in profiles.items() if not days.is_empty()}
    figure = Figure(figsize=(12, 1.0 + 1.5 * max(len(shown), 1)), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(max(len(shown), 1), 1, squeeze=False)[:, 0]
    for axis, (symbol, days) in zip(axes, shown.items(), strict=False):
        first = days["day"][0]
        lead = first.weekday()
        weeks = (lead + days.height - 1) // 7 + 1
        grid = np.full(weeks * 7, np.nan)
        grid[lead : lead + days.height] = np.maximum(
            share_of_defects(days, limits).to_numpy(), FLOOR
        )
        image = axis.imshow(
            grid.reshape(weeks, 7).T,
            aspect="auto",
            cmap="YlOrRd",
            norm=LogNorm(FLOOR, 1.0),
            interpolation="nearest",
        )
        axis.set_facecolor("lightgrey")
        axis.set_ylabel(symbol, fontsize=9)
        axis.set_yticks(range(7), WEEKDAYS, fontsize=6)
        months = days.with_row_index("at").filter(pl.col("day").dt.day() == 1)
        months = months.gather_every(max(1, months.height // 12))
        axis.set_xticks(
            ((months["at"].cast(pl.Int64) + lead) // 7).to_list(),
            months["day"].dt.strftime("%Y-%m").to_list(),
            fontsize=7,
        )
        bar = figure.colorbar(image, ax=axis, pad=0.01, label="wrong bars a day")
        bar.set_ticks([FLOOR, 1e-2, 1e-1, 1.0], labels=["none", "1 %", "10 %", "all"])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
