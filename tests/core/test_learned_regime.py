"""The learned regime: silent until proven, small then, and silent again when the proof is gone."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.core.contract import NoticeCode
from executor.core.learned_regime import EVIDENCE_MIN, RegimeLearner, learn
from executor.core.params import LearnedRegime
from executor.core.state import restore, save
from executor.core.types import Notice, OrderIntent
from features.errors import InputError
from tests.support.trading import LONG_ROW, QUIET_ROW, SHORT_ROW, Desk, parameters

INTERVAL_MS = 900_000
SETTINGS = LearnedRegime()
WINDOW_MS = SETTINGS.window_bars * INTERVAL_MS
BEGIN_MS = 100_000 * WINDOW_MS


class Market:
    """One symbol whose windows move as told."""

    def __init__(self) -> None:
        self.learner = RegimeLearner()
        self.close_ms, self.price = BEGIN_MS, 100.0
        self.notices: list[Notice] = []
        self._learn({"AUSDT": self.price})

    def go(self, moves: Sequence[float]) -> Iterator[RegimeLearner]:
        """Let window after window pass; yield the learner after each."""
        for move in moves:
            self.close_ms += WINDOW_MS
            self.price *= math.exp(move)
            self._learn({"AUSDT": self.price})
            yield self.learner

    def _learn(self, closes: dict[str, float]) -> None:
        said = learn(self.learner, closes, self.close_ms, INTERVAL_MS, SETTINGS)
        if said is not None:
            self.notices.append(said)


def alternating(count: int) -> list[float]:
    return [0.01 if n % 2 else -0.01 for n in range(count)]


def persistent(rng: np.random.Generator, count: int, phi: float) -> list[float]:
    moves, move = [], 0.0
    for _ in range(count):
        move = phi * move + rng.normal(0.0, 0.01)
        moves.append(move)
    return moves


def test_influence_begins_after_a_hundred_samples_and_grows_to_a_fifth() -> None:
    by_samples = {one.samples: one.influence() for one in Market().go(alternating(400))}
    assert {by_samples[n] for n in range(101)} == {0.0}, "whatever the evidence"
    assert by_samples[101] == pytest.approx(1 / 500)
    assert by_samples[150] == pytest.approx(50 / 500)
    assert by_samples[200] == pytest.approx(0.2)
    assert by_samples[390] == pytest.approx(0.2), "and no further"


def test_only_a_bet_against_the_forecast_is_made_smaller_and_none_larger() -> None:
    market = Market()
    *_, learner = market.go(alternating(200))
    assert learner.forecast == "down", "the newest window went up, and they alternate"
    assert learner.share(-1) == 1.0
    assert learner.share(1) == 1.0 - learner.influence() < 1.0


def test_what_begins_and_what_ends_is_said_once() -> None:
    market = Market()
    list(market.go(alternating(150)))
    rng = np.random.default_rng(3)
    passed = 0
    for learner in market.go(rng.normal(0.0, 0.01, 3_000).tolist()):
        passed += 1
        if not learner.influence():
            break
    assert passed < 500, "without its reason the influence ends by itself"
    assert [notice.code for notice in market.notices] == [NoticeCode.LEARNED_REGIME] * 2
    assert "has influence" in market.notices[0].text
    assert "no longer" in market.notices[1].text


def test_a_market_that_mostly_rises_is_no_skill() -> None:
    """The majority class is right as often, so there is nothing to prove."""
    rng = np.random.default_rng(5)
    moves = np.where(rng.random(1_000) < 0.8, 0.01, -0.01)
    learners = [(one.influence(), one.evidence()) for one in Market().go(moves.tolist())]
    assert max(influence for influence, _ in learners) == 0.0
    assert max(evidence for _, evidence in learners) < EVIDENCE_MIN


def share_that_ever_gets_influence(seeds: int, windows: int) -> float:
    """Return how often a market without memory, with fat tails and calm and wild times, does."""
    ever = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        variance, moves = 1.0, []
        for draw in rng.standard_t(4, windows):
            moves.append(0.01 * math.sqrt(variance) * float(draw))
            variance = 0.05 + 0.05 * variance * float(draw) ** 2 + 0.85 * variance
        ever += any(learner.influence() > 0.0 for learner in Market().go(moves))
    return ever / seeds


def test_chance_gets_influence_in_at_most_one_market_of_twenty() -> None:
    seeds = 60
    assert share_that_ever_gets_influence(seeds, 400) <= 0.05 + 2.0 * math.sqrt(0.0475 / seeds)


@pytest.mark.soak
def test_chance_gets_influence_in_at_most_one_market_of_twenty_over_years() -> None:
    seeds = 2_000
    assert share_that_ever_gets_influence(seeds, 1_500) <= 0.05 + 2.0 * math.sqrt(0.0475 / seeds)


def test_a_market_with_memory_is_noticed() -> None:
    found = []
    for seed in range(20):
        moves = persistent(np.random.default_rng(seed), 600, 0.5)
        found.append(any(learner.influence() > 0.0 for learner in Market().go(moves)))
    assert sum(found) >= 18


def test_windows_do_not_overlap_and_all_symbols_are_one_sample() -> None:
    learner, seen = RegimeLearner(), []
    rng = np.random.default_rng(1)
    prices = {f"S{n}": 100.0 for n in range(50)}
    for bar in range(40 * SETTINGS.window_bars):
        prices = {s: p * math.exp(rng.normal(0.0, 0.01)) for s, p in prices.items()}
        learn(learner, prices, BEGIN_MS + bar * INTERVAL_MS, INTERVAL_MS, SETTINGS)
        seen.append(learner.seen)
    assert seen[-1] == 39
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(seen))
    assert learner.samples <= 39 - 5, "the first six windows are needed to forecast the next"


def test_after_a_gap_nothing_is_forecast_until_enough_is_known_again() -> None:
    market = Market()
    list(market.go(alternating(20)))
    samples = market.learner.samples
    market.close_ms += WINDOW_MS  # one window is not seen
    (learner,) = market.go([0.01])
    assert (learner.forecast, learner.moves, learner.samples) == ("", [], samples)
    *_, learner = market.go(alternating(5))
    assert (learner.forecast, learner.samples) == ("", samples)
    *_, learner = market.go(alternating(2))
    assert learner.samples == samples + 1


def test_what_it_may_not_be() -> None:
    with pytest.raises(InputError, match="window_bars"):
        LearnedRegime(window_bars=0)
    off, learner = LearnedRegime(enabled=False), RegimeLearner()
    learn(learner, {"AUSDT": 1.0}, BEGIN_MS, INTERVAL_MS, off)
    assert learner == RegimeLearner()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 1, 1, 2, 5]),
            st.dictionaries(st.sampled_from("ABC"), st.floats(1e-8, 1e8), max_size=3),
        ),
        max_size=150,
    )
)
def test_whatever_closes_it_stays_within_bounds_and_survives_being_written(
    bars: list[tuple[int, dict[str, float]]],
) -> None:
    settings, close_ms = LearnedRegime(window_bars=1), BEGIN_MS
    learner, again = RegimeLearner(), RegimeLearner()
    for steps, closes in bars:
        close_ms += steps * INTERVAL_MS
        learn(learner, closes, close_ms, INTERVAL_MS, settings)
        again = RegimeLearner(**json.loads(json.dumps(asdict(again))))
        learn(again, closes, close_ms, INTERVAL_MS, settings)
        assert 0.0 <= learner.influence() <= 0.2
        assert learner.influence() == 0.0 or learner.samples > 100
        assert all(0.0 <= wealth <= 100.0 for wealth in learner.wealth)
        assert len(learner.moves) <= 24
        assert len(learner.cells) <= 8
    assert again == learner


class Swinging:
    """A desk whose market goes up and down in turn, with one signal wanted at each close."""

    def __init__(self, learned: LearnedRegime) -> None:
        self.desk = Desk(params=parameters(("BTCUSDT",), learned_regime=learned))
        self.price = 100.0

    def close(self, row: Sequence[float]) -> list[OrderIntent]:
        self.price = 100.0 if self.price > 100.0 else 100.2
        return list(self.desk.close({"BTCUSDT": row}, {"BTCUSDT": self.price}).intents)

    def sizes(self) -> tuple[float, float]:
        """Return the sizes of a long and of a short bet at the same prices and equity."""
        found = []
        for row in (LONG_ROW, SHORT_ROW):
            if self.price > 100.0:
                self.close(QUIET_ROW)
            (intent,) = self.close(row)
            found.append(intent.quantity)
            ledger = self.desk.state.ledger
            del self.desk.state.active[intent.client_order_id]
            assert not ledger.positions
        return found[0], found[1]


def test_in_the_chain_only_the_size_of_what_speaks_against_it_changes() -> None:
    learning = Swinging(LearnedRegime(window_bars=1))
    ignorant = Swinging(LearnedRegime(enabled=False))
    for swinging in (learning, ignorant):
        for _ in range(300):
            swinging.close(QUIET_ROW)
    assert learning.desk.state.learner.influence() == pytest.approx(0.2)
    whole_long, whole_short = ignorant.sizes()
    long, short = learning.sizes()
    assert learning.desk.state.learner.forecast == "down", "the last close was up"
    assert long == pytest.approx(0.8 * whole_long, abs=0.002)
    assert short == whole_short


def test_the_record_of_a_decision_says_what_was_taken_off() -> None:
    swinging = Swinging(LearnedRegime(window_bars=1))
    for _ in range(300):
        swinging.close(QUIET_ROW)
    outcome = swinging.desk.close({"BTCUSDT": LONG_ROW}, {"BTCUSDT": 100.2})
    (decision,) = outcome.decisions
    assert (decision.market_forecast, decision.size_share) == ("down", 0.8)


def test_a_restart_forgets_nothing_and_a_state_of_before_begins_anew() -> None:
    swinging = Swinging(LearnedRegime(window_bars=1))
    for _ in range(150):
        swinging.close(QUIET_ROW)
    state, params = swinging.desk.state, swinging.desk.params
    saved = json.loads(json.dumps(save(state)))
    assert restore(saved, params).learner == state.learner
    assert state.learner.influence() > 0.0
    del saved["learner"]
    assert restore(saved, params).learner == RegimeLearner()
