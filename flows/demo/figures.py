"""The figures of the trading part: equity and drawdown, and the trades on the price.

Decides how a run looks. Never computes a trade: the journal has them. PNG bytes out, in the style
of the model's own figures.
Rule: units on every axis, times are UTC.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, ScalarFormatter, StrMethodFormatter
from numpy.typing import NDArray

from features.types import FloatArray, IntArray
from flows.research.figures import BLUE, GREEN, INK, QUIET, RED, STYLE

DPI: Final = 150
RC: Final[dict[Any, Any]] = {**STYLE}
WIDTH_IN: Final = 9.6
LONG_MARK, SHORT_MARK = "^", "v"


def equity_figure(equity: Sequence[tuple[int, float]]) -> bytes:
    """Return equity over drawdown, one point a bar.

    Parameters
    ----------
    equity
        (close_ms, equity in USDT), ascending in time.
    """
    times = _times(np.array([row[0] for row in equity], dtype=np.int64))
    values = np.array([row[1] for row in equity], dtype=np.float64)
    peak = np.maximum.accumulate(values)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(WIDTH_IN, 4.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        top.plot(times, values, color=BLUE, linewidth=1.8)
        top.axhline(values[0], color=QUIET, linewidth=1.0, linestyle=":")
        top.set_ylabel("equity, USDT")
        top.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        top.annotate(
            f"{values[-1]:,.0f} USDT ({values[-1] / values[0] - 1:+.2%})",
            (times[-1], values[-1]),
            xytext=(-6, 10),
            textcoords="offset points",
            ha="right",
            color=INK,
            fontweight="bold",
        )
        top.margins(y=0.18)
        bottom.fill_between(times, values / peak - 1.0, 0.0, color=RED, alpha=0.35, linewidth=0)
        bottom.set_ylabel("drawdown")
        bottom.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
        _dates(bottom)
        return _png(figure)


def price_figure(
    symbol: str, time_ms: IntArray, close: FloatArray, trades: Sequence[Mapping[str, Any]]
) -> bytes:
    """Return the closes with each round trip as a line from entry to exit.

    Parameters
    ----------
    symbol
        Venue id.
    time_ms, close
        Close times and prices, shape (n,).
    trades
        Round trips of this symbol, as the journal holds them.
    """
    with mpl.rc_context(RC):
        figure = Figure(figsize=(WIDTH_IN, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.plot(_times(time_ms), close, color=QUIET, linewidth=0.9, alpha=0.9)
        for trade in trades:
            span = _times(np.array([trade["opened_ms"], trade["closed_ms"]], dtype=np.int64))
            colour = GREEN if trade["pnl"] > 0 else RED
            prices = [trade["entry_price"], trade["exit_price"]]
            axes.plot(span, prices, color=colour, linewidth=1.6, solid_capstyle="round")
            mark = LONG_MARK if trade["side"] > 0 else SHORT_MARK
            axes.plot(span[:1], prices[:1], mark, color=colour, markersize=6, markeredgewidth=0)
        won = sum(trade["pnl"] > 0 for trade in trades)
        axes.set_title(
            f"{symbol}   {len(trades)} trades, {won} won" if trades else f"{symbol}   no trade"
        )
        axes.set_ylabel("price, USDT")
        axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
        _dates(axes)
        return _png(figure)


def _times(time_ms: IntArray) -> NDArray[np.datetime64]:
    return time_ms.astype("datetime64[ms]")


def _dates(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]  # no types
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]  # no types
    axes.xaxis.set_major_formatter(formatter)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
