"""The figures of a model, drawn in one style.

Decides how evidence looks. Never computes what it shows and never writes a file: PNG bytes out.
Rule: one palette, direct labels or one legend, units on every axis, bytes that do not depend on
time.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from flows.research.evidence import WRITTEN, Evidence
from flows.research.performance import drawdowns, equity_curve

mpl.use("Agg")

INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE, GREEN, RED, VIOLET = "#2563eb", "#ea8a00", "#0f9d6b", "#d64545", "#7c3aed"
BROWN = "#92400e"
COLORS = {
    "model": BLUE,
    "signal alone": ORANGE,
    "logistic alone": GREEN,
    WRITTEN: BROWN,
    "costs x2": VIOLET,
    "costs x3": RED,
    "buy and hold": QUIET,
}
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
    "figure.facecolor": "white",
}
DPI = 110


def equity_figure(evidence: Evidence) -> bytes:
    """Return equity and drawdown of model, baselines and buy-and-hold, out of sample."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 5.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        series = {name: evidence.records[name].daily for name in evidence.records}
        shown = ("model", "signal alone", WRITTEN, "logistic alone", "costs x2")
        lines = {n: series[n] for n in shown if n in series} | {"buy and hold": evidence.hold}
        days = days_from(evidence.first_day, evidence.hold.size + 1)
        for name, daily in lines.items():
            main = name == "model"
            top.plot(
                days,
                equity_curve(daily) - 1.0,
                color=COLORS[name],
                linewidth=2.2 if main else 1.2,
                linestyle="--" if name == "costs x2" else "-",
                alpha=1.0 if main else 0.85,
                label=f"{name} {equity_curve(daily)[-1] - 1.0:+.1%}",
                zorder=3 if main else 2,
            )
        test = np.datetime64(evidence.test_first_day, "D")
        for axes in (top, bottom):
            axes.axvspan(test, days[-1], color=BLUE, alpha=0.05, linewidth=0)
        top.text(
            test,
            0.015,
            " test part, judged once",
            transform=top.get_xaxis_transform(),
            color=BLUE,
            fontsize=9,
        )
        top.axhline(0.0, color=QUIET, linewidth=0.8)
        top.set_title("Out-of-sample record, after all costs")
        top.set_ylabel("net return")
        top.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        top.legend(loc="upper left", fontsize=9, ncols=2)
        fallen = -drawdowns(equity_curve(series["model"]))
        bottom.fill_between(days, fallen, 0.0, color=RED, alpha=0.35, linewidth=0)
        bottom.set_ylabel("drawdown")
        bottom.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        show_dates(bottom)
        return png(figure)


def calibration_figure(evidence: Evidence) -> bytes:
    """Return observed rate against probability, out of fold and on the test part."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 4.4), layout="constrained")
        axes = figure.subplots()
        low, high = 1.0, 0.0
        colors = {"out of fold": QUIET, "test": BLUE}
        for name, color in colors.items():
            curve = evidence.calibration[name]
            p, rate, weight = (np.array(curve[k]) for k in ("probability", "observed", "weight"))
            if p.size == 0:
                continue
            error = np.sqrt(np.maximum(rate * (1.0 - rate), 1e-6) / np.maximum(weight, 1.0))
            axes.errorbar(
                p, rate, yerr=error, color=color, marker="o", markersize=5, capsize=2, label=name
            )
            low = min(low, float(p.min()), float(rate.min()))
            high = max(high, float(p.max()), float(rate.max()))
        low, high = max(0.0, low - 0.05), min(1.0, high + 0.05)
        axes.plot([low, high], [low, high], color=INK, linewidth=1, linestyle=":")
        axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axes.set_xlabel("probability of a net gain")
        axes.set_ylabel("observed rate (± standard error)")
        axes.set_title("Calibration")
        axes.legend(loc="upper left")
        return png(figure)


def spread_figure(evidence: Evidence, break_even: float) -> bytes:
    """Return how the test rows' probabilities lie around the one that is needed."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 4.4), layout="constrained")
        axes = figure.subplots()
        edges = np.array(evidence.spread.edges)
        lost, won = np.array(evidence.spread.lost), np.array(evidence.spread.won)
        width = np.diff(edges)
        axes.bar(edges[:-1], lost, width, align="edge", color=QUIET, alpha=0.6, label="lost")
        axes.bar(edges[:-1], won, width, bottom=lost, align="edge", color=GREEN, label="won")
        axes.axvline(break_even, color=INK, linestyle=":", linewidth=1.4)
        axes.annotate(
            "break-even",
            (break_even, 0.97),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=9,
            va="top",
        )
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("probability of a net gain")
        axes.set_ylabel("effective signals of the test part")
        axes.set_title("How sure it is")
        axes.legend(loc="upper right", fontsize=9)
        return png(figure)


