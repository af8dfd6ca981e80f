"""The sections of the report on how a model was found, what it says, and what it is made of.

Decides what stands in each. Never computes a figure. Rule: a section without content is left out.
"""

from html import escape
from typing import Final

from flows.report.markup import Html, figures_table, number, pair, section, table
from flows.report.story import Story, day
from flows.research.breakdown import breakdown

QUALITY: Final = {
    "n": "signals",
    "n_effective": "effective",
    "positive_rate": "gains",
    "taken_rate": "taken",
    "auc": "AUC",
    "brier": "Brier",
    "log_loss": "log loss",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "calibration_error": "off by",
}
GROUPS: Final = {"trades": "trades", "win_rate": "won", "mean_net": "mean", "sum_net": "sum"}


def search(story: Story) -> str:
    """Return what was tried, and what of it became the model."""
    lead = (
        f"{story.draft['trials']} points of one space over signal, barriers, model and entry rule. "
        "All of them count when the gate asks what luck alone would have found."
    )
    point = [(name, value) for name, value in sorted(story.draft["point"].items())]
    return section(
        "The search",
        lead,
        story.plot("search", "score of every trial"),
        story.plot("trials", "record of every trial"),
        pair(
            story.plot("moved", "how much each parameter moved the score"),
            "<h3>The chosen point</h3>" + table(("parameter", "value"), point),
        ),
    )


def depends(story: Story) -> str:
    """Return how much the result depends on what the model was shown."""
    paths = story.beside.get("paths")
    if not paths:
        return ""
    sharpes = sorted(paths["sharpes"])
    lead = (
        f"The chosen point fitted {paths['fits']} times, each time without two of six stretches of "
        f"the time before the test part, which it then judged: {len(sharpes)} whole histories. "
        "Their models knew what came after, so none could have been traded; but where the result "
        "is real they lie close together. "
        f"Sharpe ratios {sharpes[0]:.2f} to {sharpes[-1]:.2f}, "
        f"{sum(s > 0.0 for s in sharpes)} of {len(sharpes)} positive."
    )
    if paths["idle"]:
        lead += f" {paths['idle']} of the fits had too little to learn from, and trade nothing."
    return section(
        "Does it depend on what it was shown?",
        lead,
        story.plot("paths", "summed returns of the combinatorial paths"),
    )


def probabilities(story: Story) -> str:
    """Return how probabilities meet outcomes, by part of the time and by group."""
    lead = (
        "In sample, out of fold, and on the test part; weighted by uniqueness, because overlapping "
        "signals share one piece of news. The last column is the mean distance between probability "
        "and observed rate."
    )
    groups = story.evidence.groups
    test = {name: figures for name, figures in groups.items() if ": " not in name}
    rest = {name: figures for name, figures in groups.items() if ": " in name}
    more = (
        f"<details><summary>The same groups in sample and out of fold</summary>"
        f"{figures_table(rest, QUALITY)}</details>"
        if rest
        else ""
    )
    return section(
        "Are the probabilities right?",
        lead,
        figures_table(story.evidence.metrics, QUALITY),
        "<h3>The test part by symbol, side and regime</h3>",
        figures_table(test, QUALITY),
        more,
        pair(
            story.plot("calibration", "observed rate against probability"),
            story.plot("spread", "probabilities of won and lost signals"),
        ),
    )


def looks(story: Story) -> str:
    """Return what the trees look at."""
    rows = list(story.evidence.contribution.items())[:12]
    lead = "Gain says where the trees split; a SHAP value says how far a feature moved an answer."
    return section(
        "What it looks at",
        lead,
        pair(
            story.plot("importance", "share of gain by feature"),
            "<h3>Mean size of SHAP values, in log odds</h3>" + table(("feature", "size"), rows),
        ),
        _stability(story),
    )


def _stability(story: Story) -> str:
    found = story.beside.get("stability")
    if not found:
        return ""
    words = (
        f"Trees grown on {found['halves']} halves of the history; a feature is chosen where it is "
        f"among the {found['most']} of most gain. {len(found['stable'])} are chosen in at least "
        f"{found['threshold']:.0%} of the halves; at most {found['false_most']:.1f} of them are "
        "expected there by chance. No feature is left out for it."
    )
    return pair(
        story.plot("stability", "share of halves in which a feature was chosen"),
        f"<h3>Are they chosen again and again?</h3><p>{escape(words)}</p>",
    )


def labels(story: Story) -> str:
    """Return how signals ended."""
    barriers = story.manifest["barriers"]
    unit = "× volatility" if barriers["volatility_scaled"] else ""
    lead = (
        f"Take profit at {_share(barriers['profit'], unit)}, stop at "
        f"{_share(barriers['loss'], unit)}, out after {barriers['horizon_bars']} bars."
    )
    return section("The labels", lead, story.plot("labels", "how signals ended by symbol"))


def sources(story: Story) -> str:
    """Return where the result comes from."""
    if not story.evidence.trades.net:
        return ""
    kinds = breakdown(story.evidence.trades)
    kinds.pop("month")
    tables = [f"<h3>By {kind}</h3>" + figures_table(rows, GROUPS) for kind, rows in kinds.items()]
    return section(
        "Where the result comes from",
        "Net returns of the trades out of sample, by the time of decision.",
        story.plot("monthly", "sum of returns by month"),
        pair(*tables),
    )


def made_of(story: Story) -> str:
    """Return data, code and versions."""
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
        ("fitted on", f"{training['rows']:,} signals up to {day(training['fit_end_ms'])}"),
        ("distance", f"{training.get('embargo_hours', 0.0):.0f} hours from what judges"),
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
            (symbol, "masked", f"labels that cross a gap and are not used: {count:,}")
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


def _share(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}" if unit else f"{value:.2%}"
