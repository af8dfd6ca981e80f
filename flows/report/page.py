"""The report of one model: one HTML file that needs nothing else.

Decides what a reader sees and in which order: the verdict and its reasons, the money out of sample,
what live trading should look like, how the search went, how good the probabilities are, where the
results come from, and what it was all made of. Never computes a figure. Rule: everything on the
page was measured; the reader can follow the verdict from the page alone.
"""

from collections.abc import Mapping
from html import escape
from math import nan
from typing import Any, Final

from flows.report.learnt import depends, labels, looks, made_of, probabilities, search, sources
from flows.report.markup import (
    Figure,
    Html,
    card,
    figures_table,
    number,
    pair,
    section,
    table,
)
from flows.report.sheet import sheet
from flows.report.story import Story, day

WAYS: Final = {">=": "≥", "<=": "≤"}
MONEY: Final = {
    "return_total": "return",
    "return_annual": "a year",
    "sharpe": "Sharpe",
    "max_drawdown": "max drawdown",
    "trades": "trades",
    "win_rate": "won",
    "profit_factor": "profit factor",
    "expectancy": "a trade",
}


def model_page(story: Story) -> str:
    """Return the report as HTML."""
    parts = (
        _header(story),
        _verdict(story),
        _cards(story),
        _gate(story),
        _money(story),
        _live(story),
        search(story),
        depends(story),
        probabilities(story),
        looks(story),
        labels(story),
        sources(story),
        made_of(story),
    )
    return sheet(_title(story), "\n".join(filter(None, parts)))


def _title(story: Story) -> str:
    return f"model {story.bundle_sha256[:10]}"


def _header(story: Story) -> str:
    training = story.manifest["training"]
    window = f"{day(training['start_ms'])} to {day(training['end_ms'])}"
    symbols = ", ".join(story.manifest["symbols"])
    minutes = training["interval_ms"] // 60_000
    return (
        f"<header><h1>Model {escape(story.bundle_sha256[:10])}</h1>"
        f"<p>{escape(symbols)} · {minutes}-minute bars · {window} · "
        f"{story.draft['trials']} trials searched{_joins(story)}</p></header>"
    )


def _joins(story: Story) -> str:
    version = story.draft.get("joins")
    return f" · judged alone, to join version {version}" if version else ""


def _verdict(story: Story) -> str:
    gate = story.manifest["gate"]
    failed = [c for c in gate["criteria"] if c["binding"] and not c["passed"]]
    if not failed:
        words = "<p>Every binding criterion holds. A person may promote it.</p>"
    else:
        items = "".join(f"<li>{escape(c['reason'])}</li>" for c in failed)
        words = f"<ul>{items}</ul>"
    head = "The gate passed this model" if not failed else "The gate refused this model, because"
    return f'<div class="verdict {gate["verdict"]}"><b>{head}</b>{words}</div>'


def _cards(story: Story) -> str:
    test, whole = story.evidence.test_records["model"], story.evidence.records["model"]
    earned = test.metrics.get("return_total", nan)
    auc = story.evidence.metrics["test"].get("auc", nan)
    cards = (
        card(f"{earned:+.2%}", "test part, net of costs", "up" if earned > 0 else "down"),
        card(f"{whole.metrics.get('sharpe', nan):.2f}", "Sharpe a year, out of sample"),
        card(f"{whole.metrics.get('max_drawdown', nan):.1%}", "deepest fall from a high"),
        card(f"{whole.metrics.get('trades', 0):,.0f}", "trades out of sample"),
        card(f"{auc:.3f}", "AUC on the test part"),
        card(f"{_break_even(story.manifest):.0%}", "probability needed to break even"),
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _gate(story: Story) -> str:
    rows = []
    for c in story.manifest["gate"]["criteria"]:
        sign = ("yes", "✓") if c["passed"] else ("no", "✗")
        sign = sign if c["binding"] else ("quiet", "·")
        value, threshold = (nan if c[k] is None else float(c[k]) for k in ("value", "threshold"))
        asked = number(threshold)
        rows.append(
            [
                Html(f'<b class="{sign[0]}">{sign[1]}</b>'),
                c["name"],
                number(value),
                Figure(
                    f"{WAYS.get(c.get('way', ''), '')} {asked}" if c["binding"] else f"({asked})"
                ),
                c["reason"],
            ]
        )
    lead = (
        "Each line marked ✓ or ✗ must hold. Those with a dot are shown beside: they say "
        "something, but cannot decide; in brackets what is usually asked of them."
    )
    names = ("", "criterion", "value", "needed", "in words")
    return section("The gate, line by line", lead, table(names, rows))


def _money(story: Story) -> str:
    lead = (
        "Rows the model had not seen: the walk-forward folds, then the untouched test part, in one "
        "book of equal shares, one position a symbol, after fees, slippage and funding. Returns "
        "here compound; the gate adds days up, over the record's share of the market, so that its "
        "figures differ a little."
    )
    records = {name: record.metrics for name, record in story.evidence.records.items()}
    test = {f"{n}, test": r.metrics for n, r in story.evidence.test_records.items()}
    shown = {name: test[name] for name in ("model, test", "signal alone, test")}
    return section(
        "Out of sample",
        lead,
        story.plot("equity", "equity of the model beside its baselines"),
        figures_table({**records, **shown}, MONEY),
        pair(
            story.plot("stress", "total return against costs and baselines"),
            story.plot("folds", "Sharpe ratio of each fold"),
        ),
    )


def _live(story: Story) -> str:
    if not story.simulation:
        return ""
    metrics = {k: nan if v is None else v for k, v in story.simulation["metrics"].items()}
    made = {k: nan if v is None else v for k, v in story.simulation["attribution"].items()}
    parts = ("alpha", "beta", "fees", "slippage", "funding", "net")
    refused = sorted(story.simulation["refused"].items(), key=lambda item: -item[1])
    lead = (
        "The executor's own decision core on the test part: sized by probability, limited by the "
        "risk gate, self-tuning on. Live results are compared with the band."
    )
    return section(
        "As it would trade",
        lead,
        story.plot("simulation", "equity of the account"),
        figures_table({"account": metrics, **_rules_alone(story)}, MONEY),
        pair(
            "<h3>What the result is made of</h3>"
            + table(("", "quote currency"), [(name, made[name]) for name in parts]),
            "<h3>Why it did not trade more</h3>"
            + table(
                ("refused because", "times"),
                [(name.replace("_", " "), count) for name, count in refused[:8]],
            ),
        ),
        story.plot("band", "fan of expected equity"),
    )


def _rules_alone(story: Story) -> dict[str, dict[str, float]]:
    """Return the account without self-tuning and learned regime, at each level of costs."""
    return {
        f"rules alone, {name}": {k: nan if v is None else v for k, v in figures.items()}
        for name, figures in story.simulation.get("stress", {}).items()
    }


def _break_even(manifest: Mapping[str, Any]) -> float:
    """Return the mean probability at which a bet is worth nothing."""
    groups = manifest["economics"]["groups"].values()
    found = [float(g["loss_mean"] / (g["win_mean"] + g["loss_mean"])) for g in groups]
    return sum(found) / len(found)
