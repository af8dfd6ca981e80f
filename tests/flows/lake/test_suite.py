"""Great Expectations and our own evaluation of the checks never disagree."""

import polars as pl
import pytest

from flows.lake.defects import Rules
from flows.lake.profile import profile
from flows.lake.suite import document
from flows.lake.verdict import Thresholds, checks_for, holds
from tests.flows.lake.test_defects import STEP, T0
from tests.flows.lake.test_quality import changed, clean

pytestmark = pytest.mark.slow  # Great Expectations takes ten seconds to import


def test_the_documented_suite_fails_exactly_the_checks_that_do_not_hold(tmp_path):
    inputs = clean()
    whole = inputs.candles
    at = pl.int_range(pl.len())
    far = inputs.candles.select("open_ms", "open", "high", "low", close=pl.col("close") * 1.001)
    cases = {
        "CLEAN": inputs,
        "SHORT": changed(inputs, candles=whole.head(500)),
        "GAPS": changed(inputs, candles=whole.filter(at % 11 != 3)),
        "BROKEN": changed(inputs, candles=whole.with_columns(low="high")),
        "ONE": changed(
            inputs,
            candles=whole.with_columns(
                volume=pl.when(at == 900).then(float("nan")).otherwise(pl.col("volume"))
            ),
        ),
        "UNFUNDED": changed(inputs, funding=inputs.funding.head(1)),
        "SPOT": changed(inputs, marks={STEP: far}),
        "TWO": changed(inputs, others={4 * STEP: _hours(whole, wrong=0)}),
        "OTHER": changed(inputs, others={4 * STEP: _hours(whole, wrong=400)}),
    }
    limits = Thresholds(history_days_min=30)
    days = {name: profile(case, Rules()).days for name, case in cases.items()}
    checks = {name: checks_for(frame, limits) for name, frame in days.items()}
    answer = document(days, checks, tmp_path / "docs")
    ours = {
        name: tuple(check.name for check in checks[name] if not holds(check, frame))
        for name, frame in days.items()
    }
    assert {name: set(failed) for name, failed in answer.failed.items()} == {
        name: set(failed) for name, failed in ours.items()
    }
    assert ours["CLEAN"] == ()
    assert ours["TWO"] == ()
    assert "mark" in ours["SPOT"]
    assert "agreement" in ours["OTHER"]
    assert list(tmp_path.glob("docs/validations/BROKEN/**/*.html"))
    for page in tmp_path.rglob("*.html"):
        assert "https://" not in page.read_text(), page
    document({"CLEAN": days["CLEAN"]}, checks, tmp_path / "docs")
    pages = list((tmp_path / "docs" / "validations").rglob("*.html"))
    assert ["CLEAN" in one.name for one in pages] == [True]


def _hours(whole: pl.DataFrame, wrong: int) -> pl.DataFrame:
    """The true hourly bars, the first `wrong` of them three basis points off."""
    hour = 4 * STEP
    start = -(-T0 // hour) * hour
    return (
        whole.filter(pl.col("open_ms") >= start)
        .group_by(open_ms=pl.col("open_ms") // hour * hour, maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
        .with_columns(
            close=pl.col("close")
            * pl.when(pl.int_range(pl.len()) < wrong).then(1.0003).otherwise(1.0)
        )
    )
