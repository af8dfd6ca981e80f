"""The gate's calibration: exact bounds, resumable runs, and a small run of the real thing."""

import json
from concurrent.futures import Future
from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import binom

from features.errors import InputError
from flows.calibration import many_markets as calibration
from flows.calibration.many_markets import (
    Count,
    all_nulls,
    counts,
    plan_markets,
    read_rows_of,
    real_histories,
    refusals,
    run_markets,
)
from flows.calibration.one_market import Terms, search_market
from flows.cli import run
from flows.research.nulls import sign_flipped
from tests.support.shared_data import shared_data

SMALL = Terms(kind="driftless", symbols=2, days=120, trials=4, sobol=2, folds=2)


def row(kind, promoted, sharpe=0.0, failed=()):
    return {
        "kind": kind,
        "terms": {"sharpe": sharpe},
        "promoted": promoted,
        "failed": dict.fromkeys(failed, 0.0),
    }


@pytest.mark.parametrize(("markets", "promoted"), [(400, 3), (100, 87), (59, 0), (10, 10)])
def test_bounds_are_the_exact_binomial_ones(markets, promoted):
    """By definition: at a bound the count seen, or a more extreme one, has a chance of 5 %."""
    found = Count(kind="x", sharpe=0.0, markets=markets, promoted=promoted)
    if promoted < markets:
        assert binom.cdf(promoted, markets, found.upper) == pytest.approx(0.05)
    else:
        assert found.upper == 1.0
    if promoted > 0:
        assert binom.sf(promoted - 1, markets, found.lower) == pytest.approx(0.05)
    else:
        assert found.lower == 0.0


def test_the_goals_are_the_bounds_that_the_issue_names():
    assert Count(kind="nulls", sharpe=0.0, markets=400, promoted=3).upper < 0.02
    assert Count(kind="planted", sharpe=3.0, markets=100, promoted=87).lower > 0.80


def test_counts_by_kind_and_of_all_nulls():
    rows = [
        row("driftless", False, failed=("a", "b")),
        row("tide up", True),
        row("driftless", False, failed=("a",)),
        row("planted", True, sharpe=3.0),
        row("planted", False, sharpe=1.0, failed=("b",)),
        row("elsewhere", True, sharpe=3.0),
    ]
    found = counts(rows)
    assert [(c.kind, c.sharpe, c.markets, c.promoted) for c in found] == [
        ("driftless", 0.0, 2, 0),
        ("tide up", 0.0, 1, 1),
        ("elsewhere", 3.0, 1, 1),
        ("planted", 1.0, 1, 0),
        ("planted", 3.0, 1, 1),
    ]
    assert (all_nulls(found).markets, all_nulls(found).promoted) == (3, 1)
    assert list(refusals(rows).items()) == [("a", 2), ("b", 2)]


