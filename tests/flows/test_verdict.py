"""The gate's verdict: reasons in words, and nothing that cannot be computed is let through."""

import json
from dataclasses import replace
from math import nan, pi

import numpy as np
import pytest

from flows.register import version_description
from flows.research.criteria import Verdict
from flows.research.evidence import (
    WRITTEN,
    CalibrationBucket,
    Evidence,
    Record,
    Spread,
    Trades,
)
from flows.research.performance import return_metrics
from flows.research.verdict import (
    Attempts,
    GateLimits,
    cscv_blocks,
    judge_model,
    spending_level,
)
from flows.shown.pages import verdict_page

DAYS = 600
LIMITS = GateLimits(spa_draws=1000)


def record(daily, trades=300.0):
    return Record(daily=daily, metrics=return_metrics(daily) | {"trades": trades})


def made_evidence(edge, seed=0, trades=300.0):
    """Return evidence of a model with ``edge`` daily standard deviations of mean return."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.01, DAYS)
    model = noise + edge * 0.01
    daily = {
        "model": model,
        "signal alone": noise - 0.002,
        "logistic alone": noise - 0.001,
        "costs x2": model - 0.0002,
        "costs x3": model - 0.0004,
    }
    return Evidence(
        metrics={"test": {"calibration_error": 0.02, "auc": nan}},
        groups={},
        calibration={"test": {"probability": [0.4], "observed": [0.41], "weight": [10.0]}},
        spread=Spread(edges=[0.3, 0.4], won=[1.0], lost=[2.0]),
        test_records={name: record(d[-200:], trades / 3) for name, d in daily.items()},
        records={name: record(d, trades) for name, d in daily.items()},
        hold=np.zeros(DAYS),
        first_day=19_000,
        test_first_day=19_400,
        trades=Trades(symbol=[], side=[], start_ms=[], end_ms=[], reason=[], net=[], gross=[]),
        labels={},
        importance={"x": 1.0},
        contribution={"x": 0.1},
        buckets=(CalibrationBucket(lo=0.0, hi=1.0, wins=4.0, n=10.0),),
        bet_q90=0.3,
        horizon_hours=24.0,
        tuned=(float(model.sum()), float(model.sum()) - 0.001),
        compared_cells=100,
    )


def made_attempts(edge, trials=12, seed=1, attempt=1):
    rng = np.random.default_rng(seed)
    series = rng.normal(0, 0.01, (DAYS, trials)) + edge * 0.01
    return Attempts(
        series=series,
        exposure=np.zeros(trials),
        market=np.zeros(DAYS),
        sobol=np.arange(trials) < 8,
        chosen=trials - 1,
        attempt=attempt,
    )


def failed(verdict):
    return {c.name for c in verdict.criteria if c.binding and not c.passed}


def test_a_strong_edge_in_every_trial_passes():
    verdict = judge_model(made_evidence(0.2), made_attempts(0.2), LIMITS)
    assert verdict.word == "passed", failed(verdict)


def test_noise_is_refused_for_its_statistics():
    verdict = judge_model(made_evidence(0.0, seed=3), made_attempts(0.0), LIMITS)
    assert verdict.word == "refused"
    assert {"superior predictive ability", "track record"} <= failed(verdict)


def test_too_few_trades_are_refused_by_that_name():
    verdict = judge_model(made_evidence(0.2, trades=30.0), made_attempts(0.2), LIMITS)
    assert failed(verdict) == {"trades"}


def test_a_place_of_self_tuning_that_loses_refuses_and_so_does_none_measured():
    evidence = made_evidence(0.2)
    lost = replace(evidence, tuned=(0.3, -0.01))
    assert failed(judge_model(lost, made_attempts(0.2), LIMITS)) == {"worst of self-tuning"}
    unknown = replace(evidence, tuned=())
    assert failed(judge_model(unknown, made_attempts(0.2), LIMITS)) == {"worst of self-tuning"}


def test_a_baseline_that_is_better_beyond_chance_refuses_and_one_about_as_good_does_not():
    """The model adds nothing to a signal that is an edge by itself: a coin toss must not refuse."""
    rng = np.random.default_rng(4)
    evidence = made_evidence(0.18)
    ours = evidence.records["model"].daily
    beside = replace(
        evidence,
        records={**evidence.records, "signal alone": record(ours + rng.normal(2e-4, 4e-3, DAYS))},
    )
    assert failed(judge_model(beside, made_attempts(0.2), LIMITS)) == set()
    better = rng.normal(0.006, 0.01, DAYS)
    beaten = replace(evidence, records={**evidence.records, "signal alone": record(better)})
    assert failed(judge_model(beaten, made_attempts(0.2), LIMITS)) == {"against signal alone"}


def test_a_wild_record_is_judged_at_the_volatility_it_would_be_traded_with():
    rng = np.random.default_rng(9)
    daily = rng.normal(0.008, 0.03, DAYS)
    wild = replace(
        made_evidence(0.2), records={**made_evidence(0.2).records, "model": record(daily)}
    )
    line = next(
        c
        for c in judge_model(wild, made_attempts(0.2), LIMITS).criteria
        if c.name == "max drawdown"
    )
    assert line.value < 0.75 * return_metrics(daily)["max_drawdown"]


def test_the_models_own_record_is_judged_over_its_share_of_the_market():
    """Always half long in a market that rises: nothing is left once the market is taken out."""
    rng = np.random.default_rng(12)
    hold = rng.normal(0.004, 0.01, DAYS)
    daily = 0.5 * hold + rng.normal(0.0, 0.001, DAYS)
    long = record(daily)
    long.metrics["exposure"] = 0.5
    evidence = made_evidence(0.2)
    tide = replace(evidence, records={**evidence.records, "model": long}, hold=hold)
    assert "track record" in failed(judge_model(tide, made_attempts(0.2), LIMITS))
    long.metrics["exposure"] = 0.0
    assert "track record" not in failed(judge_model(tide, made_attempts(0.2), LIMITS))


def test_a_share_of_a_rising_market_is_no_edge():
    """Trials that were merely long in a market that rose beat nothing."""
    rng = np.random.default_rng(2)
    market = rng.normal(0.004, 0.01, DAYS)
    exposure = rng.uniform(0.5, 1.0, 12)
    series = market[:, None] * exposure + rng.normal(0, 0.002, (DAYS, 12))
    long = replace(made_attempts(0.0), series=series, market=market, exposure=exposure)
    assert "superior predictive ability" in failed(judge_model(made_evidence(0.2), long, LIMITS))
    naive = replace(long, exposure=np.zeros(12))
    assert "superior predictive ability" not in failed(
        judge_model(made_evidence(0.2), naive, LIMITS)
    )


def test_a_written_signal_is_tested_by_itself_and_pays_for_nobodys_trials():
    """Where the search shows too little, the signal it began with may; never without its share."""
    rng = np.random.default_rng(5)
    nothing = made_attempts(0.0, seed=8)
    evidence = made_evidence(0.2)
    assert "superior predictive ability" in failed(judge_model(evidence, nothing, LIMITS))
    strong = record(rng.normal(0.002, 0.01, DAYS))
    proven = replace(evidence, records={**evidence.records, WRITTEN: strong})
    assert "superior predictive ability" not in failed(judge_model(proven, nothing, LIMITS))
    idle = replace(evidence, records={**evidence.records, WRITTEN: record(np.zeros(DAYS))})
    assert "superior predictive ability" in failed(judge_model(idle, nothing, LIMITS))
    tide = record(strong.daily)
    tide.metrics["exposure"] = 1.0
    long = replace(proven, records={**proven.records, WRITTEN: tide}, hold=strong.daily)
    assert "superior predictive ability" in failed(judge_model(long, nothing, LIMITS))


def test_each_family_has_its_share_of_the_level():
    level = spending_level(LIMITS.spa_level, 1)
    weak = made_attempts(0.105, seed=3)
    both = [
        judge_model(made_evidence(0.2), weak, replace(LIMITS, written_share=share))
        for share in (0.0, 0.25, 0.5)
    ]
    values = [next(c.value for c in v.criteria if c.name.startswith("superior")) for v in both]
    assert 0.0 < values[0] < level
    assert values == pytest.approx([values[0], values[0] / 0.75, values[0] / 0.5])


def test_a_later_attempt_must_clear_a_higher_bar():
    assert spending_level(0.02, 1) == pytest.approx(0.02 * 6 / pi**2)
    assert sum(spending_level(0.02, k) for k in range(1, 20_000)) == pytest.approx(0.02, rel=1e-3)
    level = [
        next(
            c.threshold
            for c in judge_model(made_evidence(0.2), made_attempts(0.2, attempt=k), LIMITS).criteria
            if c.name == "superior predictive ability"
        )
        for k in (1, 2)
    ]
    assert level[1] == pytest.approx(level[0] / 4)


def test_what_cannot_be_computed_is_not_passed():
    one = made_attempts(0.2, trials=1)
    verdict = judge_model(made_evidence(0.2), one, LIMITS)
    assert "loss after selection" in failed(verdict)
    short = replace(one, series=one.series[:30], market=one.market[:30])
    assert "superior predictive ability" in failed(judge_model(made_evidence(0.2), short, LIMITS))


def test_reported_figures_never_decide():
    verdict = judge_model(made_evidence(0.2), made_attempts(0.2), LIMITS)
    reported = [c for c in verdict.criteria if not c.binding]
    assert {"deflated Sharpe", "probability of overfitting", "probabilistic Sharpe"} <= {
        c.name for c in reported
    }


def test_the_verdict_fits_into_a_manifest_and_a_page():
    verdict = judge_model(made_evidence(0.0, seed=3), made_attempts(0.0), LIMITS)
    plain = verdict.as_dict()
    json.dumps(plain, allow_nan=False)
    assert plain["verdict"] == "refused"
    assert all(c["reason"] for c in plain["criteria"])
    page = verdict_page(verdict)
    assert page.startswith("## The gate: refused")
    refused, _, rest = page.partition("### Holds")
    for name in failed(verdict):
        assert f"**{name}**" in refused
        assert f"**{name}**" not in rest
    again = Verdict.from_dict(json.loads(json.dumps(plain)))
    assert verdict_page(again).replace("∞", "–") == page.replace("∞", "–")
    assert again.as_dict() == plain


def test_the_verdict_in_words_fits_the_column_of_a_version():
    """Every criterion with value, threshold and reason; what is longer is cut at a line."""
    plain = judge_model(made_evidence(0.0, seed=3), made_attempts(0.0), LIMITS).as_dict()
    text = version_description({"gate": plain})
    assert len(text) <= 5000
    for criterion in plain["criteria"]:
        assert criterion["name"] in text
        assert criterion["reason"] in text
    wordy = {**plain, "criteria": [{**c, "reason": c["reason"] * 9} for c in plain["criteria"]]}
    cut = version_description({"gate": wordy})
    assert len(cut) <= 5000
    assert "the rest is in gate.json" in cut.splitlines()[-1]


def test_evidence_survives_a_file():
    evidence = made_evidence(0.1)
    again = Evidence.from_dict(json.loads(json.dumps(evidence.as_dict(), allow_nan=False)))
    np.testing.assert_array_equal(again.records["model"].daily, evidence.records["model"].daily)
    assert np.isnan(again.metrics["test"]["auc"])
    assert again.as_dict() == evidence.as_dict()
    same = [judge_model(e, made_attempts(0.1), LIMITS).as_dict() for e in (evidence, again)]
    assert same[0] == same[1]


@pytest.mark.parametrize(("days", "blocks"), [(600, 16), (79, 14), (25, 4), (3, 0)])
def test_blocks_keep_five_days_each(days, blocks):
    assert cscv_blocks(days, 16) == blocks
