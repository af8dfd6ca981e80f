"""How results look in the Prefect UI: markdown with figures inside.

Decides the form of a page. Never computes a figure. Rule: a page is complete in itself, so that it
can be read when the folder it came from is gone.
"""

import base64
from collections.abc import Mapping
from math import isinf, isnan

from flows.research.criteria import Criterion, Verdict


def image_page(title: str, png: bytes) -> str:
    """Return markdown of one figure."""
    data = base64.b64encode(png).decode()
    return f"## {title}\n\n![{title}](data:image/png;base64,{data})\n"


def verdict_page(verdict: Verdict) -> str:
    """Return markdown of a verdict: the word first, then every criterion with its reason."""
    lines = [f"## The gate: {verdict.word}", ""]
    lines += [f"{verdict.tier.capitalize()} tier, use {verdict.attempt} of the gate.", ""]
    groups = {
        "Does not hold": [c for c in verdict.criteria if c.binding and not c.passed],
        "Holds": [c for c in verdict.criteria if c.binding and c.passed],
        "Reported, does not decide": [c for c in verdict.criteria if not c.binding],
    }
    for title, criteria in groups.items():
        if criteria:
            lines += [f"### {title}", ""]
            lines += [_line(c) for c in criteria] + [""]
    return "\n".join(lines)


def figures_table(groups: Mapping[str, Mapping[str, float]], names: tuple[str, ...]) -> str:
    """Return a markdown table of chosen figures by group; what is missing is a dash."""
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for group, figures in groups.items():
        cells = [number(figures.get(name, float("nan"))) for name in names]
        lines.append(f"| {group} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Return a number as a person reads it; a dash where there is none."""
    if isnan(value):
        return "–"
    if isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _line(criterion: Criterion) -> str:
    sign = "·" if not criterion.binding else ("✓" if criterion.passed else "✗")
    figures = f"{number(criterion.value)} (threshold {number(criterion.threshold)})"
    return f"- {sign} **{criterion.name}** {figures}: {criterion.reason}"