def test_kinds_are_mixed_and_every_market_is_there(tmp_path):
    markets = plan_markets(
        SMALL, nulls=8, planted=4, sharpe=3.0, curve=1, harder=2, seed=50, folder=tmp_path
    )
    assert len(markets) == 8 + 4 + 4 + 2 * 2
    assert {m.terms.kind for m in markets[: len(markets) * 3 // 4]} == {
        "flipped", "driftless", "tide up", "tide down", "planted", "prolonged", "elsewhere",
    }  # fmt: skip
    assert sorted(m.terms.sharpe for m in markets if m.terms.kind == "planted") == [
        0.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 4.0,
    ]  # fmt: skip
    assert len({m.key("code") for m in markets}) == len(markets)
    assert markets[0].key("code") != markets[0].key("other code")


class InOneProcess:
    """Stands in for the pool: judges at once, and dies after as many markets as told."""

    def __init__(self, *_, **__):
        pass

    def submit(self, function, market):
        future = Future()
        future.set_result(function(market))
        return future

    def shutdown(self, **_):
        pass


def test_a_run_that_was_stopped_goes_on_and_other_code_is_never_counted(tmp_path, monkeypatch):
    judged = []

    def fake(market):
        judged.append(market.seed)
        return {"kind": market.terms.kind, "terms": asdict(market.terms), "promoted": False} | {
            "failed": {},
            "seed": market.seed,
        }

    monkeypatch.setattr(calibration, "ProcessPoolExecutor", InOneProcess)
    monkeypatch.setattr(calibration, "_judged", fake)
    file = tmp_path / "rows.jsonl"
    markets = plan_markets(
        SMALL, nulls=4, planted=0, sharpe=3.0, curve=0, harder=0, seed=1, folder=None
    )
    run_markets(markets[:2], file, workers=1, on_row=lambda *_: None)
    with file.open("a") as out:
        out.write('{"key": "cut sho')
    assert len(read_rows_of(file)) == 2
    rows = run_markets(markets, file, workers=1, on_row=lambda *_: None)
    assert judged == [1, 2, 3, 4]
    assert [r["seed"] for r in rows] == [1, 2, 3, 4]
    assert len(read_rows_of(file)) == 4
    monkeypatch.setattr(calibration, "code_version", lambda: "other")
    run_markets(markets, file, workers=1, on_row=lambda *_: None)
    assert judged == [1, 2, 3, 4, 1, 2, 3, 4]


def test_a_damaged_file_is_one_clear_line(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"key": 1\n{"key": 2}\n')
    with pytest.raises(InputError, match="line 1 is no JSON"):
        read_rows_of(file)


def test_the_command_refuses_what_it_cannot_do(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["gate", "calibrate", "--nulls", "-1"]) == 2
    assert run(["gate", "calibrate", "--workers", "0"]) == 2
    assert run(["gate", "calibrate", "--data", str(tmp_path), "--nulls", "1", "--days", "x"]) == 2


def test_real_candles_share_their_bars():
    histories = real_histories(shared_data() / "binance-perp")
    assert len(histories) == 3
    first = histories[0][0]
    for candles, funding in histories:
        np.testing.assert_array_equal(candles.open_ms, first.open_ms)
        assert not funding.rate.any()
    flipped = sign_flipped(histories, np.random.default_rng(1))
    assert flipped[0][0].n == first.n


@pytest.mark.slow
def test_the_test_part_of_a_trial_is_judged_and_never_scored():
    """What trials earned in the test part is in their series, and in no other figure."""
    found = search_market(SMALL, 3)
    assert found.attempts.series.shape[0] == found.attempts.market.size
    assert found.attempts.series.shape[0] == pytest.approx(120, abs=2)


@pytest.mark.slow
@pytest.mark.timeout(170)
def test_a_small_run_of_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = tmp_path / "counts.json"
    arguments = [
        "gate",
        "calibrate",
        "--nulls",
        "3",
        "--planted",
        "1",
        "--curve",
        "0",
        "--harder",
        "0",
    ]
    arguments += ["--trials", "3", "--sobol", "2", "--days", "120", "--symbols", "2"]
    assert run([*arguments, "--json", str(told)]) == 0
    plain = json.loads(told.read_text())
    nulls = plain["counts"][-1]
    assert (nulls["kind"], nulls["markets"], nulls["promoted"]) == ("all nulls", 3, 0)
    assert plain["cpu_s_mean"] > 0
    assert (tmp_path / "data/reports/gate-calibration.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.soak
@pytest.mark.timeout(43_200)
def test_the_gate_is_honest_and_finds_what_is_there(tmp_path, monkeypatch):
    """400 nulls, 100 planted edges, the curve from 0 to 4: the markets that decision 6 counts."""
    monkeypatch.chdir(tmp_path)
    told = tmp_path / "counts.json"
    data = ["--data", str(shared_data() / "binance-perp")]
    seed = ["--seed", "91000001"]
    assert run(["gate", "calibrate", "--workers", "2", *seed, *data, "--json", str(told)]) == 0
    found = {(c["kind"], c["sharpe"]): c for c in json.loads(told.read_text())["counts"]}
    nulls, planted = found["all nulls", 0.0], found["planted", 3.0]
    assert nulls["markets"] >= 400
    assert nulls["promoted"] <= 3
    assert planted["markets"] >= 100
    assert planted["promoted"] >= 87
