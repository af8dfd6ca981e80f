"""The page of a backtest: one HTML file that needs nothing else.

Decides what a reader sees and in which order: what was asked, the result beside doing nothing, what
changes between two set-ups, where the gain came from and what it would bear. Never computes a
figure. Rule: a range that the model was trained on is said first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import nan
from typing import Any

from features.types import FloatArray
from flows.report.markup import card, figures_table, image, pair, section, table
from flows.report.sheet import sheet
from flows.research.backtest import Backtest
from flows.research.figures_backtest import (
    accounts_figure,
    attribution_figure,
    capacity_figure,
    clock_figure,
)

RESULT = {
    "return_total": "return",
    "return_annual": "a year",
    "sharpe": "Sharpe",
    "sortino": "Sortino",
    "calmar": "Calmar",
    "max_drawdown": "max drawdown",
    "max_drawdown_days": "days below a high",
}
TRADES = {
    "trades": "trades",
    "win_rate": "won",
    "profit_factor": "profit factor",
    "expectancy": "a trade",
    "hold_hours_mean": "hours held",
    "hold_hours_max": "longest",
    "win_streak_max": "wins in a row",
    "loss_streak_max": "losses in a row",
}
BOOK = {
    "exposure_mean": "exposure",
    "exposure_max": "at most",
    "exposure_net_mean": "net",
    "in_market_share": "in the market",
    "turnover_annual": "turnover a year",
    "fees_paid": "fees",
    "slippage_paid": "slippage",
    "funding": "funding",
}
BEARS = {
    "return_total": "return",
    "sharpe": "Sharpe",
    "max_drawdown": "max drawdown",
    "trades": "trades",
    "profit_factor": "profit factor",
}
GROUPS = {"trades": "trades", "win_rate": "won", "mean_net": "mean", "pnl": "profit"}
PARTS = ("alpha", "beta", "fees", "slippage", "funding", "net")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Account:
    """All that the page tells."""

    runs: Sequence[Backtest]
    held: FloatArray
    asked: Mapping[str, Any]
    warnings: Sequence[str]
    changes: Mapping[str, tuple[Any, Any]]
    difference: Mapping[str, float]


def backtest_page(account: Account) -> str:
    """Return the page as HTML."""
    first = account.runs[0]
    names = " and ".join(run.name for run in account.runs)
    line = escape(account.asked["line"])
    parts = [
        f"<header><h1>Backtest of {escape(names)}</h1><p>{line}</p></header>",
        *(f'<p class="note">{escape(line)}</p>' for line in account.warnings),
        _cards(first),
        _result(account),
        _compared(account),
        *(part for run in account.runs for part in (_sources(run), _groups(run))),
        _bears(account),
    ]
    return sheet(f"backtest of {names}", "\n".join(filter(None, parts)))


def _cards(run: Backtest) -> str:
    m = run.simulation.metrics
    gained = m.get("return_total", nan)
    return (
        '<div class="cards">'
        + card(f"{gained:+.2%}", "return after all costs", "up" if gained > 0 else "down")
        + card(f"{m.get('sharpe', nan):.2f}", "Sharpe a year")
        + card(f"{m.get('max_drawdown', nan):.1%}", "deepest fall from a high")
        + card(f"{m.get('trades', 0):,.0f}", "trades")
        + card(f"{run.simulation.attribution['alpha']:+,.0f}", "alpha, quote currency")
        + "</div>"
    )


def _result(account: Account) -> str:
    runs = {run.name: run.simulation.metrics for run in account.runs}
    book = {
        run.name: {**run.simulation.metrics, "funding": run.simulation.attribution["funding"]}
        for run in account.runs
    }
    lead = (
        "The executor's own decision core on recorded bars: sized by probability, limited by the "
        "risk gate, fills at the next open, fees, slippage and funding paid."
    )
    return section(
        "The result",
        lead,
        image(accounts_figure(account.runs, account.held), "equity and drawdown"),
        figures_table(runs, RESULT),
        figures_table(runs, TRADES),
        figures_table(book, BOOK),
    )


def _compared(account: Account) -> str:
    if len(account.runs) < 2:
        return ""
    one, other = (run.name for run in account.runs)
    d = account.difference
    words = (
        f"{one} earned {d['mean']:+.2%} a year more than {other} on the same {d['days']:.0f} days"
    )
    if "low" in d:
        words += (
            f"; with 90 % the difference lies between {d['low']:+.2%} and {d['high']:+.2%}, "
            f"and {d['share_below']:.0%} of bootstrap draws put it below zero"
        )
    rows = [(name, plain(a), plain(b)) for name, (a, b) in sorted(account.changes.items())]
    shown = table(("setting", one, other), rows) if rows else "<p>No setting differs.</p>"
    return section("Side by side", words + ".", shown)


def _sources(run: Backtest) -> str:
    parts = run.simulation.attribution
    refused = sorted(run.simulation.refused.items(), key=lambda item: -item[1])[:8]
    lead = (
        "Beta is what the market's own moves gave to the exposure held, alpha the rest before "
        "costs. The parts are measured one by one and sum to the equity's gain; "
        f"{parts['unexplained']:+.2g} is left over."
    )
    return section(
        f"{run.name}: where the gain came from",
        lead,
        image(attribution_figure(parts), "parts of the gain"),
        pair(
            table(("", "quote currency"), [(name, parts[name]) for name in PARTS]),
            table(
                ("entries refused because", "times"),
                [(name.replace("_", " "), count) for name, count in refused],
            ),
        ),
    )


def _groups(run: Backtest) -> str:
    if not run.simulation.trades:
        return ""
    kinds = {k: rows for k, rows in run.groups.items() if k not in {"hour", "weekday"}}
    tables = [f"<h3>By {kind}</h3>" + figures_table(rows, GROUPS) for kind, rows in kinds.items()]
    return section(
        f"{run.name}: when and what it traded",
        "Net returns of the trades and profit in quote currency, by the time of opening.",
        image(
            clock_figure(run.groups["hour"], run.groups["weekday"]), "profit by hour and weekday"
        ),
        pair(*tables),
    )


def _bears(account: Account) -> str:
    tables = []
    for run in account.runs:
        best, zero = (run.capacity[name] for name in ("best_capital", "zero_capital"))
        words = "It earns nothing that more capital could lose."
        if best is not None:
            words = f"Most profit at a capital of {best:,.0f}; none is left at {zero:,.0f}."
        tables.append(
            f"<h3>{escape(run.name)}</h3>"
            + figures_table({**run.stress, **_late(run)}, BEARS)
            + f'<p class="lead">{words}</p>'
        )
    lead = (
        "The same bars with fees and slippage two and three times as high, with entries that reach "
        "the market one to three bars late, and on larger accounts by the square-root law of "
        "market impact (a formula on the trades; volume caps are left aside)."
    )
    return section(
        "What it would bear",
        lead,
        *tables,
        image(capacity_figure(account.runs), "return by capital"),
    )


def plain(value: object) -> str:
    """Return a setting as a person writes it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _late(run: Backtest) -> dict[str, dict[str, float]]:
    return {name: row for name, row in run.delays.items() if name != "at the next open"}
