"""The simulated market is what its seed says, and its recurrences are those of its formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.synthetic import SyntheticSymbol, _smoothed, simulate_market


@given(
    size=st.integers(0, 1600),
    keep=st.floats(0.9, 0.999),
    seed=st.integers(0, 9),
)
def test_smoothing_in_blocks_is_the_recurrence(size: int, keep: float, seed: int) -> None:
    shocks = np.random.default_rng(seed).standard_normal(size)
    value, expected = 0.0, []
    for shock in shocks.tolist():
        value = keep * value + shock
        expected.append(value)
    assert _smoothed(shocks, keep) == pytest.approx(np.array(expected), rel=1e-9, abs=1e-9)


def market(seed: int, symbols: int, bars: int = 400) -> list[SyntheticSymbol]:
    rng = np.random.default_rng(seed)
    return simulate_market(rng, symbols=symbols, bars=bars, interval_ms=900_000, start_ms=0)


def test_a_seed_is_a_market_and_more_symbols_change_none() -> None:
    few, many, other = market(1, 2), market(1, 5), market(2, 2)
    for a, b, c in zip(few, many, other, strict=False):
        assert np.array_equal(a.candles.close, b.candles.close)
        assert np.array_equal(a.funding.rate, b.funding.rate)
        assert not np.array_equal(a.candles.close, c.candles.close)


def test_bars_are_bars_and_join() -> None:
    for one in market(3, 3):
        bars = one.candles
        assert np.all(bars.low <= np.minimum(bars.open, bars.close))
        assert np.all(bars.high >= np.maximum(bars.open, bars.close))
        assert np.array_equal(bars.open[1:], bars.close[:-1])
        assert np.all(bars.low > 0)
        assert np.all(np.diff(one.funding.time_ms) == 28_800_000)


def test_volatility_clusters_and_the_market_is_shared() -> None:
    """Squared returns remember each other over days; symbols move together, as asked for."""
    returns = [np.diff(np.log(one.candles.close)) for one in market(4, 4, bars=20_000)]
    squares = returns[0] ** 2 - np.mean(returns[0] ** 2)
    assert np.mean(squares[96:] * squares[:-96]) / np.var(returns[0] ** 2) > 0.01
    together = np.corrcoef(returns)[np.triu_indices(4, 1)]
    assert 0.35 < together.min() <= together.max() < 0.8