def importance_figure(evidence: Evidence, most: int = 20) -> bytes:
    """Return the share of total gain of the most used features."""
    with mpl.rc_context(STYLE):
        rows = list(evidence.importance.items())[:most][::-1]
        figure = Figure(figsize=(5.4, 0.25 * max(6, len(rows)) + 1.0), layout="constrained")
        axes = figure.subplots()
        axes.barh([name for name, _ in rows], [gain for _, gain in rows], color=BLUE, height=0.7)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", labelcolor=INK, length=0, labelsize=9)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("share of the trees' total gain")
        axes.set_title("What the trees look at")
        return png(figure)


def labels_figure(evidence: Evidence) -> bytes:
    """Return how the events of each symbol ended."""
    with mpl.rc_context(STYLE):
        symbols = list(evidence.labels)
        figure = Figure(figsize=(9.0, 0.5 * len(symbols) + 1.8), layout="constrained")
        axes = figure.subplots()
        left = np.zeros(len(symbols))
        for name, color in (("profit", GREEN), ("time", QUIET), ("stop", RED)):
            share = np.array(
                [evidence.labels[s][name] / max(1.0, evidence.labels[s]["events"]) for s in symbols]
            )
            axes.barh(symbols, share, left=left, color=color, height=0.6, label=name)
            for row, (start, width) in enumerate(zip(left, share, strict=True)):
                if width > 0.06:
                    axes.text(
                        start + width / 2,
                        row,
                        f"{width:.0%}",
                        ha="center",
                        va="center",
                        color="white",
                    )
            left += share
        for row, symbol in enumerate(symbols):
            events = evidence.labels[symbol]["events"]
            won = evidence.labels[symbol]["net gain"] / max(1.0, events)
            axes.text(
                1.01, row, f"{events:,.0f} signals\n{won:.0%} net gain", va="center", fontsize=9
            )
        axes.set_xlim(0, 1)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", labelcolor=INK, length=0)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_title("How signals ended")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)
        return png(figure)


def search_figure(scores: Sequence[float], sobol: Sequence[bool]) -> bytes:
    """Return the score of every trial in order, and the best so far."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.6), layout="constrained")
        axes = figure.subplots()
        score, drawn = np.array(scores), np.array(sobol, dtype=np.bool_)
        number = np.arange(1, score.size + 1)
        judged = score > -9.0
        floor = float(score[judged].min()) - 0.5 if judged.any() else -1.0
        held = np.where(judged, score, floor)
        for flag, color, name in (
            (drawn, ORANGE, "Sobol points"),
            (~drawn, BLUE, "written recipe, adaptive"),
        ):
            at = flag & judged
            axes.scatter(number[at], held[at], color=color, s=34, label=name, zorder=3)
        if (~judged).any():
            axes.scatter(
                number[~judged], held[~judged], color=RED, marker="x", s=34, label="not judged"
            )
        axes.step(
            number,
            np.maximum.accumulate(held),
            where="post",
            color=INK,
            linewidth=1.4,
            label="best so far",
        )
        axes.set_xlabel("trial")
        axes.set_ylabel("score")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title("Search: mean Sharpe of the folds, less their spread")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9)
        return png(figure)


def days_from(first_day: int, count: int) -> NDArray[np.datetime64]:
    """Return ``count`` dates from ``first_day`` (days since 1970)."""
    return np.datetime64(first_day, "D") + np.arange(count)


def show_dates(axes: Axes) -> None:
    """Label the x axis with dates, in few words."""
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # matplotlib


def png(figure: Figure) -> bytes:
    """Return the figure as PNG; the same figure gives the same bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
