"""The list of versions: coverage, gate, figures; what is missing is a dash and breaks nothing."""

from io import StringIO

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from flows.commands.frame import table
from flows.commands.models import HEADLINES, version_row
from flows.versions import Version

WHOLE = Version(
    version=3,
    aliases=("champion",),
    tags={
        "gate": "passed",
        "symbols": "AAAUSDT,BBBUSDT",
        "training_days": "638",
        "training_end_ms": "1759190400000",
    },
    metrics=dict.fromkeys((name for name, _ in HEADLINES.values()), 0.5),
)


def shown(versions, width=80):
    console = Console(width=width, record=True, file=StringIO())
    columns = ("version", "alias", "gate", *HEADLINES, "trained on", "symbols")
    console.print(table("", columns, [version_row(v) for v in versions]))
    return console.export_text()


def test_a_version_says_its_coverage_gate_and_figures():
    text = shown([WHOLE])
    line = next(row for row in text.splitlines() if "champion" in row)
    for word in ("3", "champion", "passed", "0.50", "50.0%", "638 d", "AAAUSDT,"):
        assert word in line


def test_no_word_is_broken_or_cut_on_a_terminal_of_80_columns():
    """A version with both aliases that runs by an override says the most."""
    tags = {**WHOLE.tags, "gate": "refused", "gate_override": "{}", "quarantined": "lost"}
    full = Version(version=4, aliases=("challenger", "champion"), tags=tags, metrics=WHOLE.metrics)
    words = shown([WHOLE, full]).split()
    for word in (
        "challenger,",
        "champion",
        "refused,",
        "overridden,",
        "quarantined",
        "2025-09-30",
        "BBBUSDT",
    ):
        assert word in words
    assert not any("…" in word for word in words)


TAGS = st.dictionaries(
    st.sampled_from(
        ["gate", "symbols", "training_days", "training_end_ms", "gate_override", "quarantined"]
    ),
    st.sampled_from(["", "passed", "n/a", "638", "-1", "1759190400000", "None"]),
)
METRICS = st.dictionaries(
    st.sampled_from(sorted(name for name, _ in HEADLINES.values())),
    st.floats(allow_nan=True, allow_infinity=True),
)


@given(TAGS, METRICS)
def test_whatever_is_missing_or_odd_is_printed_as_such(tags, metrics):
    text = shown([WHOLE, Version(version=4, aliases=(), tags=tags, metrics=metrics)], width=200)
    assert "champion" in text
    if len(metrics) < len(HEADLINES):
        assert "–" in text
