"""Weights: the book's worked examples, and the plain definition summed bar by bar."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from features.types import Candles
from features.weights import (
    average_uniqueness,
    draw_probabilities,
    return_attribution,
    sequential_bootstrap,
    time_decay,
)
from tests.support.markets import MINUTE, market

BAR = 15 * MINUTE
T0 = 1_700_000_000_000 // BAR * BAR
# AFML 4.5.3: labels over bars 0..2, 2..3 and 4..5
FIRST, LAST = np.array([0, 2, 4]), np.array([2, 3, 5])


def spans(first, last):
    """Return bars as market time: from the first bar's open to the last bar's close."""
    return T0 + np.asarray(first) * BAR, T0 + (np.asarray(last) + 1) * BAR


def matrix(first, last):
    """Return the indicator matrix, bars × labels."""
    bars = np.arange(max(last) + 1)[:, None]
    return ((bars >= first) & (bars <= last)).astype(float)


def test_uniqueness_of_the_books_example():
    got = average_uniqueness(*spans(FIRST, LAST), BAR)
    np.testing.assert_allclose(got, [5 / 6, 3 / 4, 1.0], rtol=1e-15)


def test_draw_probabilities_of_the_books_example():
    concurrency = np.zeros(6)
    np.testing.assert_allclose(draw_probabilities(FIRST, LAST, concurrency), [1 / 3] * 3)
    concurrency[2:4] += 1  # the second label was drawn
    np.testing.assert_allclose(
        draw_probabilities(FIRST, LAST, concurrency), [5 / 14, 3 / 14, 6 / 14], rtol=1e-14
    )


_spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 25)), min_size=1, max_size=40).map(
    lambda rows: (np.array([a for a, _ in rows]), np.array([a + b for a, b in rows]))
)


@given(_spans)
def test_uniqueness_is_the_mean_of_one_over_concurrency(drawn):
    first, last = drawn
    indicator = matrix(first, last)
    concurrency = indicator.sum(axis=1)
    want = [np.mean(1.0 / concurrency[indicator[:, label] > 0]) for label in range(first.size)]
    got = average_uniqueness(*spans(first, last), BAR)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert ((got > 0.0) & (got <= 1.0 + 1e-12)).all()


@given(_spans, st.integers(0, 2**32 - 1))
def test_concurrency_across_symbols_counts_by_correlation(drawn, seed):
    first, last = drawn
    rng = np.random.default_rng(seed)
    symbol = rng.integers(0, 3, first.size)
    correlation = np.corrcoef(rng.standard_normal((3, 5)))
    indicator = matrix(first, last)
    want = []
    for label in range(first.size):
        shared = np.array(
            [1.0 if symbol[label] == b else max(0.0, correlation[symbol[label], b]) for b in symbol]
        )
        bars = indicator[:, label] > 0
        want.append(np.mean(1.0 / (indicator[bars] @ shared)))
    got = average_uniqueness(*spans(first, last), BAR, symbol=symbol, correlation=correlation)
    np.testing.assert_allclose(got, want, rtol=1e-10)


def test_perfectly_correlated_symbols_are_one_symbol_and_unrelated_ones_do_not_meet():
    start, end = spans([0, 0, 3], [4, 4, 6])
    symbol = np.array([0, 1, 1])
    ones = np.ones((2, 2))
    np.testing.assert_allclose(
        average_uniqueness(start, end, BAR, symbol=symbol, correlation=ones),
        average_uniqueness(start, end, BAR),
        rtol=1e-14,
    )
    alone = average_uniqueness(start, end, BAR, symbol=symbol)
    assert alone[0] == 1.0
    assert alone[1] < 1.0


def test_a_span_is_made_of_whole_bars():
    """A time exit at a bar's open does not use that bar."""
    start = np.array([T0, T0 + 2 * BAR])
    end = np.array([T0 + 2 * BAR, T0 + 4 * BAR])
    assert average_uniqueness(start, end, BAR).tolist() == [1.0, 1.0]


@given(_spans)
def test_attribution_is_the_absolute_sum_of_shared_returns(drawn):
    first, last = drawn
    bars = market(np.random.default_rng(3), 100)
    start = bars.open_ms[first]
    end = bars.close_ms[last]
    indicator = matrix(first, last)
    concurrency = indicator.sum(axis=1)
    before = np.concatenate((bars.open[:1], bars.close[:-1]))
    returns = np.log(bars.close / before)[: concurrency.size]
    raw = np.array(
        [
            abs(sum(returns[t] / concurrency[t] for t in np.flatnonzero(indicator[:, label])))
            for label in range(first.size)
        ]
    )
    got = return_attribution(start, end, bars)
    np.testing.assert_allclose(got, raw * raw.size / raw.sum(), rtol=1e-9, atol=1e-12)
    assert got.sum() == pytest.approx(first.size)


def test_attribution_of_a_market_that_stands_still_is_zero():
    bars = market(np.random.default_rng(3), 20, flat=True)
    got = return_attribution(bars.open_ms[:3], bars.close_ms[:3], bars)
    assert got.tolist() == [0.0, 0.0, 0.0]


def test_attribution_needs_the_labels_own_candles():
    bars: Candles = market(np.random.default_rng(3), 20)
    with pytest.raises(InputError, match="outside the candles"):
        return_attribution(bars.open_ms[:1] - BAR, bars.close_ms[:1], bars)
    with pytest.raises(InputError, match="outside the candles"):
        return_attribution(bars.close_ms[-1:], bars.close_ms[-1:] + BAR, bars)


