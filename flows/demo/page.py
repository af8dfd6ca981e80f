"""The demo's report: one HTML file that needs nothing else.

Decides what a first reader sees, and in which order: what came out, whether the model was proven,
what was traded, how the model looks. Never computes a figure that the run has not given.
Rule: whatever stands on the page is escaped; a figure that is missing is a dash.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from features.types import FloatArray, IntArray
from flows.demo.figures import equity_figure, price_figure
from flows.demo.plan import Plan, instant
from flows.demo.summary import equity_ends
from flows.demo.trading import Traded
from flows.report.markup import Figure, Html, image, section, table
from flows.report.sheet import sheet

TRADES_SHOWN: Final = 60
BAR_PX: Final = 180
MODEL_FIGURES: Final = {
    "equity": "Out of sample: equity of the model beside its baselines",
    "importance": "What the trees look at",
    "calibration": "Are the probabilities right?",
    "labels": "What the three barriers gave",
    "search": "The search",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Story:
    """All that the page tells."""

    plan: Plan
    training: Mapping[str, Any]  # what `retrain` returned
    version: Mapping[str, Any]  # what `tribar promote` wrote
    traded: Traded
    prices: Mapping[str, tuple[IntArray, FloatArray]]  # close times and closes by symbol
    plots: Mapping[str, bytes]  # the model's figures by name
    seconds: Mapping[str, float]
    override: str


def page(story: Story) -> str:
    """Return the report as HTML."""
    parts = [
        _header(story),
        _override(story),
        _cards(story),
        _equity(story),
        _gate(story),
        _prices(story),
        _model(story),
        _decisions(story),
        _trades(story),
        _data(story),
        _footer(story),
    ]
    return sheet(f"demo · {story.plan.title}", "\n".join(filter(None, parts)))


def _header(story: Story) -> str:
    return (
        f"<header><h1>One run of the whole loop</h1><p>{escape(story.plan.title)}</p>"
        f"<p>{escape(story.plan.windows)}</p></header>"
    )


def _override(story: Story) -> str:
    if not story.override:
        return ""
    return (
        '<div class="note"><b>This model was refused by the gate</b> and runs here on the paper '
        "exchange only, by a written override. On a market without a provable edge that is the "
        "honest outcome: with real money it would not be loaded. "
        f"Its reasons: {escape(story.override)}.</div>"
    )


def _cards(story: Story) -> str:
    journal, vitals = story.traded.journal, story.traded.vitals
    start, end = equity_ends(journal.equity)
    gain = end / start - 1 if start else 0.0
    won = sum(trade["pnl"] > 0 for trade in journal.trades)
    rate = f"{won / len(journal.trades):.0%} won" if journal.trades else "none"
    cards = [
        (f'<span class="{_way(gain)}">{gain:+.2%}</span>', f"on {start:,.0f} USDT of play money"),
        (f"{len(journal.trades):,}", f"trades, {rate}"),
        (f"{journal.bars:,}", "bars traded"),
        (f"{journal.decisions:,}", f"decisions, {journal.approved:,} approved"),
        (f"{vitals.rss_mb:,.0f} MB", "memory of the executor"),
        (f"{vitals.cold_start_s:.1f} s", "its cold start"),
    ]
    shown = (
        f'<div class="card"><b>{value}</b><span>{escape(label)}</span></div>'
        for value, label in cards
    )
    return f'<div class="cards">{"".join(shown)}</div>'


def _equity(story: Story) -> str:
    if not story.traded.journal.equity:
        return ""
    lead = "After fees, slippage and funding, at every bar close, as the executor's journal has it."
    return section("Equity", lead, image(equity_figure(story.traded.journal.equity), "equity"))


def _gate(story: Story) -> str:
    judged = story.training["gate"]
    rows = [
        (
            _mark(c),
            c["name"],
            c["value"],
            c["threshold"],
            c["reason"] + ("" if c.get("binding", True) else " (reported, not binding)"),
        )
        for c in judged["criteria"]
    ]
    lead = "A model may be traded only when it has shown that what it found is not luck."
    names = ("", "criterion", "value", "threshold", "in words")
    return section("The gate", lead, _tag(str(judged["verdict"])), table(names, rows))


def _mark(criterion: Mapping[str, Any]) -> str:
    if not criterion.get("binding", True):
        return "·"
    return "✓" if criterion["passed"] else "✗"


def _prices(story: Story) -> str:
    images = []
    for symbol, (time_ms, close) in story.prices.items():
        trades = [t for t in story.traded.journal.trades if t["symbol"] == symbol]
        images.append(image(price_figure(symbol, time_ms, close, trades), symbol))
    lead = "▲ long, ▼ short, from entry to exit; green won, red lost, net of all costs."
    return section("Trades on the price", lead, "".join(images)) if images else ""


def _model(story: Story) -> str:
    metrics = story.training["train"].get("metrics", {})
    names = list(dict.fromkeys(name for split in metrics.values() for name in split))
    rows = [(name, *(split.get(name) for split in metrics.values())) for name in names]
    figures = [
        f"<h3>{escape(title)}</h3>{image(story.plots[name], title)}"
        for name, title in MODEL_FIGURES.items()
        if name in story.plots
    ]
    version = story.version
    lead = (
        f"Version {version['version']} of {story.training['register']['name']}, bundle "
        f"{version['bundle_sha256'][:12]}…: gradient-boosted trees beside a logistic regression, "
        "calibrated out of fold."
    )
    return section("The model", lead, table(("figure", *metrics), rows), *figures)


def _decisions(story: Story) -> str:
    journal = story.traded.journal
    most = max(journal.refused.values(), default=1)
    rows = [
        (
            reason.replace("_", " "),
            count,
            *(instant(time_ms) for time_ms in journal.refused_ms[reason]),
            Html(f'<span class="bar" style="width:{BAR_PX * count / most:.0f}px"></span>'),
        )
        for reason, count in journal.refused.items()
    ]
    lead = "Every signal of every symbol is decided on, and every refusal has its reason."
    names = ("refused because", "times", "first (UTC)", "last (UTC)", "")
    return section("Why not more?", lead, table(names, rows))


def _trades(story: Story) -> str:
    trades = story.traded.journal.trades
    rows = [
        (
            trade["symbol"],
            "long" if trade["side"] > 0 else "short",
            instant(trade["opened_ms"]),
            instant(trade["closed_ms"]),
            trade["entry_price"],
            trade["exit_price"],
            trade["reason"],
            Figure(f'<span class="{_way(trade["pnl"])}">{trade["pnl"]:+,.2f}</span>'),
        )
        for trade in trades[-TRADES_SHOWN:]
    ]
    lead = f"The last {len(rows)} of {len(trades)}; profit in USDT, net." if rows else "None."
    names = (
        "symbol",
        "side",
        "opened (UTC)",
        "closed (UTC)",
        "entry",
        "exit",
        "closed by",
        "profit",
    )
    return section("Trades", lead, table(names, rows))


def _data(story: Story) -> str:
    rows = [
        (symbol, _tag(found["verdict"]), "; ".join(found["reasons"]) or "nothing to remark")
        for symbol, found in story.training["quality"].items()
    ]
    times = [(name, f"{seconds:.1f} s") for name, seconds in story.seconds.items()]
    body = table(("symbol", "verdict", "reasons"), rows)
    return section("Candles", "Judged before anything was trained on them.", body) + section(
        "How long it took", "", table(("stage", "time"), times)
    )


def _footer(story: Story) -> str:
    lean = "its own lean environment" if story.traded.is_lean else "the pipeline's environment"
    again = (
        f"restarted {story.traded.vitals.restarts} times, " if story.traded.vitals.restarts else ""
    )
    beats = f"{story.traded.vitals.heartbeats} heartbeats"
    made = f"Made by <code>tribar demo</code> in <code>{escape(story.plan.folder.name)}</code>."
    return f"<footer>The executor ran in {lean}, {again}with {beats}. {made}</footer>"


def _tag(word: str) -> Html:
    return Html(f'<span class="tag {escape(word)}">{escape(word)}</span>')


def _way(value: float) -> str:
    return "up" if value > 0 else "down" if value < 0 else ""
