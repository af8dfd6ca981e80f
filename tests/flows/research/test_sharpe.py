"""Published figures of the Sharpe statistics, to the digits their papers print."""

from math import inf, sqrt

import numpy as np
import pytest
from scipy import stats

from flows.research.sharpe import (
    SharpeMoments,
    deflated_sharpe_2014,
    deflated_sharpe_2025,
    effective_trials,
    expected_max_normal,
    minimum_backtest_years,
    minimum_track_record_2012,
    minimum_track_record_2025,
    probabilistic_sharpe_2012,
    probabilistic_sharpe_2025,
    sharpe_moments,
    spread_max_normal,
)


def moments(sharpe, periods, skew=0.0, kurtosis=3.0):
    return SharpeMoments(sharpe=sharpe, periods=periods, skew=skew, kurtosis=kurtosis)


def test_deflated_sharpe_of_the_2014_paper():
    """Bailey and López de Prado 2014, "A numerical example"."""
    found = moments(2.5 / sqrt(250), 1250, -3.0, 10.0)
    assert deflated_sharpe_2014(found, 100, 0.5 / 250) == pytest.approx(0.90039683444939, abs=1e-12)
    assert deflated_sharpe_2014(found, 46, 0.5 / 250) == pytest.approx(0.95050, abs=5e-6)
    normal = moments(2.5 / sqrt(250), 1250)
    assert deflated_sharpe_2014(normal, 88, 0.5 / 250) == pytest.approx(0.95049, abs=5e-6)


def test_probabilistic_sharpe_of_the_2012_paper():
    found = moments(1.585 / sqrt(12), 24, -2.448, 10.164)
    assert probabilistic_sharpe_2012(found) == pytest.approx(0.913234306885, abs=1e-9)


@pytest.mark.parametrize(
    ("sharpe", "benchmark", "a_year", "skew", "kurtosis", "years"),
    [
        (2.0, 1.0, 250, 0.0, 3.0, 2.73119),
        (2.0, 1.0, 52, 0.0, 3.0, 2.82883),
        (3.0, 2.5, 12, -0.72, 5.78, 27.35292),
    ],
)
def test_minimum_track_record_of_the_2012_paper(sharpe, benchmark, a_year, skew, kurtosis, years):
    found = moments(sharpe / sqrt(a_year), 100, skew, kurtosis)
    periods = minimum_track_record_2012(found, benchmark / sqrt(a_year))
    assert periods / a_year == pytest.approx(years, abs=2e-5)


def test_a_ratio_at_its_benchmark_never_proves_itself():
    assert minimum_track_record_2012(moments(0.1, 50), 0.1) == inf
    assert minimum_track_record_2025(moments(0.1, 50), 0.2) == inf


def test_expected_maximum_of_normals():
    assert expected_max_normal(100) == pytest.approx(2.5306028932, abs=1e-9)
    assert expected_max_normal(10) == pytest.approx(1.5745983, abs=1e-6)
    assert expected_max_normal(1) == 0.0


@pytest.mark.parametrize(("trials", "years"), [(45, 4.998), (7, 1.923), (10, 2.479)])
def test_minimum_backtest_length(trials, years):
    assert minimum_backtest_years(trials) == pytest.approx(years, abs=6e-4)


def test_the_2025_forms():
    """Figures printed in "How to use the Sharpe ratio"; .456 there is .4557 rounded."""
    found = moments(0.4557, 24, -2.448, 10.164)
    assert probabilistic_sharpe_2025(found) == pytest.approx(0.987, abs=1e-3)
    assert probabilistic_sharpe_2025(found, 0.1) == pytest.approx(0.939, abs=1e-3)
    assert minimum_track_record_2025(found) == pytest.approx(13.029, abs=1e-2)
    assert minimum_track_record_2025(found, 0.1) == pytest.approx(27.109, abs=3e-2)
    assert spread_max_normal(10) == pytest.approx(0.58681, abs=1e-5)
    assert deflated_sharpe_2025(found, 10, 0.1) == pytest.approx(0.416, abs=1e-3)


def test_moments_of_a_series_agree_with_scipy():
    returns = np.random.default_rng(4).gamma(2.0, 1.0, 500) - 1.7
    found = sharpe_moments(returns)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert found.skew == pytest.approx(stats.skew(returns))
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))


def test_an_idle_series_has_no_edge_and_no_proof():
    found = sharpe_moments(np.zeros(100))
    assert (found.sharpe, found.skew, found.kurtosis) == (0.0, 0.0, 3.0)
    assert probabilistic_sharpe_2012(found) == 0.5


def test_copies_of_one_trial_count_once_and_independent_ones_fully():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(2000, 1))
    assert effective_trials(np.repeat(one, 20, axis=1)) == pytest.approx(1.0)
    assert effective_trials(rng.normal(size=(2000, 20))) == pytest.approx(20.0, abs=0.5)
    assert effective_trials(np.zeros((100, 5))) == 0.0
