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
        for path, sharpe in zip(daily, sharpes, strict=True):
            total = np.concatenate(([0.0], np.cumsum(path)))
            axes.plot(days, total, color=BLUE, alpha=0.6, linewidth=1.3)
            axes.annotate(
                f"{sharpe:.2f}",
                (days[-1], total[-1]),
                xytext=(4, 0),
                textcoords="offset points",
                fontsize=9,
                va="center",
                color=QUIET,
            )
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
    with mpl.rc_context(STYLE):
        rows = list(frequency.items())[:most][::-1]
        figure = Figure(figsize=(5.4, 0.25 * max(6, len(rows)) + 1.0), layout="constrained")
        axes = figure.subplots()
        axes.barh(
            [name for name, _ in rows],
            [share for _, share in rows],
            color=[GREEN if share >= threshold else QUIET for _, share in rows],
            height=0.7,
        )
        axes.axvline(threshold, color=INK, linestyle=":", linewidth=1.2)
        axes.set_xlim(0.0, 1.0)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", labelcolor=INK, length=0, labelsize=9)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("share of the halves in which it was chosen")
        axes.set_title("Chosen again and again")
        return png(figure)
