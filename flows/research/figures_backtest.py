"""The figures of a backtest: equity side by side, what it is made of, when, and how much it bears.

Decides how they look, in the style of :mod:`flows.research.figures`. Never computes what it shows.
Rule: PNG bytes out; units on every axis; one set-up keeps its colour in every figure.
"""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from features.types import FloatArray
from flows.research.backtest import WEEKDAYS, Backtest, Table
from flows.research.figures import (
    BLUE,
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

SETUPS = (BLUE, ORANGE)


def accounts_figure(runs: Sequence[Backtest], held: FloatArray) -> bytes:
    """Return equity and drawdown of each set-up beside buy-and-hold."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 5.6), layout="constrained")
        top, bottom, market = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 1))
        curve = equity_curve(held)
        days = days_from(runs[0].simulation.first_day, curve.size)
        market.plot(days, curve - 1.0, color=QUIET, linewidth=1.2)
        market.set_ylabel("buy and hold")
        for run, color in zip(runs, SETUPS, strict=False):
            equity = equity_curve(run.simulation.daily)
            days = days_from(run.simulation.first_day, equity.size)
            top.plot(days, equity - 1.0, color=color, linewidth=2.0, label=run.name)
            fall = -drawdowns(equity)
            bottom.fill_between(days, fall, 0.0, color=color, alpha=0.3, linewidth=0)
        top.axhline(0.0, color=QUIET, linewidth=0.8)
        top.set_title("The account, after all costs")
        top.set_ylabel("return")
        top.legend(loc="upper left", ncols=3)
        for axes in (top, bottom, market):
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
        bottom.set_ylabel("drawdown")
        show_dates(market)
        return png(figure)


def attribution_figure(parts: Mapping[str, float]) -> bytes:
    """Return the parts of the gain as a waterfall, in quote currency."""
    names = ("alpha", "beta", "fees", "slippage", "funding")
    values = np.array([parts[name] for name in names])
    ends = np.cumsum(values)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.2), layout="constrained")
        axes = figure.subplots()
        colors = [GREEN if value > 0.0 else RED for value in values]
        axes.bar(names, values, bottom=ends - values, color=colors, width=0.6)
        axes.bar(["equity"], [parts["net"]], color=BLUE, width=0.6)
        tops = [*np.maximum(ends, ends - values), max(parts["net"], 0.0)]
        for place, (top, value) in enumerate(zip(tops, [*values, parts["net"]], strict=True)):
            axes.annotate(
                f"{value:+,.0f}",
                (place, top),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color=INK,
            )
        axes.axhline(0.0, color=QUIET, linewidth=0.8)
        axes.use_sticky_edges = False
        axes.margins(y=0.18)
        axes.set_title("From the market to the account")
        axes.set_ylabel("quote currency")
        return png(figure)


def clock_figure(hours: Table, weekdays: Table) -> bytes:
    """Return profit by hour and by weekday of the opening."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 2.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(2.4, 1.0), sharey=True)
        for axes, table, names, words in (
            (left, hours, [f"{hour:02d}" for hour in range(24)], "hour (UTC)"),
            (right, weekdays, list(WEEKDAYS), "weekday"),
        ):
            values = [table.get(name, {"pnl": 0.0})["pnl"] for name in names]
            colors = [GREEN if value > 0.0 else RED for value in values]
            axes.bar(names, values, color=colors, width=0.7)
            axes.axhline(0.0, color=QUIET, linewidth=0.8)
            axes.set_xlabel(words)
            axes.tick_params(axis="x", labelsize=8)
        left.set_title("Profit by the time of opening")
        left.set_ylabel("quote currency")
        return png(figure)


def capacity_figure(runs: Sequence[Backtest]) -> bytes:
    """Return the total return on larger and larger accounts."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.0), layout="constrained")
        axes = figure.subplots()
        for run, color in zip(runs, SETUPS, strict=False):
            rows = run.capacity["rows"].values()
            x, y = ([row[name] for row in rows] for name in ("capital", "return_total"))
            axes.plot(x, y, color=color, marker="o", linewidth=2.0, label=run.name)
        axes.axhline(0.0, color=QUIET, linewidth=0.8)
        axes.set_xscale("log")
        axes.set_title("What larger accounts would have earned (square-root impact)")
        axes.set_xlabel("capital, quote currency")
        axes.set_ylabel("return")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
        if len(runs) > 1:
            axes.legend()
        return png(figure)
