"""Figures of what a model learnt, and of how much that depends on what it was shown.

Decides how they look. Never computes. Rule: as in ``figures``: one palette, units on every axis.
"""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from features.types import FloatArray
from flows.research.figures import BLUE, GREEN, INK, QUIET, STYLE, days_from, png, show_dates
from flows.research.performance import sharpe_annual


def paths_figure(daily: FloatArray, first_day: int) -> bytes:
    """Return the summed returns of the combinatorial paths, shape (paths, days)."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.4), layout="constrained")
        axes = figure.subplots()
        days = days_from(first_day, daily.shape[1] + 1)
        sharpes = [sharpe_annual(path) for path in daily]
        for path in daily:
            total = np.concatenate(([0.0], np.cumsum(path)))
            axes.plot(days, total, color=BLUE, alpha=0.6, linewidth=1.3)
        axes.axhline(0.0, color=QUIET, linewidth=0.8)
        axes.set_ylabel("sum of daily net returns")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_title(
            f"{len(daily)} histories, each judged by models that learnt from the rest "
            f"(Sharpe {min(sharpes):.2f} to {max(sharpes):.2f})"
        )
        show_dates(axes)
        return png(figure)


def stability_figure(frequency: Mapping[str, float], threshold: float, most: int = 20) -> bytes:
    """Return how often the most chosen features were chosen."""
    return _bars(
        dict(list(frequency.items())[:most]),
        "share of the halves in which it was chosen",
        "Chosen again and again",
        threshold,
    )


def moved_figure(weights: Mapping[str, float], most: int = 12) -> bytes:
    """Return which parameters moved the score of the search."""
    return _bars(
        dict(list(weights.items())[:most]),
        "share of the differences (PED-ANOVA)",
        "What moved the score",
    )


def _bars(
    rows: Mapping[str, float], unit: str, title: str, threshold: float | None = None
) -> bytes:
    with mpl.rc_context(STYLE):
        names, values = list(rows)[::-1], list(rows.values())[::-1]
        figure = Figure(figsize=(5.4, 0.25 * max(6, len(rows)) + 1.0), layout="constrained")
        axes = figure.subplots()
        colors = [BLUE if threshold is None else GREEN if v >= threshold else QUIET for v in values]
        axes.barh(names, values, color=colors, height=0.7)
        if threshold is not None:
            axes.axvline(threshold, color=INK, linestyle=":", linewidth=1.2)
            axes.set_xlim(0.0, 1.0)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", labelcolor=INK, length=0, labelsize=9)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel(unit)
        axes.set_title(title)
        return png(figure)
