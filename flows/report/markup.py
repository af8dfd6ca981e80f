"""Small pieces of HTML for the model's report.

Decides how a figure, a table and a number look. Never knows what they mean. Rule: text is escaped
here, once; a number that does not exist is a dash.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import isinf, isnan, nan

PERCENT = {
    "return_total",
    "return_annual",
    "volatility_annual",
    "max_drawdown",
    "worst_day",
    "best_day",
    "expectancy",
    "gross_mean",
    "cost_mean",
    "mean_net",
    "sum_net",
    "probability_mean",
}
# Shares of many trades or signals: a tenth of a percent is all they can say.
RATES = {"win_rate", "positive_rate", "taken_rate", "exposure_mean", "exposure_max"}
RATES |= {"exposure_net_mean", "in_market_share"}
COUNTS = {"n", "n_effective", "trades", "days", "max_drawdown_days"}
COUNTS |= {"win_streak_max", "loss_streak_max"}
_NUMBER = '<td class="n">'


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


class Figure(Html):
    """A number as a person reads it."""

    __slots__ = ()


def section(title: str, lead: str, *parts: str) -> str:
    """Return a section with a title, one sentence and its content."""
    words = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f"<section><h2>{escape(title)}</h2>{words}{''.join(parts)}</section>"


def image(png: bytes, words: str) -> Html:
    """Return a figure with its description for those who cannot see it."""
    data = base64.b64encode(png).decode()
    return Html(f'<img alt="{escape(words)}" src="data:image/png;base64,{data}">')


def pair(*parts: str) -> Html:
    """Return parts side by side where there is room."""
    return Html(f'<div class="pair">{"".join(f"<div>{p}</div>" for p in parts)}</div>')


def table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """Return a table; numbers are set right, and so is the heading over nothing but numbers."""
    cells = [[cell(value) for value in row] for row in rows]
    columns = zip(*cells, strict=True) if cells else [()] * len(names)
    head = "".join(
        f'<th class="n">{escape(name)}</th>'
        if column and all(shown.startswith(_NUMBER) for shown in column)
        else f"<th>{escape(name)}</th>"
        for name, column in zip(names, columns, strict=True)
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    return Html(f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>')


def figures_table(groups: Mapping[str, Mapping[str, float]], names: Mapping[str, str]) -> Html:
    """Return a table of chosen figures (by name, with its heading) a group."""
    rows = [
        [group, *(number(figures.get(name, nan), name) for name in names)]
        for group, figures in groups.items()
    ]
    return table(["", *names.values()], rows)


def cell(value: object) -> str:
    """Return a table's cell."""
    if isinstance(value, Html):
        return f"{_NUMBER}{value}</td>" if isinstance(value, Figure) else f"<td>{value}</td>"
    if value is None:
        value = nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<td>{escape(str(value))}</td>"
    return f"{_NUMBER}{number(float(value))}</td>"


def number(value: float, name: str = "") -> Figure:
    """Return a figure as a person reads it: in percent or whole where its name says so."""
    if isnan(value):
        return Figure('<span class="quiet">–</span>')
    if isinf(value):
        return Figure(f"<span>{'∞' if value > 0 else '-∞'}</span>")
    if name in RATES:
        return Figure(f"<span>{value:.1%}</span>")
    if name in COUNTS or abs(value) >= 1000.0:
        return Figure(f"<span>{value:,.0f}</span>")
    if name in PERCENT:
        return Figure(f"<span>{value:.2%}</span>")
    if value == int(value) and abs(value) < 1e12:
        return Figure(f"<span>{int(value):,}</span>")
    return Figure(
        f"<span>{value:,.2f}</span>" if abs(value) >= 1.0 else f"<span>{value:.3g}</span>"
    )


def card(value: str, words: str, way: str = "") -> str:
    """Return a headline figure."""
    return (
        f'<div class="card"><b class="{way}">{escape(value)}</b><span>{escape(words)}</span></div>'
    )
