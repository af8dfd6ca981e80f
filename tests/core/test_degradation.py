"""A model that does less than it said is noticed; one that is as it says is left alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.core.degradation import (
    ALPHA,
    WINDOW_TRADES,
    Claim,
    calibration_evidence,
    claim_of,
    degraded,
    drawdown_limit,
    worst_drops,
)
from executor.core.types import Trade
from tests.support.trading import trade

CLAIM = Claim(win_mean=0.0185, loss_mean=0.0115, second_moment=0.000237)


def trades_of(wins: list[bool], probability: float = 0.5) -> list[Trade]:
    return [replace(trade(1.85 if won else -1.15), probability=probability) for won in wins]


@given(st.lists(st.floats(0.01, 0.99), max_size=12))
def test_the_evidence_is_at_most_one_on_average_under_the_claim(claimed: list[float]) -> None:
    """Exactly: the mean over all outcomes, each with the probability that the model gives it."""
    total = 0.0
    for code in range(2 ** min(len(claimed), 8)):
        won = [bool(code >> n & 1) for n in range(min(len(claimed), 8))]
        chance = np.prod([p if y else 1.0 - p for p, y in zip(claimed, won, strict=False)])
        total += float(chance) * calibration_evidence(claimed[: len(won)], won)
    assert total == pytest.approx(1.0)


@pytest.mark.slow
def test_a_model_that_is_as_it_says_is_left_alone_and_a_bad_one_is_noticed() -> None:
    """The figures of docs/CONFIGURATION: false alarms in 300 trades, and trades until noticed."""
    rng, runs = np.random.default_rng(5), 150

    def noticed(chance: float) -> list[int]:
        found = []
        for _ in range(runs):
            wins = (rng.random(WINDOW_TRADES) < chance).tolist()
            looks = range(20, WINDOW_TRADES + 1, 20)
            hits = (n for n in looks if degraded(trades_of(wins[:n]), None))
            found.append(next(hits, 10_000))
        return found

    assert np.mean([at < 10_000 for at in noticed(0.5)]) <= 2 * ALPHA
    assert np.median(noticed(0.30)) <= 80
    assert np.median(noticed(0.35)) <= 140


def test_the_drawdown_limit_holds_for_what_it_was_drawn_from() -> None:
    limit = drawdown_limit(CLAIM, 0.5)
    rng = np.random.default_rng(9)
    steps = np.where(rng.random((3_000, WINDOW_TRADES)) < 0.5, 0.0185, -0.0115)
    assert np.mean(worst_drops(steps) > limit) <= 2 * ALPHA
    assert limit == drawdown_limit(CLAIM, 0.5), "the same claim has the same limit"
    lost = trades_of([True] * 3 + [False] * 30, probability=0.1)
    assert "drawdown" in degraded(lost, Claim(win_mean=0.2, loss_mean=0.001, second_moment=0.004))


def test_worst_drops_counts_from_the_start() -> None:
    drops = worst_drops(np.array([[-1.0, -2.0, 5.0], [3.0, -1.0, -1.5], [1.0, 1.0, 1.0]]))
    assert drops.tolist() == [3.0, 2.5, 0.0]


def test_trades_without_a_probability_say_nothing_of_the_model() -> None:
    assert degraded(trades_of([False] * 200, probability=float("nan")), CLAIM) == ""
    assert degraded([], CLAIM) == ""


def test_the_claim_is_the_mean_over_the_groups() -> None:
    group = {"win_mean": 0.02, "loss_mean": 0.01, "second_moment": 0.0003, "n": 30.0}
    other = {"win_mean": 0.01, "loss_mean": 0.02, "second_moment": 0.0001, "n": 10.0}
    found = claim_of({"economics": {"groups": {"A|0": group, "B|0": other}}})
    assert found is not None
    assert found.win_mean == pytest.approx(0.0175)
    assert found.second_moment == pytest.approx(0.00025)
    assert claim_of({}) is None
    assert claim_of({"economics": {"groups": {}}}) is None
