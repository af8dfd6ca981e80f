"""The hot decisions: numbers in, numbers out, NaN never passes."""

import inspect
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.core import decide

fractions = st.floats(0.0, 1.0)
money = st.floats(1.0, 1e7)
anything = st.floats(allow_nan=True, allow_infinity=True)


def test_break_even_probability_of_two_to_one_barriers_is_near_two_fifths() -> None:
    # Win 2 % - 0.13 % costs, lose 1 % + 0.13 %: p* = L/(W+L) = 1.13/3.00.
    win, loss = 0.0187, 0.0113
    break_even = loss / (win + loss)
    assert break_even == pytest.approx(0.3767, abs=1e-4)
    below, _ = decide.entry_verdict(decide.expected_net(break_even - 0.001, win, loss), 0.0, 1.0)
    above, _ = decide.entry_verdict(decide.expected_net(break_even + 0.001, win, loss), 0.0, 1.0)
    assert (below, above) == (decide.NO_EDGE, decide.ENTER)


@given(anything, anything, anything)
def test_only_a_known_positive_edge_enters(expected: float, error: float, kappa: float) -> None:
    verdict, edge = decide.entry_verdict(expected, error, kappa)
    if math.isnan(expected) or math.isnan(error) or math.isnan(kappa) or error < 0.0:
        assert verdict != decide.ENTER
    if verdict == decide.ENTER:
        assert edge > 0.0


def test_a_larger_error_needs_a_larger_edge() -> None:
    assert decide.entry_verdict(0.001, 0.0005, 1.0)[0] == decide.ENTER
    assert decide.entry_verdict(0.001, 0.0005, 2.0)[0] == decide.NO_EDGE
    assert decide.entry_verdict(0.001, math.nan, 2.0)[0] == decide.NO_ECONOMICS


def test_shrunk_probability_moves_from_the_model_to_the_bucket_with_evidence() -> None:
    assert decide.shrunk_probability(0.6, 100.0, 0.0, 0.0) == 0.6
    assert decide.shrunk_probability(0.6, 100.0, 40.0, 100.0) == pytest.approx(0.5)
    assert decide.shrunk_probability(0.6, 100.0, 4e6, 1e7) == pytest.approx(0.4, abs=1e-4)


@given(fractions, fractions, st.floats(0.001, 0.1), st.floats(0.001, 0.1), st.floats(1e-6, 0.1))
def test_kelly_never_falls_when_the_probability_rises(
    p: float, q: float, win: float, loss: float, moment: float
) -> None:
    low, high = sorted((p, q))
    assert decide.kelly_bet(low, win, loss, moment) <= decide.kelly_bet(high, win, loss, moment)


def test_kelly_of_a_losing_or_unknown_bet_is_nothing() -> None:
    assert decide.kelly_bet(0.3, 0.01, 0.01, 1e-4) == 0.0
    assert decide.kelly_bet(math.nan, 0.01, 0.01, 1e-4) == 0.0
    assert decide.kelly_bet(0.9, 0.01, 0.01, math.nan) == 0.0


def test_kelly_share_lets_the_ninetieth_percentile_just_reach_the_cap() -> None:
    share = decide.kelly_share(0.25, 0.10, 12.0)
    assert share * 12.0 == pytest.approx(0.10)
    assert decide.kelly_share(0.25, 0.10, 0.1) == 0.25
    assert decide.kelly_share(0.25, 0.10, math.nan) == 0.25


def test_the_throttle_falls_straight_from_one_to_its_floor() -> None:
    at = [decide.drawdown_throttle(d, 0.05, 0.20, 0.25) for d in (0.0, 0.05, 0.125, 0.20, 0.9)]
    assert at == [1.0, 1.0, pytest.approx(0.625), 0.25, 0.25]


@given(money, fractions, st.floats(0, 5), st.floats(0, 0.05), st.floats(0, 0.3), fractions, money)
def test_no_bet_exceeds_any_of_its_caps(
    equity: float,
    throttle: float,
    kelly: float,
    risk: float,
    distance: float,
    cap: float,
    volume: float,
) -> None:
    notional, _ = decide.bet_notional(equity, throttle, kelly, risk, distance, cap, volume)
    slack = 1.0 + 1e-12
    assert 0.0 <= notional <= equity * throttle * min(kelly, cap) * slack
    assert notional <= volume
    assert notional * distance <= equity * risk * slack


@pytest.mark.parametrize("which", range(7))
@pytest.mark.parametrize("value", [math.nan, 0.0, -1.0])
def test_one_input_that_is_no_positive_number_ends_in_no_bet(which: int, value: float) -> None:
    inputs = [1.0] * 7
    inputs[which] = value
    assert decide.bet_notional(*inputs)[0] == 0.0


@given(st.lists(anything, min_size=7, max_size=7))
def test_a_bet_is_never_nan_or_negative(inputs: list[float]) -> None:
    notional, _ = decide.bet_notional(*inputs)
    assert 0.0 <= notional < math.inf
    if any(math.isnan(value) for value in inputs):
        assert notional == 0.0


def test_what_bound_the_bet_is_named() -> None:
    assert decide.bet_notional(1e4, 1.0, 0.05, 0.005, 0.01, 0.1, 1e9) == (500.0, decide.BY_KELLY)
    assert decide.bet_notional(1e4, 1.0, 3.0, 0.0005, 0.01, 0.1, 1e9) == (500.0, decide.BY_RISK)
    assert decide.bet_notional(1e4, 1.0, 3.0, 0.05, 0.01, 0.1, 1e9) == (1000.0, decide.BY_POSITION)
    assert decide.bet_notional(1e4, 1.0, 3.0, 0.05, 0.01, 0.1, 7.0) == (7.0, decide.BY_VOLUME)


@given(st.floats(0, 1), st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_book_never_exceeds_its_variance(
    held: float, rho: float, added: float, target: float
) -> None:
    crossed = rho * math.sqrt(held * added)  # a covariance that can exist
    share = decide.variance_share(held, crossed, added, target)
    assert 0.0 <= share <= 1.0
    if share > 0.0:
        assert held + 2.0 * share * crossed + share * share * added <= target * (1.0 + 1e-12)


def test_a_hedge_may_pass_where_a_doubling_may_not() -> None:
    assert decide.variance_share(0.9, -0.5, 0.6, 1.0) == 1.0
    assert 0.0 < decide.variance_share(0.9, 0.5, 0.6, 1.0) < 0.2
    assert decide.variance_share(1.1, 0.5, 0.6, 1.0) == 0.0


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0, 2))
def test_beta_stays_within_its_limit(held: float, added: float, limit: float) -> None:
    share = decide.beta_share(held, added, limit)
    assert 0.0 <= share <= 1.0
    if share > 0.0:
        assert abs(held + share * added) <= max(limit, abs(held)) * (1.0 + 1e-9) + 1e-12


def test_the_source_keeps_to_what_compiles_bit_for_bit() -> None:
    source = inspect.getsource(decide)
    assert "**" not in source.split('"""', 2)[2].replace("``**``", "")
    assert "math." not in source
    assert "import" not in source.replace("from typing import Final", "").split('"""', 2)[2]
