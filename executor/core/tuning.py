"""Self-tuning: six bounded parameters, moved only on evidence.

Decides whether the recent win rate argues for more or fewer trades, how far to go, and whether the
proposal would have paid on the recent bars. Never leaves the bounds, never touches anything but the
adaptive parameters, never runs inside the order path (the event after a close does it). Rule:
adopted only when a paired block bootstrap over a replay of recent bars puts the lower bound of the
gain above 0; the draws are seeded by the close, so a replay decides the same.

Source: Politis & Romano (1992), the circular block bootstrap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from executor.core.contract import NoticeCode
from executor.core.foresight import Foreseen
from executor.core.model import Model, Request, tuned
from executor.core.params import Params, Tuning
from executor.core.react import react
from executor.core.recording import LastVolatility, RecordedClose
from executor.core.replay import Close, replay
from executor.core.state import TradingState, new_state
from executor.core.types import Notice, Trade
from features.signals import ADAPTIVE_BOUNDS, SignalParams
from features.types import FloatArray

# Which way a parameter moves to trade more. The weights of the score shape its direction, not how
# often it fires, so a win rate says nothing of them: they move only by hand or by a new model.
_MORE: Final = {
    "momentum_threshold": -1.0,
    "confidence_multiplier": 1.0,
    "min_confidence_threshold": -1.0,
}
BARS_MIN: Final = 96

Bounds = Mapping[str, tuple[float, float, float]]


def appetite(trades: Sequence[Trade], tuning: Tuning) -> int:
    """Return 1 where the newest trades argue for more, -1 for fewer, 0 for neither."""
    if len(trades) < tuning.trades_min:
        return 0
    newest = trades[-tuning.trades_window :]
    won = sum(1 for trade in newest if trade.pnl > 0.0) / len(newest)
    if won > tuning.win_rate_high:
        return 1
    return -1 if won < tuning.win_rate_low else 0


def propose(
    current: Mapping[str, float], bounds: Bounds, direction: int, n: int, tuning: Tuning
) -> dict[str, float]:
    """Return θ = θ0 + n/(n+100)·(θ_prop - θ0), inside the bounds.

    θ0 is the model's own value, θ_prop the current one moved by a fraction of the bounds' width.
    """
    weight = n / (n + tuning.shrink_count)
    proposal: dict[str, float] = {}
    for name, sign in _MORE.items():
        default, low, high = bounds[name]
        moved = current[name] + direction * sign * tuning.step_fraction * (high - low)
        proposal[name] = min(high, max(low, default + weight * (moved - default)))
    return proposal


def gain_bound(gains: FloatArray, block: int, tuning: Tuning, seed: int) -> float:
    """Return the lower bound of the mean gain per bar, by a circular block bootstrap.

    Parameters
    ----------
    gains
        Paired differences of returns, shape (n,).
    block
        Bars in a block: a trade's length, so that its bars stay together.
    seed
        Whatever names the moment of the decision; the same seed gives the same bound.
    """
    n = gains.size
    block = max(1, min(block, n // 4))
    draws = np.random.Generator(np.random.PCG64(seed))
    blocks = -(-n // block)
    starts = draws.integers(0, n, size=(tuning.bootstrap_draws, blocks))
    index = (starts[:, :, None] + np.arange(block)).reshape(tuning.bootstrap_draws, -1) % n
    means = gains[index[:, :n]].mean(axis=1)
    return float(np.quantile(means, 1.0 - tuning.confidence))


def wanted(state: TradingState, params: Params) -> int:
    """Return the direction in which a proposal would be tried now, 0 where none would be."""
    if state.model is None or state.signal_params is None or len(state.recent) < BARS_MIN:
        return 0
    seen = state.tuning.trades_seen
    if seen and state.trade_count - seen < params.tuning.trades_new:
        return 0
    return appetite(state.trades, params.tuning)


def tune(state: TradingState, params: Params) -> list[Notice]:
    """Do the tuning that is due; changes only the adaptive parameters."""
    state.tuning.due = False
    model, signal, direction = state.model, state.signal_params, wanted(state, params)
    if model is None or signal is None or direction == 0:
        return []
    state.tuning.trades_seen = state.trade_count
    bounds = {**ADAPTIVE_BOUNDS, **model.info.adaptive_bounds}
    bounds = {name: (getattr(model.info.signal, name), *bounds[name][1:]) for name in bounds}
    newest = min(len(state.trades), params.tuning.trades_window)
    proposal = propose(state.adaptive(), bounds, direction, newest, params.tuning)
    candidate = tuned(signal, proposal)
    if candidate == signal:
        return []
    state.tuning.optimizations += 1
    gains = _returns(state, candidate, params) - _returns(state, signal, params)
    block = model.info.barriers.horizon_bars
    bound = gain_bound(gains, block, params.tuning, state.close_ms)
    said = ", ".join(f"{name}={value:.6g}" for name, value in sorted(proposal.items()))
    number = f"optimization {state.tuning.optimizations}, cycle {state.tuning.cycles}"
    if not bound > 0.0:
        text = f"{number}: proposal kept out (lower bound of its gain {bound:.3g} per bar): {said}"
        return [_notice(NoticeCode.PARAMS_REFUSED, text, state.close_ms)]
    state.tuning.adaptive = {**state.adaptive(), **proposal}
    state.signal_params = candidate
    text = f"{number}: adopted (lower bound of its gain {bound:.3g} per bar): {said}"
    return [_notice(NoticeCode.PARAMS_ADOPTED, text, state.close_ms)]


def judged(
    state: TradingState, params: Params, values: Mapping[str, float]
) -> tuple[float, float] | None:
    """Return the mean gain per bar of other parameters over those in use, and its lower bound.

    None where there is no model, or fewer than 96 recent bars to replay. Changes nothing.
    """
    model, signal = state.model, state.signal_params
    if model is None or signal is None or len(state.recent) < BARS_MIN:
        return None
    gains = _returns(state, tuned(signal, values), params) - _returns(state, signal, params)
    block = model.info.barriers.horizon_bars
    return float(gains.mean()), gain_bound(gains, block, params.tuning, state.close_ms)


def _returns(state: TradingState, signal: SignalParams, params: Params) -> FloatArray:
    """Return the returns per bar of a fresh account over the recent bars under ``signal``."""
    quiet = replace(
        params,
        tuning=replace(params.tuning, enabled=False),
        learned_regime=replace(params.learned_regime, enabled=False),
    )
    start = state.ledger.start if state.ledger.start > 0.0 else 1.0
    fresh = new_state(start, quiet)
    fresh.is_recording = False
    fresh.model, fresh.columns = _foreseen(state, signal), state.columns
    fresh.model_version, fresh.signal_params = state.model_version, signal
    done = replay(_recent(state), fresh, quiet, react)
    equity = np.asarray([start, *done.equity])
    return np.asarray(equity[1:] / equity[:-1] - 1.0, dtype=np.float64)


def _foreseen(state: TradingState, signal: SignalParams) -> Model | None:
    """Return the model with its answers to every signal that ``signal`` gives on the recent bars.

    Answers are asked for only where the chain could ask: trained symbols, rows without a NaN.
    """
    model, columns = state.model, state.columns
    if model is None or columns is None:
        return None
    expected = [
        Request(symbol=bar.symbol, close_ms=event.close_ms, features=row, signal=found)
        for event in state.recent
        for bar, row, found in event.signalled(columns.index, signal)
        if len(row) == columns.width and bar.symbol in model.info.symbols and np.isfinite(row).all()
    ]
    return Foreseen(model, expected)


def _recent(state: TradingState) -> list[Close]:
    """Return the recent closes as a replay wants them."""
    volatility = state.columns.volatility if state.columns is not None else 0
    recorded: list[Close] = []
    for event in state.recent:
        if isinstance(event, RecordedClose):
            recorded.append(_remembered(event))
            continue
        known = {
            bar.symbol: float(bar.features[volatility])
            for bar in event.bars
            if bar.features is not None and len(bar.features) > volatility
        }
        bars = event.by_symbol()
        recorded.append(Close(event=event, bars=bars, volatility=known, settled=()))
    return recorded


def _remembered(event: RecordedClose) -> Close:
    """Return a close of a simulation as a memory of its bars alone would have it."""
    return Close(
        event=event,
        bars=event.by_symbol(),
        volatility=LastVolatility(event.recording, event.place, warm=True),
        settled=(),
        is_complete=True,
    )


def _notice(code: NoticeCode, text: str, time_ms: int) -> Notice:
    return Notice(code=code, symbol="", text=text, time_ms=time_ms)
