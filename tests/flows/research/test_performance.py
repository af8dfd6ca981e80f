"""Performance and classification figures against hand-made cases."""

from math import isnan, sqrt

import numpy as np
import pytest

from flows.research.metrics import calibration_curve, calibration_error, classification
from flows.research.performance import (
    drawdowns,
    equity_curve,
    longest_run,
    memory_days,
    return_metrics,
    sharpe_annual,
    trade_metrics,
)


def test_return_metrics_of_a_known_series():
    daily = np.array([0.10, -0.10, 0.05, 0.0])
    found = return_metrics(daily)
    assert found["return_total"] == pytest.approx(1.1 * 0.9 * 1.05 - 1)
    assert found["max_drawdown"] == pytest.approx(0.10)
    assert found["max_drawdown_days"] == 3
    assert found["sharpe"] == pytest.approx(daily.mean() / daily.std(ddof=1) * sqrt(365))
    assert found["worst_day"] == -0.10


def test_drawdown_is_a_positive_fraction_of_the_peak():
    np.testing.assert_allclose(
        drawdowns(equity_curve(np.array([1.0, -0.5, 0.0]))), [0, 0, 0.5, 0.5]
    )


def test_an_idle_series_has_sharpe_zero_and_no_ratio_it_cannot_have():
    found = return_metrics(np.zeros(50))
    assert sharpe_annual(np.zeros(50)) == 0.0
    assert isnan(found["sortino"])
    assert isnan(found["calmar"])


def test_trade_metrics_of_known_trades():
    net = np.array([0.02, 0.01, -0.01, -0.01, -0.01, 0.03])
    found = trade_metrics(net, net + 0.001, np.full(6, 5.0))
    assert found["win_rate"] == 0.5
    assert found["profit_factor"] == pytest.approx(2.0)
    assert found["expectancy"] == pytest.approx(0.005)
    assert found["cost_mean"] == pytest.approx(0.001)
    assert (found["win_streak_max"], found["loss_streak_max"]) == (2, 3)
    assert trade_metrics(np.array([]), np.array([]), np.array([])) == {"trades": 0.0}


def test_longest_run():
    assert longest_run(np.array([True, False, True, True, False])) == 2
    assert longest_run(np.array([], dtype=bool)) == 0


def test_classification_is_weighted():
    label = np.array([1, 0, 1, 0], dtype=np.int8)
    p = np.array([0.9, 0.8, 0.3, 0.1])
    wished = p > 0.5
    even = classification(label, p, np.ones(4), wished)
    assert even["precision"] == 0.5
    assert even["recall"] == 0.5
    assert even["auc"] == 0.75
    assert even["brier"] == pytest.approx(np.mean((p - label) ** 2))
    tilted = classification(label, p, np.array([3.0, 1.0, 1.0, 1.0]), wished)
    assert tilted["precision"] == 0.75
    assert tilted["positive_rate"] == pytest.approx(4 / 6)


def test_one_class_only_has_no_auc():
    found = classification(np.ones(3, dtype=np.int8), np.full(3, 0.5), np.ones(3), np.ones(3, bool))
    assert isnan(found["auc"])
    assert found["log_loss"] == pytest.approx(np.log(2))


def test_calibrated_probabilities_have_a_small_error_and_shifted_ones_their_shift():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.2, 0.8, 40_000)
    label = (rng.random(40_000) < p).astype(np.int8)
    weight = np.ones(40_000)
    assert calibration_error(calibration_curve(label, p, weight)) < 0.02
    assert calibration_error(calibration_curve(label, p + 0.15, weight)) == pytest.approx(
        0.15, abs=0.02
    )


def test_memory_ends_where_the_autocorrelation_is_noise():
    """A moving sum of three independent days is correlated over two days and no more."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=4_000)
    assert memory_days(noise) == 0
    assert memory_days(np.convolve(noise, np.ones(3), "valid")) == 2
    assert memory_days(np.cumsum(noise)) == 30
    assert memory_days(np.zeros(400)) == 0
    assert memory_days(np.ones(5)) == 0
