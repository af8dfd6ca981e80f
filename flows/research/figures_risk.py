"""The figures of what may come and of what was tried: band, trials, folds, costs.

Decides how they look, in the style of :mod:`flows.research.figures`. Never computes what it shows.
Rule: PNG bytes out; units on every axis.
"""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from features.types import FloatArray
from flows.research.evidence import Evidence
from flows.research.figures import (
    BLUE,
    COLORS,
    GREEN,
    INK,
    ORANGE,
    QUIET,
    RED,
    STYLE,
    days_from,
    png,
    show_dates,
)
from flows.research.performance import drawdowns, equity_curve


def simulation_figure(daily: FloatArray, first_day: int) -> bytes:
    """Return the account's equity and drawdown under the live decision core."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 4.4), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        equity = equity_curve(daily)
        days = days_from(first_day, equity.size)
        top.plot(days, equity - 1.0, color=BLUE, linewidth=2.0)
        top.axhline(0.0, color=QUIET, linewidth=0.8)
        top.set_title("The live decision core on the test part, sized and limited as it trades")
        top.set_ylabel("return of the account")
        top.yaxis.set_major_formatter(PercentFormatter(1.0))
        bottom.fill_between(days, -drawdowns(equity), 0.0, color=RED, alpha=0.35, linewidth=0)
        bottom.set_ylabel("drawdown")
        bottom.yaxis.set_major_formatter(PercentFormatter(1.0))
        show_dates(bottom)
        return png(figure)


def band_figure(band: Mapping[str, Sequence[float]]) -> bytes:
    """Return the fan of equity that live trading is compared with."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.6), layout="constrained")
        axes = figure.subplots()
        q = {name: np.array(values) - 1.0 for name, values in band.items()}
        day = np.arange(next(iter(q.values())).size)
        axes.fill_between(day, q["0.05"], q["0.95"], color=BLUE, alpha=0.14, linewidth=0)
        axes.fill_between(day, q["0.25"], q["0.75"], color=BLUE, alpha=0.22, linewidth=0)
        axes.plot(day, q["0.5"], color=BLUE, linewidth=1.8)
        for name, words in (
            ("0.95", "1 in 20 above"),
            ("0.5", "median"),
            ("0.05", "1 in 20 below"),
        ):
            axes.annotate(
                f"{words} {q[name][-1]:+.1%}",
                (day[-1], q[name][-1]),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=INK,
                annotation_clip=False,
            )
        axes.axhline(0.0, color=QUIET, linewidth=0.8)
        axes.set_xlim(0, day[-1])
        axes.set_xlabel("days of live trading")
        axes.set_ylabel("return of the account")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_title("What to expect if the record goes on as it was")
        return png(figure)


def trials_figure(series: FloatArray, first_day: int, chosen: int) -> bytes:
    """Return every trial's walk-forward record, the chosen one in front; series (days, trials)."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.8), layout="constrained")
        axes = figure.subplots()
        days = days_from(first_day, series.shape[0])
        paths = np.cumsum(series, axis=0)
        axes.plot(days, paths, color=QUIET, linewidth=0.8, alpha=0.5)
        axes.plot(days, paths[:, chosen], color=BLUE, linewidth=2.2)
        axes.plot([], [], color=QUIET, linewidth=0.8, label=f"all {series.shape[1]} trials")
        axes.plot([], [], color=BLUE, linewidth=2.2, label="the chosen one")
        axes.axhline(0.0, color=INK, linewidth=0.8)
        axes.set_ylabel("sum of daily net returns")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_title("Everything that was tried, walking forward")
        axes.legend(loc="upper left", fontsize=9)
        show_dates(axes)
        return png(figure)


def folds_figure(folds: Sequence[float]) -> bytes:
    """Return the Sharpe ratio of each walk-forward fold of the chosen trial."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 3.2), layout="constrained")
        axes = figure.subplots()
        place = np.arange(1, len(folds) + 1)
        axes.bar(place, folds, width=0.6, color=[GREEN if f > 0 else RED for f in folds])
        for x, value in zip(place, folds, strict=True):
            below = value < 0
            axes.annotate(
                f"{value:.2f}",
                (x, value),
                xytext=(0, -4 if below else 4),
                textcoords="offset points",
                ha="center",
                va="top" if below else "bottom",
                fontsize=9,
            )
        axes.axhline(0.0, color=INK, linewidth=0.8)
        axes.margins(y=0.2)
        axes.set_xticks(place)
        axes.set_xlabel("fold, in order of time")
        axes.set_ylabel("Sharpe ratio a year")
        axes.set_title("Does it hold over time?")
        return png(figure)


def stress_figure(evidence: Evidence) -> bytes:
    """Return the total net return out of sample by record: baselines and stressed costs."""
    with mpl.rc_context(STYLE):
        names = ["model", "costs x2", "costs x3", "logistic alone", "signal alone"]
        total = [float(evidence.records[name].daily.sum()) for name in names]
        figure = Figure(figsize=(4.8, 3.2), layout="constrained")
        axes = figure.subplots()
        place = np.arange(len(names))[::-1]
        axes.barh(place, total, height=0.6, color=[COLORS[name] for name in names])
        for y, value in zip(place, total, strict=True):
            left = value < 0
            axes.annotate(
                f"{value:+.1%}",
                (value, y),
                xytext=(-4 if left else 4, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                fontsize=9,
            )
        axes.axvline(0.0, color=INK, linewidth=0.8)
        axes.margins(x=0.25)
        axes.set_yticks(place, names)
        axes.tick_params(axis="y", labelcolor=INK, length=0)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("sum of daily net returns")
        axes.set_title("Against costs and baselines")
        return png(figure)


def monthly_figure(months: Mapping[str, Mapping[str, float]]) -> bytes:
    """Return the sum of net returns of the trades begun in each month."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 2.8), layout="constrained")
        axes = figure.subplots()
        total = [row["sum_net"] for row in months.values()]
        place = np.arange(len(total))
        axes.bar(place, total, width=0.7, color=[GREEN if t > 0 else ORANGE for t in total])
        axes.axhline(0.0, color=INK, linewidth=0.8)
        axes.set_xticks(place, list(months), rotation=45 if len(total) > 12 else 0, ha="center")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylabel("sum of trades' returns")
        axes.set_title("By month")
        return png(figure)