def test_decay_is_linear_in_cumulative_uniqueness():
    start = np.array([3, 1, 2, 4])
    uniqueness = np.full(4, 0.5)
    assert time_decay(start, uniqueness, 1.0).tolist() == [1.0] * 4
    # AFML snippet 4.11: cumulative share 1/4..4/4 in time order
    np.testing.assert_allclose(time_decay(start, uniqueness, 0.0), [0.75, 0.25, 0.5, 1.0])
    np.testing.assert_allclose(time_decay(start, uniqueness, 0.5), [0.875, 0.625, 0.75, 1.0])
    np.testing.assert_allclose(time_decay(start, uniqueness, -0.5), [0.5, 0.0, 0.0, 1.0])


@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(0.01, 1.0)), min_size=1, max_size=30),
    st.floats(-0.9, 1.0),
    st.randoms(use_true_random=False),
)
def test_decay_does_not_depend_on_the_order_of_rows(rows, oldest, shuffler):
    start = np.array([a for a, _ in rows])
    uniqueness = np.array([b for _, b in rows])
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    got = time_decay(start, uniqueness, oldest)
    np.testing.assert_allclose(got[order], time_decay(start[order], uniqueness[order], oldest))
    assert got[start == start.max()] == pytest.approx(1.0)
    assert ((got >= 0.0) & (got <= 1.0 + 1e-12)).all()


def test_bootstrap_draws_are_more_unique_than_chance():
    """AFML 4.5.4's experiment: sequential draws overlap less than uniform ones."""
    rng = np.random.default_rng(11)
    sequential, standard = [], []
    for _ in range(60):
        first = rng.integers(0, 100, 10)
        last = first + rng.integers(1, 10, 10)
        start, end = spans(first, last)
        rows = sequential_bootstrap(start, end, BAR, 10, rng)
        sequential.append(average_uniqueness(start[rows], end[rows], BAR).mean())
        rows = rng.integers(0, 10, 10)
        standard.append(average_uniqueness(start[rows], end[rows], BAR).mean())
    assert np.mean(sequential) > np.mean(standard) + 0.02


def test_bootstrap_frequencies_follow_the_probabilities():
    """The second draw after label 2 came first, 4000 times: 5/14, 3/14, 6/14 within 4 sigma."""
    rng = np.random.default_rng(5)
    pairs = [sequential_bootstrap(*spans(FIRST, LAST), BAR, 2, rng) for _ in range(4_000)]
    second = np.array([b for a, b in pairs if a == 1])
    share = np.bincount(second, minlength=3) / second.size
    np.testing.assert_allclose(share, [5 / 14, 3 / 14, 6 / 14], atol=4 * 0.5 / second.size**0.5)


def test_bootstrap_repeats_with_the_generator():
    draws = [
        sequential_bootstrap(*spans(FIRST, LAST), BAR, 50, np.random.default_rng(1)).tolist()
        for _ in range(2)
    ]
    assert draws[0] == draws[1]


def test_no_labels_have_no_weights():
    none = np.empty(0, np.int64)
    bars = market(np.random.default_rng(3), 5)
    assert average_uniqueness(none, none, BAR).size == 0
    assert average_uniqueness(none, none, BAR, symbol=none).size == 0
    assert return_attribution(none, none, bars).size == 0
    assert time_decay(none, np.empty(0), 0.5).size == 0
    assert sequential_bootstrap(none, none, BAR, 0, np.random.default_rng(0)).size == 0


def test_bad_input_names_row_and_column():
    start, end = spans(FIRST, LAST)
    with pytest.raises(InputError, match=r"end_ms row 1: .* is before its start"):
        average_uniqueness(start, end - np.array([0, 10 * BAR, 0]), BAR)
    with pytest.raises(InputError, match="shapes are"):
        average_uniqueness(start, end[:2], BAR)
    with pytest.raises(InputError, match="interval_ms: 0"):
        average_uniqueness(start, end, 0)
    with pytest.raises(InputError, match="say which symbol"):
        average_uniqueness(start, end, BAR, correlation=np.eye(1))
    with pytest.raises(InputError, match="at least 3 symbols"):
        average_uniqueness(start, end, BAR, symbol=np.arange(3), correlation=np.eye(2))
    with pytest.raises(InputError, match="must be square"):
        average_uniqueness(start, end, BAR, symbol=np.arange(3), correlation=np.ones((3, 4)))
    with pytest.raises(InputError, match="symbol: shape"):
        average_uniqueness(start, end, BAR, symbol=np.arange(2))
    with pytest.raises(InputError, match="oldest"):
        time_decay(start, np.ones(3), -1.0)
    with pytest.raises(InputError, match="uniqueness: shape"):
        time_decay(start, np.ones(2), 0.5)
    with pytest.raises(InputError, match="cannot be drawn"):
        sequential_bootstrap(start[:0], end[:0], BAR, 3, np.random.default_rng(0))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_long_histories_keep_their_precision(seed):
    """Prefix sums over 200,000 bars still give short labels their mean to 1e-9."""
    rng = np.random.default_rng(seed)
    first = np.sort(rng.integers(0, 200_000, 5_000))
    last = first + rng.integers(0, 50, 5_000)
    got = average_uniqueness(*spans(first, last), BAR)
    counts = np.zeros(200_100)
    for a, b in zip(first, last, strict=True):
        counts[a : b + 1] += 1
    rows = rng.integers(0, 5_000, 200)
    want = [np.mean(1.0 / counts[first[r] : last[r] + 1]) for r in rows]
    np.testing.assert_allclose(got[rows], want, rtol=1e-9)
