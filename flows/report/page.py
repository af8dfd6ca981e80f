"""The report of one model: one HTML file that needs nothing else.

Decides what a reader sees and in which order: the verdict and its reasons, the money out of sample,
what live trading should look like, how the search went, how good the probabilities are, where the
results come from, and what it was all made of. Never computes a figure. Rule: everything on the
page was measured; the reader can follow the verdict from the page alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from math import nan
from typing import Any

from flows.report.markup import (
    Html,
    card,
    figures_table,
    image,
    number,
    pair,
    section,
    table,
)
from flows.report.sheet import sheet
from flows.research.breakdown import breakdown
from flows.research.evidence import Evidence

MONEY = {
    "return_total": "return",
    "return_annual": "a year",
    "sharpe": "Sharpe",
    "max_drawdown": "max drawdown",
    "trades": "trades",
    "win_rate": "won",
    "profit_factor": "profit factor",
    "expectancy": "a trade",
}
QUALITY = {
    "n": "signals",
    "n_effective": "effective",
    "positive_rate": "net gains",
    "taken_rate": "taken",
    "auc": "AUC",
    "brier": "Brier",
    "log_loss": "log loss",
    "precision": "precision",
    "recall": "recall",
    "calibration_error": "calibration",
}
GROUPS = {"trades": "trades", "win_rate": "won", "mean_net": "mean", "sum_net": "sum"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Story:
    """All that the page tells; ``simulation`` and ``plots`` may lack parts."""

    manifest: Mapping[str, Any]
    bundle_sha256: str
    evidence: Evidence
    draft: Mapping[str, Any]
    simulation: Mapping[str, Any]
    plots: Mapping[str, bytes]


def model_page(story: Story) -> str:
    """Return the report as HTML."""
    parts = (
        _header(story),
        _verdict(story),
        _cards(story),
        _gate(story),
        _money(story),
        _live(story),
        _search(story),
        _probabilities(story),
        _looks(story),
        _labels(story),
        _sources(story),
        _made_of(story),
    )
    return sheet(_title(story), "\n".join(filter(None, parts)))


def _title(story: Story) -> str:
    return f"model {story.bundle_sha256[:10]}"


def _header(story: Story) -> str:
    training = story.manifest["training"]
    window = f"{_day(training['start_ms'])} to {_day(training['end_ms'])}"
    symbols = ", ".join(story.manifest["symbols"])
    minutes = training["interval_ms"] // 60_000
    return (
        f"<header><h1>Model {escape(story.bundle_sha256[:10])}</h1>"
        f"<p>{escape(symbols)} · {minutes}-minute bars · {window} · "
        f"{story.draft['trials']} trials searched</p></header>"
    )


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
    earned = float(test.daily.sum())
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
        rows.append(
            [
                Html(f'<b class="{sign[0]}">{sign[1]}</b>'),
                c["name"],
                number(value),
                number(threshold),
                c["reason"],
            ]
        )
    lead = (
        "Each line marked ✓ or ✗ must hold. Those with a dot are shown beside: they say "
        "something, but cannot decide."
    )
    names = ("", "criterion", "value", "threshold", "in words")
    return section("The gate, line by line", lead, table(names, rows))


def _money(story: Story) -> str:
    lead = (
        "Rows the model had not seen: the walk-forward folds, then the untouched test part, in one "
        "book of equal shares, one position a symbol, after fees, slippage and funding."
    )
    records = {name: record.metrics for name, record in story.evidence.records.items()}
    test = {f"{n}, test": r.metrics for n, r in story.evidence.test_records.items()}
    shown = {name: test[name] for name in ("model, test", "signal alone, test")}
    return section(
        "Out of sample",
        lead,
        _plot(story, "equity", "equity of the model beside its baselines"),
        figures_table({**records, **shown}, MONEY),
        pair(
            _plot(story, "stress", "total return against costs and baselines"),
            _plot(story, "folds", "Sharpe ratio of each fold"),
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
        _plot(story, "simulation", "equity of the account"),
        figures_table({"account": metrics}, MONEY),
        pair(
            "<h3>What the result is made of</h3>"
            + table(("", "quote currency"), [(name, made[name]) for name in parts]),
            "<h3>Why it did not trade more</h3>"
            + table(
                ("refused because", "times"),
                [(name.replace("_", " "), count) for name, count in refused[:8]],
            ),
        ),
        _plot(story, "band", "fan of expected equity"),
    )


def _search(story: Story) -> str:
    lead = (
        f"{story.draft['trials']} points of one space over signal, barriers, model and entry rule. "
        "All of them count when the gate asks what luck alone would have found."
    )
    point = [(name, value) for name, value in sorted(story.draft["point"].items())]
    return section(
        "The search",
        lead,
        _plot(story, "search", "score of every trial"),
        _plot(story, "trials", "record of every trial"),
        "<details><summary>The chosen point</summary>",
        table(("parameter", "value"), point),
        "</details>",
    )


def _probabilities(story: Story) -> str:
    lead = "Weighted by uniqueness: overlapping signals share one piece of news."
    return section(
        "Are the probabilities right?",
        lead,
        figures_table({**story.evidence.metrics, **story.evidence.groups}, QUALITY),
        pair(
            _plot(story, "calibration", "observed rate against probability"),
            _plot(story, "spread", "probabilities of won and lost signals"),
        ),
    )


def _looks(story: Story) -> str:
    rows = list(story.evidence.contribution.items())[:12]
    lead = "Gain says where the trees split; a SHAP value says how far a feature moved an answer."
    return section(
        "What it looks at",
        lead,
        pair(
            _plot(story, "importance", "share of gain by feature"),
            "<h3>Mean size of SHAP values, in log odds</h3>" + table(("feature", "size"), rows),
        ),
    )


def _labels(story: Story) -> str:
    barriers = story.manifest["barriers"]
    unit = "× volatility" if barriers["volatility_scaled"] else ""
    lead = (
        f"Take profit at {_share(barriers['profit'], unit)}, stop at "
        f"{_share(barriers['loss'], unit)}, out after {barriers['horizon_bars']} bars."
    )
    return section("The labels", lead, _plot(story, "labels", "how signals ended by symbol"))


def _sources(story: Story) -> str:
    if not story.evidence.trades.net:
        return ""
    kinds = breakdown(story.evidence.trades)
    kinds.pop("month")
    tables = [f"<h3>By {kind}</h3>" + figures_table(rows, GROUPS) for kind, rows in kinds.items()]
    return section(
        "Where the result comes from",
        "Net returns of the trades out of sample, by the time of decision.",
        _plot(story, "monthly", "sum of returns by month"),
        pair(*tables),
    )


def _made_of(story: Story) -> str:
    manifest = story.manifest
    training = manifest["training"]
    symbols = [
        (name, round(facts["history_days"], 1), number(facts["coverage"]))
        for name, facts in manifest["symbols"].items()
    ]
    facts = [
        ("bundle", story.bundle_sha256),
        ("data", manifest["data"]["lake_version"]),
        ("content", manifest["data"]["content_sha256"]),
        (
            "features",
            f"{len(manifest['feature_names'])}, schema {manifest['feature_schema'][:12]}…",
        ),
        ("code", manifest["git_revision"]),
        ("versions", ", ".join(f"{k} {v}" for k, v in manifest["versions"].items())),
        ("fitted on", f"{training['rows']:,} signals up to {_day(training['fit_end_ms'])}"),
    ]
    rows = [(name, Html(f"<code>{escape(str(value))}</code>")) for name, value in facts]
    data = story.draft.get("data", {})  # drafts of earlier versions have none
    told = [
        *((symbol, "left out", why) for symbol, why in data.get("left_out", {}).items()),
        *(
            (symbol, "masked", line)
            for symbol, row in data.get("notes", {}).items()
            for line in row
        ),
        *(
            (symbol, "masked", f"{count:,} labels cross a gap and are not used")
            for symbol, count in data.get("dropped_labels", {}).items()
        ),
    ]
    return section(
        "What it is made of",
        "The same data, code, parameters and seed give the same bundle, to the bit.",
        table(("symbol", "days of history", "coverage"), symbols),
        table(("symbol", "quality", "why"), told) if told else "",
        table(("", ""), rows),
    )


def _plot(story: Story, name: str, words: str) -> str:
    png = story.plots.get(f"{name}.png")
    return image(png, words) if png else ""


def _break_even(manifest: Mapping[str, Any]) -> float:
    """Return the mean probability at which a bet is worth nothing."""
    groups = manifest["economics"]["groups"].values()
    found = [float(g["loss_mean"] / (g["win_mean"] + g["loss_mean"])) for g in groups]
    return sum(found) / len(found)


def _share(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}" if unit else f"{value:.2%}"


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}"
