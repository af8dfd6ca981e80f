"""The compiled portfolio loop trades as the live core does, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.core.bundle import unpack
from executor.core.events import ModelSwapped
from executor.core.fills import to_money
from executor.core.model import Model, ModelInfo, Prediction, Request
from executor.core.params import (
    Guard,
    LearnedRegime,
    Limits,
    Params,
    Regime,
    Selector,
    Session,
    Sizing,
    Tuning,
)
from executor.core.recording import Recording, Tape
from executor.core.replay import Replayed, played, replay
from executor.core.state import new_state
from executor.core.step import step
from features.costs import Costs
from features.errors import InputError
from features.exit_plan import ExitPlan
from flows.research.portfolio import Outcome, stage
from tests.core.test_recording import batch, with_gaps
from tests.support.bundles import INTERVAL_MS, START_MS, instrument, small_bundle, small_market

SYMBOLS = tuple(f"{letter * 3}USDT" for letter in "ABCDEF")
STOP_MS = START_MS + 10_000 * INTERVAL_MS


class Guess:
    """Answers by a rule that depends on nothing but the question: some bets good, some bad."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info

    def predict_many(self, requests: tuple[Request, ...] | list[Request]) -> list[Prediction]:
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Prediction:
        spread = (request.close_ms // INTERVAL_MS * 7919 + ord(request.symbol[0]) * 31) % 101 / 101
        p = 0.36 + 0.2 * spread
        return Prediction(
            probability=p,
            expected_net=p * 0.018 - (1.0 - p) * 0.011,
            standard_error=0.0005,
            win_mean=0.018,
            loss_mean=0.011,
            second_moment=2e-4,
        )


def guess(**changes: object) -> Model:
    info = unpack(small_bundle()).info
    covered = next(iter(info.symbols.values()))
    symbols = dict.fromkeys(SYMBOLS, covered)
    return Guess(replace(info, symbols=symbols, **changes))  # type: ignore[arg-type]  # any field


def live(recording: Recording, model: Model, params: Params) -> Replayed:
    state = new_state(10_000.0, params)
    state.is_recording = False
    step(state, ModelSwapped(model=model, version="1", time_ms=0), params)
    return replay(map(played, recording), state, params, step)


def agree(done: Replayed, found: Outcome, symbols: tuple[str, ...]) -> None:
    assert np.array_equal(np.array(done.equity), found.equity)
    assert [
        (t.symbol, t.side, t.quantity, t.pnl, t.fees, t.funding, t.opened_ms, t.closed_ms)
        for t in done.trades
    ] == [
        (symbols[int(r[0])], r[1], r[2], r[5], r[6], r[7], r[8], r[9])
        for r in found.trades.tolist()
    ]
    refused: dict[str, int] = {}
    for one in done.refusals:
        refused[str(one.reason)] = refused.get(str(one.reason), 0) + 1
    assert refused == found.refused


def book(bars: int) -> tuple[list[Tape], Params]:
    market = small_market(bars, 11, SYMBOLS)
    params = Params(
        interval_ms=INTERVAL_MS,
        instruments={symbol: instrument(symbol) for symbol in SYMBOLS},
        tuning=Tuning(enabled=False),
        learned_regime=LearnedRegime(enabled=False),
    )
    return list(market.tapes), params


CHANGES = st.fixed_dictionaries(
    {
        "costs": st.builds(
            Costs,
            taker_fee=st.sampled_from([0.0, 0.0005, 0.002]),
            slippage_volatility=st.sampled_from([0.0, 0.3]),
            take_profit_is_market=st.booleans(),
        ),
        "limits": st.builds(
            Limits,
            position_fraction_max=st.sampled_from([0.02, 0.1, 0.5]),
            gross_fraction_max=st.sampled_from([0.1, 1.0]),
            net_fraction_max=st.sampled_from([0.05, 0.6]),
            orders_day_max=st.sampled_from([3, 1000]),
            repeated_entries_max=st.sampled_from([3, 48]),
        ),
        "sizing": st.builds(
            Sizing,
            risk_per_trade=st.sampled_from([0.001, 0.02]),
            volatility_target=st.sampled_from([0.02, 0.25]),
            beta_fraction_max=st.sampled_from([0.05, 0.6]),
            raise_after_wins=st.booleans(),
        ),
        "selector": st.builds(
            Selector,
            positions_max=st.integers(1, 6),
            correlation_max=st.sampled_from([0.3, 0.85]),
            correlated_positions_max=st.integers(1, 3),
            correlation_bars=st.sampled_from([20, 96]),
        ),
        "regime": st.builds(Regime, block_counter_trend=st.booleans()),
        "session": st.builds(Session, volume_min=st.sampled_from([0.0, 0.8])),
        "guard": st.builds(
            Guard,
            daily_loss_max=st.sampled_from([0.002, 0.05]),
            drawdown_halt=st.sampled_from([0.01, 0.25]),
            losses_cool_down=st.sampled_from([0, 2, 4]),
            performance_trades=st.sampled_from([0, 5, 30]),
        ),
    }
)


@pytest.mark.slow
@given(changes=CHANGES, has_gaps=st.booleans())
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
def test_the_loop_trades_as_the_live_core_whatever_the_limits(changes, has_gaps) -> None:
    tapes, params = book(420)
    params = replace(params, **changes)
    recording = Recording(
        with_gaps(tuple(tapes)) if has_gaps else tapes, START_MS, STOP_MS, signals=None
    )
    model = guess(costs=params.costs)
    found = stage(model, recording, params).run(interpreted=True)
    agree(live(recording, model, params), found, recording.symbols)


def test_the_loop_trades_as_the_live_core() -> None:
    tapes, params = book(700)
    recording = Recording(tapes, START_MS, STOP_MS)
    model = guess()
    found = stage(model, recording, params).run(interpreted=True)
    agree(live(recording, model, params), found, recording.symbols)
    assert len(found.trades) > 30
    assert len(found.refused) >= 4


@pytest.mark.slow
@pytest.mark.timeout(180)  # five workers, and nothing is compiled yet in a fresh clone
def test_compiled_and_interpreted_are_one_source() -> None:
    tapes, params = book(700)
    signals = batch
    recording = Recording(with_gaps(tuple(tapes)), START_MS, STOP_MS, signals=signals)
    ready = stage(guess(), recording, params)
    one, other = ready.run(), ready.run(interpreted=True)
    assert np.array_equal(one.equity, other.equity)
    assert np.array_equal(one.trades, other.trades)
    assert np.array_equal(one.reasons, other.reasons)
    agree(live(recording, guess(), params), one, recording.symbols)


def test_what_the_loop_cannot_do_is_refused() -> None:
    tapes, params = book(420)
    recording = Recording(tapes, START_MS, STOP_MS)
    with pytest.raises(InputError, match="does not tune itself"):
        stage(guess(), recording, replace(params, tuning=Tuning()))
    with pytest.raises(InputError, match="barriers alone"):
        stage(guess(exit_plan=ExitPlan(trail=1.0)), recording, params)


@given(
    st.one_of(
        st.floats(-1e7, 1e7),
        st.integers(-(10**12), 10**12).map(lambda n: n / 2.0 / 1e8),
        st.tuples(st.integers(1, 10**5), st.integers(1, 10**7)).map(
            lambda two: two[0] / 1000.0 * (two[1] / 100.0) * 0.0005
        ),
    )
)
def test_money_rounds_as_python_does(value: float) -> None:
    assert to_money(value) == round(value, 8)
