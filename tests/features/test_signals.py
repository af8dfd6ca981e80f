"""Signals of one row and of many are one source; the seeded market is what its seed says."""

import numpy as np
import pytest

from features.batch import feature_matrix
from features.catalog import default_catalog
from features.errors import InputError
from features.meta import model_matrix, model_names, model_row
from features.signals import (
    ADAPTIVE_BOUNDS,
    SignalParams,
    momentum_score,
    primary_signal,
    reversion_score,
)
from features.signals_batch import signals_batch
from features.synthetic import SyntheticSymbol, simulate_market

INTERVAL_MS = 900_000
START_MS = 1_700_000_100_000 // INTERVAL_MS * INTERVAL_MS
CATALOG = default_catalog()
RULES = ("momentum", "trend", "breakout", "reversion")


def market(bars: int, seed: int = 3, momentum: float = 0.03) -> SyntheticSymbol:
    rng = np.random.default_rng(seed)
    return simulate_market(
        rng, symbols=1, bars=bars, interval_ms=INTERVAL_MS, start_ms=START_MS, momentum=momentum
    )[0]


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    made = market(4_000)
    return feature_matrix(made.candles, CATALOG, made.funding)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("higher_weight", [0.0, 0.5])
def test_one_signal_equals_many(matrix: np.ndarray, rule: str, higher_weight: float) -> None:
    columns = {name: i for i, name in enumerate(CATALOG.names)}
    params = SignalParams(rule=rule, higher_weight=higher_weight, min_confidence_threshold=0.2)
    many = signals_batch(matrix, CATALOG, params)
    for i in range(0, matrix.shape[0], 3):
        one = primary_signal(matrix[i], columns, params)
        assert (one.side, one.score, one.confidence) == (
            many.side[i],
            many.score[i],
            many.confidence[i],
        )
    assert 0.005 < np.count_nonzero(many.side) / matrix.shape[0] < 0.3


@pytest.mark.slow
def test_one_model_row_equals_many(matrix: np.ndarray) -> None:
    columns = {name: i for i, name in enumerate(CATALOG.names)}
    params = SignalParams()
    many = signals_batch(matrix, CATALOG, params)
    symbols = ("AAAUSDT", "BBBUSDT")
    whole = model_matrix(matrix, many, "BBBUSDT", symbols, "one_hot")
    assert whole.shape[1] == len(model_names(CATALOG.names, symbols, "one_hot"))
    for i in np.flatnonzero(many.side)[:50]:
        signal = primary_signal(matrix[i], columns, params)
        row = model_row(matrix[i], signal, "BBBUSDT", symbols, "one_hot")
        np.testing.assert_array_equal(row, whole[i])


def test_the_momentum_score_is_the_sum_that_the_design_states() -> None:
    """0.01·(0.5·2 + 0.3·1 + 0.2·sign(-)·clip(7, 0, 3)), worked by hand: 0.01·(1 + 0.3 - 0.6)."""
    assert momentum_score(2.0, 1.0, 7.0, -0.01, 0.2, 0.5, 0.3) == pytest.approx(0.007)


@pytest.mark.parametrize(
    ("band", "rsi", "adx", "volume_z", "score"),
    [
        (-0.1, 30.0, 18.0, 0.5, 0.024),  # 2.4 deviations below the mean, stretched: back up
        (1.1, 70.0, 18.0, 0.5, -0.024),
        (-0.1, 36.0, 18.0, 0.5, 0.0),  # not stretched
        (-0.1, 70.0, 18.0, 0.5, 0.0),  # stretched the other way
        (-0.1, 30.0, 25.0, 0.5, 0.0),  # a trend runs
        (-0.1, 30.0, 18.0, 2.0, 0.0),  # volume drives it
    ],
)
def test_reversion_goes_back_to_the_mean_in_quiet_markets(
    band: float, rsi: float, adx: float, volume_z: float, score: float
) -> None:
    assert reversion_score(band, rsi, adx, volume_z) == pytest.approx(score)


def test_a_number_that_is_none_is_no_signal() -> None:
    row = np.full(len(CATALOG.names), np.nan)
    columns = {name: i for i, name in enumerate(CATALOG.names)}
    for rule in RULES:
        assert primary_signal(row, columns, SignalParams(rule=rule)).side == 0


def test_defaults_lie_inside_their_bounds() -> None:
    for name, (default, low, high) in ADAPTIVE_BOUNDS.items():
        assert low <= default <= high
        assert getattr(SignalParams(), name) == default


def test_an_unknown_rule_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="'momentum'"):
        SignalParams(rule="momentun")


@pytest.mark.slow
def test_any_history_gives_the_same_row_after_the_stated_warm_up() -> None:
    made = market(CATALOG.warmup_bars + 3_000)
    candles = made.candles
    whole = feature_matrix(candles, CATALOG, made.funding)
    late = feature_matrix(candles.slice(1_001, candles.n), CATALOG, made.funding)
    warm = CATALOG.warmup_bars
    assert warm <= 8_640
    np.testing.assert_array_equal(late[warm:], whole[1_001 + warm :])


@pytest.mark.slow
def test_a_seed_is_a_market_and_its_bars_are_possible() -> None:
    once, again, other = market(600, 9), market(600, 9), market(600, 10)
    np.testing.assert_array_equal(once.candles.close, again.candles.close)
    assert not np.array_equal(once.candles.close, other.candles.close)
    c = once.candles
    assert (c.high >= np.maximum(c.open, c.close)).all()
    assert (c.low <= np.minimum(c.open, c.close)).all()
    assert (c.low > 0.0).all()
    assert (c.volume > 0.0).all()
    assert (np.diff(once.funding.time_ms) == 28_800_000).all()
