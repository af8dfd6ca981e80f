"""Size moves with probability and never past a cap."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.core.decide import expected_net
from executor.core.model import Bucket, Prediction
from executor.core.params import Limits, Sizing
from executor.core.sizing import Ask, Book, Size, bucket_of, size
from tests.support.trading import instrument, model_info

INFO = replace(model_info(["AUSDT"]), kelly_q90=20.0)
EMPTY = Book(held=0.0, crossed=0.0, added=2.5e-5, beta_held=0.0, beta_added=1.0)
TARGET = 0.25**2 * 900_000 / 31_557_600_000


def prediction(probability: float) -> Prediction:
    return Prediction(
        probability=probability,
        expected_net=expected_net(probability, 0.018, 0.011),
        standard_error=0.0,
        win_mean=0.018,
        loss_mean=0.011,
        second_moment=2e-4,
    )


def ask(probability: float = 0.5, **changes: object) -> Ask:
    found = Ask(
        prediction=prediction(probability),
        equity=10_000.0,
        drawdown=0.0,
        price=100.0,
        stop_distance=0.01,
        bar_notional=1e9,
        atr_fraction=0.01,
        losses_row=0,
        wins_row=0,
        book=EMPTY,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def sized(asked: Ask, sizing: Sizing | None = None, lot: float = 0.001) -> Size:
    coin = instrument("AUSDT", lot=lot)
    return size(asked, INFO, sizing or Sizing(), Limits(), coin, TARGET)


def test_size_moves_with_probability() -> None:
    notionals = [sized(ask(p)).notional for p in (0.40, 0.45, 0.50, 0.55)]
    assert notionals == sorted(notionals)
    assert len(set(notionals)) == 4
    # k·f by hand: k = 0.10/20, f = (p·1.8 % - (1-p)·1.1 %)/2e-4.
    assert notionals[2] == pytest.approx(10_000 * (0.10 / 20.0) * (0.0035 / 2e-4))


@given(st.floats(0, 1), st.floats(0, 1))
def test_size_never_falls_when_the_probability_rises(p: float, q: float) -> None:
    low, high = sorted((p, q))
    assert sized(ask(low)).quantity <= sized(ask(high)).quantity


def test_below_break_even_nothing_is_bet() -> None:
    assert sized(ask(0.37)).quantity == 0.0


def test_the_bucket_pulls_an_optimist_down() -> None:
    # In the bucket only 30 % won: p = 0.5 becomes (100·0.5 + 300)/(100 + 1000) = 0.318.
    buckets = (Bucket(lo=0.4, hi=0.6, wins=300.0, n=1000.0),)
    coin = instrument("AUSDT")
    shy = size(ask(0.5), replace(INFO, buckets=buckets), Sizing(), Limits(), coin, TARGET)
    assert shy.quantity == 0.0


def test_buckets_hold_their_lower_edge() -> None:
    buckets = (Bucket(lo=0.0, hi=0.5, wins=1, n=2), Bucket(lo=0.5, hi=1.0, wins=2, n=2))
    assert bucket_of(buckets, 0.5) is buckets[1]
    assert bucket_of(buckets, 1.0) is buckets[1]
    assert bucket_of(buckets, -0.1) is None
    assert bucket_of((), 0.5) is None


@given(
    st.floats(0, 1),
    st.floats(10, 1e7),
    st.floats(0, 0.9),
    st.floats(0.001, 0.2),
    st.floats(0, 1e9),
    st.sampled_from([0.001, 0.1, 1.0]),
)
def test_no_cap_is_exceeded(
    probability: float, equity: float, drawdown: float, distance: float, volume: float, lot: float
) -> None:
    asked = ask(
        probability, equity=equity, drawdown=drawdown, stop_distance=distance, bar_notional=volume
    )
    found = sized(asked, lot=lot)
    notional = found.quantity * asked.price
    slack = 1.0 + 1e-9
    assert notional <= found.notional * slack
    assert notional <= 0.10 * equity * slack
    assert notional * distance <= 0.005 * equity * slack
    assert notional <= 0.01 * volume * slack


def test_the_book_is_held_to_its_volatility_target() -> None:
    # A bet of 1 equity has a deviation of 2 % a bar; the target is 25 % a year = 0.13 % a bar.
    book = Book(held=0.0, crossed=0.0, added=4e-4, beta_held=0.0, beta_added=0.0)
    found = sized(ask(0.9, book=book))
    assert found.bound_by == "volatility"
    assert (found.notional / 10_000.0) ** 2 * 4e-4 == pytest.approx(TARGET, rel=1e-6)


def test_a_hedge_is_allowed_where_the_same_side_is_not() -> None:
    full = Book(held=TARGET, crossed=5e-6, added=2.5e-5, beta_held=0.0, beta_added=0.0)
    assert sized(ask(0.6, book=full)).quantity == 0.0
    hedge = replace(full, crossed=-5e-5)
    assert sized(ask(0.6, book=hedge)).quantity > 0.0


def test_market_exposure_is_capped() -> None:
    book = replace(EMPTY, beta_held=0.55)
    found = sized(ask(0.9, book=book), Sizing(volatility_target=9.0))
    assert found.bound_by == "beta"
    assert found.notional == pytest.approx(0.05 * 10_000.0)


def test_wild_markets_and_losing_streaks_halve_the_risk() -> None:
    def risked(**changes: object) -> float:
        # A wide stop, so that the risk and not the position cap binds.
        asked = ask(0.9, stop_distance=0.2, **changes)
        return sized(asked).notional

    assert risked(atr_fraction=0.06) == pytest.approx(0.5 * risked())
    assert risked(losses_row=2) == pytest.approx(0.5 * risked())
    assert risked(losses_row=2, atr_fraction=0.06) == pytest.approx(0.25 * risked())


def test_raising_after_wins_is_off_unless_asked_for() -> None:
    asked = ask(0.9, stop_distance=0.2, wins_row=5)
    plain = sized(ask(0.9, stop_distance=0.2)).notional
    assert sized(asked).notional == plain
    assert sized(asked, Sizing(raise_after_wins=True)).notional == pytest.approx(1.25 * plain)


def test_a_drawdown_throttles() -> None:
    assert sized(ask(0.5, drawdown=0.20)).notional == pytest.approx(0.25 * sized(ask(0.5)).notional)
