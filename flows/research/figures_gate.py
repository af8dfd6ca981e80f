"""The figure of a calibration of the gate.

Decides how counts look. Never counts. Rule: as in ``figures``: one palette, units on every axis.
"""

from collections.abc import Sequence
from typing import Protocol

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from flows.research.figures import BLUE, QUIET, RED, STYLE, png


class Counted(Protocol):
    """A count of markets and the bounds of its rate."""

    @property
    def kind(self) -> str:
        """Kind of market."""
        ...

    @property
    def sharpe(self) -> float:
        """The oracle's Sharpe ratio."""
        ...

    @property
    def markets(self) -> int:
        """How many."""
        ...

    @property
    def promoted(self) -> int:
        """How many of them were promoted."""
        ...

    @property
    def lower(self) -> float:
        """Lower bound of the rate."""
        ...

    @property
    def upper(self) -> float:
        """Upper bound of the rate."""
        ...


def calibration_run_figure(found: Sequence[Counted], null_values: Sequence[float]) -> bytes:
    """Return the share promoted by the oracle's Sharpe ratio, and the nulls' p-values of the SPA.

    Edges that the written recipe does not fit stand beside the curve. On a valid test the p-values
    of nulls lie on the diagonal or below it.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        edges = sorted((c for c in found if c.kind == "planted"), key=lambda c: c.sharpe)
        _rates(left, edges, 0.0, BLUE, "after the written signal", marker="o-")
        others = [c for c in found if c.sharpe > 0.0 and c.kind != "planted"]
        for place, count in enumerate(others, start=1):
            _rates(left, [count], 0.12 * place, QUIET, count.kind, marker="sDv^"[place % 4])
        if others:
            left.legend(loc="upper left", fontsize=9)
        left.set_ylim(-0.03, 1.05)
        left.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        left.set_xlabel("net Sharpe ratio a year of who knows the edge")
        left.set_ylabel("promoted, with 95 % bounds")
        left.set_title("Where there is an edge")
        values = np.sort(np.asarray(null_values, dtype=np.float64))
        share = np.arange(1, values.size + 1) / max(1, values.size)
        right.plot([0, 1], [0, 1], color=QUIET, linewidth=1.0, label="exact")
        right.step(values, share, where="post", color=RED, label=f"{values.size} null markets")
        right.set_xlabel("p-value of the SPA test")
        right.set_ylabel("share of markets at or below it")
        right.set_title("Where there is nothing")
        right.legend(loc="upper left", fontsize=9)
        return png(figure)


def _rates(
    axes: Axes, counts: Sequence[Counted], aside: float, color: str, label: str, *, marker: str
) -> None:
    """Draw shares with their bounds, ``aside`` to the right of their Sharpe ratios."""
    if not counts:
        return
    x = np.array([c.sharpe for c in counts]) + aside
    y = np.array([c.promoted / c.markets for c in counts])
    low = y - np.array([c.lower for c in counts])
    high = np.array([c.upper for c in counts]) - y
    axes.errorbar(x, y, yerr=[low, high], color=color, fmt=marker, capsize=3, label=label)
    for place, count in enumerate(counts):
        axes.annotate(
            f"{count.promoted}/{count.markets}",
            (x[place], y[place]),
            xytext=(6, -12),
            textcoords="offset points",
            fontsize=9,
        )
