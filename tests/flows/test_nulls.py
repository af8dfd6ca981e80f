"""Markets of known truth: nothing to find, a tide, a planted edge; and the gate on a small one."""

import numpy as np
import pytest

from features.batch import feature_matrix
from features.catalog import default_catalog
from features.costs import Costs
from features.errors import InputError
from features.signals import SignalParams
from features.signals_batch import signals_batch
from flows.calibrate import START_MS, Terms, judge_market
from flows.research.nulls import drifting, driftless, sign_flipped
from flows.research.performance import sharpe_annual
from flows.research.planted import oracle_daily, plant, plant_sharpe

HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def made(bars: int, seed: int = 5) -> list:
    rng = np.random.default_rng(seed)
    return list(driftless(rng, symbols=3, bars=bars, interval_ms=HOUR_MS, start_ms=START_MS))


def possible(candles) -> bool:
    top = np.maximum(candles.open, candles.close)
    bottom = np.minimum(candles.open, candles.close)
    return bool(
        (candles.high >= top * (1 - 1e-12)).all() and (candles.low <= bottom * (1 + 1e-12)).all()
    )


def test_a_driftless_market_has_possible_bars_and_fair_prices() -> None:
    for candles, funding in made(20_000):
        assert possible(candles)
        assert not funding.rate.any()
        simple = candles.close[1:] / candles.close[:-1] - 1.0
        error = simple.std() / np.sqrt(simple.size)
        assert abs(simple.mean()) < 4.0 * error


def test_a_flipped_market_keeps_every_move_and_tosses_a_coin_for_its_sign() -> None:
    source = made(3_000)
    flipped = sign_flipped(source, np.random.default_rng(1))
    signs = []
    for (before, _), (after, _) in zip(source, flipped, strict=True):
        assert possible(after)
        moves = [np.diff(np.log(c.close)) for c in (before, after)]
        np.testing.assert_allclose(np.abs(moves[1]), np.abs(moves[0]), atol=1e-9)
        signs.append(np.sign(moves[0] * moves[1]))
    np.testing.assert_array_equal(signs[0], signs[1])
    assert 0.4 < np.mean(signs[0] > 0) < 0.6


def test_a_tide_lifts_by_its_rate_a_year() -> None:
    source = made(8_760)
    for (before, _), (after, _) in zip(source, drifting(source, 1.0), strict=True):
        gained = np.log(after.close[-1] / before.close[-1]) - np.log(after.open[0] / before.open[0])
        assert gained == pytest.approx(np.log(2.0), rel=0.01)


@pytest.mark.slow
def test_who_knows_the_planted_rule_earns_more_the_stronger_it_is() -> None:
    catalog, source = default_catalog(), made(9_000)
    first = START_MS // DAY_MS + 60
    sharpes = [
        sharpe_annual(
            oracle_daily(
                plant(source, catalog, bars=24, strength=strength),
                Costs(),
                first_day=first,
                days=300,
            )
        )
        for strength in (0.0, 0.1, 0.2)
    ]
    assert sharpes[0] < 1.5
    assert sharpes[0] < sharpes[1] < sharpes[2]
    assert sharpes[2] > 3.0


@pytest.mark.slow
def test_an_edge_of_the_size_asked_for_is_planted_in_possible_bars() -> None:
    market, reached = plant_sharpe(
        made(9_000),
        default_catalog(),
        bars=24,
        sharpe=3.0,
        costs=Costs(),
        first_day=START_MS // DAY_MS + 60,
        days=300,
    )
    assert reached == pytest.approx(3.0, abs=0.3)
    for (candles, _), edge in zip(market.histories, market.edges, strict=True):
        assert possible(candles)
        assert (edge.leave - edge.entry >= 1).all()
        assert (edge.entry[1:] >= edge.leave[:-1]).all()


@pytest.mark.slow
def test_after_every_signal_of_the_altered_prices_they_drift_its_way() -> None:
    """Seen from outside: mean move of the next bars by the signals' side, against no edge."""
    catalog, source = default_catalog(), made(9_000)
    market = plant(source, catalog, bars=24, strength=0.3)
    for (candles, funding), _ in zip(market.histories, market.edges, strict=True):
        signals = signals_batch(feature_matrix(candles, catalog, funding), catalog, SignalParams())
        at = np.flatnonzero(signals.side[:-26] != 0)
        moved = signals.side[at] * np.log(candles.open[at + 25] / candles.open[at + 1])
        assert moved.mean() > 4.0 * moved.std() / np.sqrt(at.size / 10)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_gate_judges_a_small_market_and_promotes_nothing_where_nothing_is() -> None:
    terms = Terms(kind="driftless", symbols=2, days=200, trials=5, sobol=4, folds=3)
    row = judge_market(terms, seed=11)
    assert row["promoted"] is False
    assert row["failed"]
    assert judge_market(terms, seed=11) == row


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="'driftless'"):
        Terms(kind="driftles")
