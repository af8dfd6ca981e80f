"""Markets of known truth: nothing to find, a tide, a planted edge; and the gate on a small one."""

import numpy as np
import pytest

from features.batch import feature_matrix
from features.catalog import default_catalog
from features.costs import Costs
from features.errors import InputError
from features.signals import SignalParams
from features.signals_batch import signals_batch
from flows.calibration.one_market import START_MS, Terms, judge_market
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


def test_who_knows_the_planted_rule_earns_more_the_stronger_it_is() -> None:
    source = made(9_000)
    first = START_MS // DAY_MS + 60
    sharpes = [
        sharpe_annual(
            oracle_daily(
                plant(source, bars=24, strength=strength),
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


def test_an_edge_of_the_size_asked_for_is_planted_in_possible_bars() -> None:
    market, reached = plant_sharpe(
        made(9_000),
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


@pytest.mark.parametrize("prolonged", [False, True])
def test_drifts_are_what_the_signals_of_the_altered_prices_say(prolonged: bool) -> None:
    """From outside: the pipeline's features and signals of the altered candles, and the rule."""
    catalog, bars = default_catalog(), 24
    market = plant(made(9_000), bars=bars, strength=0.3, prolonged=prolonged)
    for (candles, funding), edge in zip(market.histories, market.edges, strict=True):
        side = signals_batch(
            feature_matrix(candles, catalog, funding), catalog, SignalParams()
        ).side.tolist()
        told = list(zip(edge.entry.tolist(), edge.leave.tolist(), edge.side.tolist(), strict=True))
        assert told == drifts_of(side, bars, prolonged)
        assert len(told) > 30


def drifts_of(side: list[int], bars: int, prolonged: bool) -> list[tuple[int, int, int]]:
    """Return (first bar, bar after the last, side) of every drift that ended."""
    found, begun, until, way = [], 0, 0, 0
    for bar, fired in enumerate(side):
        if way and prolonged and fired:
            until = bar + bars
        if way and (bar >= until or (prolonged and fired == -way)):
            found.append((begun, bar + 1, way))
            way = 0
        if not way and fired:
            begun, until, way = bar + 1, bar + bars, fired
    return found


def test_prices_go_the_drifts_way_by_its_strength() -> None:
    source = made(9_000)
    market = plant(source, bars=24, strength=0.3)
    for (before, _), (after, _), edge in zip(source, market.histories, market.edges, strict=True):
        shift = np.log(after.close / before.close)
        gained = shift[edge.leave - 1] - shift[edge.entry - 1]
        np.testing.assert_allclose(
            gained, edge.side * 0.3 * edge.volatility_in * (edge.leave - edge.entry), rtol=1e-9
        )
        assert (edge.leave - edge.entry == 24).all()


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
