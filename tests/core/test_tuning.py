"""Self-tuning: inside the bounds, on evidence only, the same every time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.core.contract import NoticeCode
from executor.core.events import ModelSwapped, Tick
from executor.core.params import Guard, Params, Session, Tuning
from executor.core.recording import Tape
from executor.core.replay import closes, replay
from executor.core.state import TradingState, new_state, restore, save
from executor.core.step import step
from executor.core.tuning import appetite, gain_bound, propose
from features.signals import ADAPTIVE_BOUNDS
from features.types import Candles
from tests.support.trading import (
    INTERVAL_MS,
    LONG_ROW,
    QUIET_ROW,
    START_MS,
    FixedModel,
    model_info,
    parameters,
    trade,
)

TUNING = Tuning()
DEFAULTS = {name: bounds[0] for name, bounds in ADAPTIVE_BOUNDS.items()}
WEAK_ROW = (0.005, 2.25, 2.25, 0.0, 0.01, 25.0, 0.01, 1.0)  # score 0.018: not quite a signal
PERIOD = 20


@pytest.mark.parametrize(
    ("wins", "losses", "wanted"),
    [(9, 0, 0), (40, 10, 1), (32, 18, 0), (33, 17, 1), (25, 25, 0), (10, 40, -1), (19, 31, -1)],
)
def test_the_win_rate_of_the_newest_fifty_says_more_or_fewer(
    wins: int, losses: int, wanted: int
) -> None:
    old = [trade(-1.0)] * 300 if wins + losses >= 50 else []
    assert appetite([*old, *[trade(1.0)] * wins, *[trade(-1.0)] * losses], TUNING) == wanted


inside = st.fixed_dictionaries(
    {name: st.floats(low, high) for name, (_, low, high) in ADAPTIVE_BOUNDS.items()}
)


@given(inside, st.sampled_from([-1, 1]), st.integers(10, 50), st.floats(0, 5))
def test_no_proposal_leaves_the_bounds(
    current: dict[str, float], direction: int, n: int, stride: float
) -> None:
    tuning = replace(TUNING, step_fraction=stride)
    for name, value in propose(current, ADAPTIVE_BOUNDS, direction, n, tuning).items():
        _, low, high = ADAPTIVE_BOUNDS[name]
        assert low <= value <= high


def test_a_proposal_is_shrunk_towards_the_default_by_the_evidence() -> None:
    found = propose(DEFAULTS, ADAPTIVE_BOUNDS, 1, 50, TUNING)
    # 0.008 - 50/150 · 0.15 · (0.02 - 0.002)
    assert found["momentum_threshold"] == pytest.approx(0.008 - 0.0009)
    assert found["min_confidence_threshold"] == pytest.approx(0.6 - 0.035)
    assert found["confidence_multiplier"] == pytest.approx(50.0 + 9.0)
    fewer = propose(DEFAULTS, ADAPTIVE_BOUNDS, -1, 10, TUNING)
    assert fewer["momentum_threshold"] == pytest.approx(0.008 + 0.0027 * 10 / 110)


def test_the_bound_is_below_the_mean_above_zero_for_a_steady_gain_and_repeatable() -> None:
    steady = np.full(400, 1e-4)
    assert gain_bound(steady, 20, TUNING, 1) == pytest.approx(1e-4)
    noise = np.random.default_rng(3).normal(0.0, 1e-3, 400)
    assert gain_bound(noise, 20, TUNING, 1) < float(noise.mean())
    assert gain_bound(noise, 20, TUNING, 1) == gain_bound(noise, 20, TUNING, 1)


def test_noise_is_adopted_about_as_often_as_its_level_says() -> None:
    rng = np.random.default_rng(11)
    adopted = sum(
        gain_bound(rng.normal(0.0, 1e-3, 672), 8, TUNING, seed) > 0.0 for seed in range(200)
    )
    assert adopted <= 34  # 10 % of 200 is 20; the 99.9 % quantile of that binomial is 34


def tape(weak_wins: bool) -> Tape:
    """Return a market in which strong signals win, and weak ones do as told."""
    n = 900
    price, bars, rows = 100.0, [], []
    for i in range(n):
        place = i % PERIOD
        start = price
        if place == 1:
            price = start * 1.025
        elif place == 11:
            price = start * (1.025 if weak_wins else 0.985)
        elif place in (6, 16):
            price = 100.0
        rows.append(LONG_ROW if place == 0 else WEAK_ROW if place == 10 else QUIET_ROW)
        bars.append((start, max(start, price), min(start, price), price))
    columns = np.array(bars).T
    candles = Candles(
        interval_ms=INTERVAL_MS,
        open_ms=START_MS + INTERVAL_MS * np.arange(n, dtype=np.int64),
        open=columns[0],
        high=columns[1],
        low=columns[2],
        close=columns[3],
        volume=np.full(n, 1e6),
    )
    return Tape(
        symbol="AUSDT",
        candles=candles,
        features=np.array(rows),
        volatility=np.full(n, 0.005),
    )


def params() -> Params:
    return parameters(
        ["AUSDT"],
        session=Session(volume_min=0.0),
        guard=Guard(losses_cool_down=0, performance_trades=0),
        tuning=Tuning(replay_bars=400),
    )


def traded(weak_wins: bool, stop: int = 900, ticks: bool = False) -> tuple[TradingState, list[str]]:
    chosen = params()
    state = new_state(10_000.0, chosen)
    model = FixedModel(model_info(["AUSDT"]))
    step(state, ModelSwapped(model=model, version="1", time_ms=0), chosen)

    def advance(state: TradingState, event: object, params: Params) -> object:
        outcome = step(state, event, params)  # type: ignore[arg-type]
        if ticks:
            step(state, Tick(now_ms=state.close_ms + 3), params)
        return outcome

    stop_ms = START_MS + stop * INTERVAL_MS
    done = replay(closes([tape(weak_wins)], START_MS, stop_ms), state, chosen, advance)  # type: ignore[arg-type]
    return state, [notice.code for notice in done.notices]


def test_more_trades_are_adopted_where_they_would_have_paid() -> None:
    state, codes = traded(weak_wins=True)
    assert NoticeCode.PARAMS_ADOPTED in codes
    assert state.adaptive()["momentum_threshold"] < 0.008
    assert state.tuning.optimizations >= 1


def test_and_kept_out_where_they_would_not() -> None:
    state, codes = traded(weak_wins=False)
    assert NoticeCode.PARAMS_ADOPTED not in codes
    assert NoticeCode.PARAMS_REFUSED in codes
    assert state.adaptive() == DEFAULTS


def test_whether_a_tick_or_the_next_event_does_the_tuning_changes_nothing() -> None:
    one, _ = traded(weak_wins=True)
    other, _ = traded(weak_wins=True, ticks=True)
    assert one.adaptive() == other.adaptive()
    assert one.trades == other.trades


def test_what_was_adopted_survives_a_restart_but_not_another_model() -> None:
    state, _ = traded(weak_wins=True)
    adopted = state.adaptive()
    assert adopted != DEFAULTS
    again = restore(save(state), params())
    model = FixedModel(model_info(["AUSDT"]))
    step(again, ModelSwapped(model=model, version="1", time_ms=1), params())
    assert again.adaptive() == adopted
    other = FixedModel(replace(model_info(["AUSDT"]), bundle_sha256="cd" * 32))
    step(again, ModelSwapped(model=other, version="2", time_ms=2), params())
    assert again.adaptive() == DEFAULTS


def test_tuning_can_be_switched_off() -> None:
    chosen = replace(params(), tuning=Tuning(enabled=False))
    state = new_state(10_000.0, chosen)
    model = FixedModel(model_info(["AUSDT"]))
    step(state, ModelSwapped(model=model, version="1", time_ms=0), chosen)
    replay(closes([tape(True)], START_MS, START_MS + 900 * INTERVAL_MS), state, chosen, step)
    assert state.tuning.optimizations == 0
    assert state.trade_count > 20
