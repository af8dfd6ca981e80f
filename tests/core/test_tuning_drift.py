"""Self-tuning on a market whose best parameters drift: bounded, never against its replay, kept.

Strong signals always win. Weak ones, which only a lower threshold trades, win in some seasons and
lose in others, so that what is best moves to and fro.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.core.contract import NoticeCode
from executor.core.events import HistoryLoaded, ModelSwapped
from executor.core.model import tuned
from executor.core.params import Guard, Params, Session, Tuning
from executor.core.recording import Tape
from executor.core.replay import closes, replay
from executor.core.state import TradingState, new_state, restore, save
from executor.core.step import step
from executor.core.types import Notice
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
)

WEAK_ROW = (0.005, 2.25, 2.25, 0.0, 0.01, 25.0, 0.01, 1.0)  # score 0.018: traded only when tuned
PERIOD, REPLAYED, SEASON = 20, 300, 400


def market(seasons: Sequence[int]) -> Tape:
    """Return a market of seasons: of three weak signals a period, so many win."""
    price, bars, rows = 100.0, [], []
    n = SEASON * len(seasons)
    for i in range(n):
        place, winning = i % PERIOD, seasons[i // SEASON]
        start, row = price, QUIET_ROW
        if place == 0:
            row = LONG_ROW
        elif place in (5, 10, 15):
            row = WEAK_ROW
        if place == 1:
            price = start * 1.025
        elif place in (6, 11, 16):
            price = start * (1.025 if (place - 1) // 5 <= winning else 0.985)
        elif place in (3, 8, 13, 18):
            price = 100.0
        rows.append(row)
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
    volatility = np.full(n, 0.005)
    return Tape(symbol="AUSDT", candles=candles, features=np.array(rows), volatility=volatility)


def chosen() -> Params:
    return parameters(
        ["AUSDT"],
        session=Session(volume_min=0.0),
        guard=Guard(
            losses_cool_down=0, performance_trades=0, daily_loss_max=1.0, drawdown_halt=1.0
        ),
        tuning=Tuning(replay_bars=REPLAYED, trades_new=5, bootstrap_draws=100),
    )


def swapped() -> ModelSwapped:
    return ModelSwapped(model=FixedModel(model_info(["AUSDT"])), version="1", time_ms=0)


def fresh(params: Params) -> TradingState:
    state = new_state(10_000.0, params)
    step(state, swapped(), params)
    return state


class Watcher:
    """Drives the core and looks at every change of the parameters."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.changes = 0
        self.notices: list[Notice] = []

    def advance(self, state: TradingState, event: Any, params: Params) -> Any:
        before, at_ms = state.adaptive(), state.close_ms
        outcome = step(state, event, params)
        after = state.adaptive()
        for name, value in after.items():
            _, low, high = ADAPTIVE_BOUNDS[name]
            assert low <= value <= high, name
        self.notices += [n for n in outcome.notices if n.code == NoticeCode.PARAMS_ADOPTED]
        if before and after != before:
            self.changes += 1
            assert self.worth(after, at_ms) > self.worth(before, at_ms), "worse by the replay"
        return outcome

    def worth(self, adaptive: dict[str, float], until_ms: int) -> float:
        """Return what an account would have become over the recent bars, without any tuning."""
        params = replace(chosen(), tuning=Tuning(enabled=False))
        state = fresh(params)
        assert state.signal_params is not None
        state.signal_params = tuned(state.signal_params, adaptive)
        first_ms = until_ms - (REPLAYED - 1) * INTERVAL_MS
        done = replay(closes([self.tape], first_ms, until_ms + 1), state, params, step)
        return done.equity[-1]

    def run(self, state: TradingState, first: int, last: int) -> None:
        """Go through the closes from bar ``first`` up to bar ``last``."""
        from_ms, to_ms = (START_MS + n * INTERVAL_MS for n in (first + 1, last + 1))
        replay(closes([self.tape], from_ms, to_ms), state, chosen(), self.advance)


@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(
    seasons=st.lists(st.integers(0, 3), min_size=3, max_size=5),
    restarts=st.lists(st.integers(20, 70), max_size=2),
)
def test_it_follows_the_drift_within_bounds_and_survives_restarts_to_the_value(
    seasons: list[int], restarts: list[int]
) -> None:
    tape = market(seasons)
    n = SEASON * len(seasons)
    params = chosen()
    straight, watcher = fresh(params), Watcher(tape)
    watcher.run(straight, 0, n)
    assert len(watcher.notices) >= watcher.changes, "every change is said"
    state, again = fresh(params), Watcher(tape)
    begun = 0
    for stop in sorted({period * PERIOD for period in restarts if period * PERIOD < n}):
        again.run(state, begun, stop + 19)
        kept = json.loads(json.dumps(save(state)))
        recent = tuple(state.recent)
        adaptive, cycles = state.adaptive(), state.tuning.cycles
        state = restore(kept, params)
        step(state, HistoryLoaded(closes=recent), params)
        was_due, state.tuning.due = state.tuning.due, False
        step(state, swapped(), params)
        state.tuning.due = was_due
        assert state.adaptive() == adaptive, "to the value"
        assert state.tuning.cycles == cycles
        begun = stop + 19
    again.run(state, begun, n)
    assert state.adaptive() == straight.adaptive()
    assert state.tuning.optimizations == straight.tuning.optimizations


def test_the_market_does_drift() -> None:
    """The test above means something: here parameters are changed, and changed back."""
    watcher = Watcher(market([3, 3, 0, 0]))
    state = fresh(chosen())
    thresholds = []
    for season in range(4):
        watcher.run(state, season * SEASON, (season + 1) * SEASON)
        thresholds.append(state.adaptive()["momentum_threshold"])
    assert watcher.changes >= 2
    assert thresholds[1] < 0.008, "weak signals won: it trades more"
    assert thresholds[3] > thresholds[1], "they lost: it trades less again"
