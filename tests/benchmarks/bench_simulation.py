"""The simulation beside backtesting.py, vectorbt and nautilus_trader (DESIGN §8).

Ours is 50 symbols with one account: signals, regime and session filters, expected value, Kelly
sizes, covariance, the pre-trade gate, stops and takes inside bars, fees, slippage, funding, guards.
Features and the model's answers are given. The peers trade one symbol by an EMA cross (240/960),
backtesting.py and vectorbt with a stop and a take, and are given their averages; nautilus_trader
computes its own and does far more an order. Bars a second compare orders of magnitude, no more.
As a program it measures ours: ``python -m tests.benchmarks.bench_simulation CASE REPS``.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from executor.core.events import ModelSwapped
from executor.core.foresight import Foreseen
from executor.core.model import (
    BarrierSpec,
    ModelInfo,
    Prediction,
    Request,
    SymbolCoverage,
)
from executor.core.params import LearnedRegime, Params, Tuning
from executor.core.recording import Recording, Tape
from executor.core.replay import played, replay
from executor.core.state import new_state
from executor.core.step import step
from executor.core.types import Instrument
from features.batch import feature_matrix
from features.catalog import Catalog, default_catalog
from features.signals import ADAPTIVE_BOUNDS, SignalParams
from features.signals_batch import Signals, signals_of
from features.synthetic import simulate_market
from features.types import FloatArray
from flows.research.portfolio import stage
from tests.benchmarks.data import write_bars
from tests.benchmarks.measure import cpu_seconds, report, versions
from tests.benchmarks.suite import Contender, Report, script

SYMBOLS, BARS, PEER_BARS = 50, 4_000, 100_000
INTERVAL_MS, START_MS = 900_000, 1_704_067_200_000
COLUMNS = (
    "volatility_96",
    "ema_z_12",
    "ema_z_48",
    "volume_z_96",
    "return_1",
    "adx_14",
    "atr_14",
    "trend_z_96",
)


class Guess:
    """Answers by a rule of the question alone, four in ten bets worth taking."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info

    def predict_many(self, requests: Sequence[Request]) -> list[Prediction]:
        return [self._one(one) for one in requests]

    def _one(self, one: Request) -> Prediction:
        spread = (one.close_ms // INTERVAL_MS * 7919 + ord(one.symbol[1])) % 101 / 101
        p = 0.35 + 0.1 * spread
        return Prediction(
            probability=p,
            expected_net=p * 0.018 - (1.0 - p) * 0.011,
            standard_error=0.0005,
            win_mean=0.018,
            loss_mean=0.011,
            second_moment=2e-4,
        )


def market(catalog: Catalog) -> list[Tape]:
    """Return 50 correlated symbols with their features."""
    simulated = simulate_market(
        np.random.default_rng(3),
        symbols=SYMBOLS,
        bars=BARS,
        interval_ms=INTERVAL_MS,
        start_ms=START_MS,
    )
    tapes = []
    for number, one in enumerate(simulated):
        rows = feature_matrix(one.candles, catalog, None)
        warm = np.where(np.isfinite(rows).all(axis=1), rows[:, 0], np.nan)
        tapes.append(
            Tape(
                symbol=f"S{number:02d}USDT",
                candles=one.candles,
                features=rows,
                volatility=warm,
                funding=one.funding,
            )
        )
    return tapes


def model(catalog: Catalog, symbols: Sequence[str]) -> Guess:
    """Return the model's facts with answers by rule."""
    return Guess(
        ModelInfo(
            bundle_sha256="ab" * 32,
            feature_schema=catalog.schema_hash,
            feature_names=catalog.names,
            symbols={s: SymbolCoverage(history_days=400.0, coverage=1.0) for s in symbols},
            signal=SignalParams(),
            barriers=BarrierSpec(profit=0.02, loss=0.01, horizon_bars=96),
            interval_ms=INTERVAL_MS,
            trained_until_ms=START_MS,
            kelly_q90=20.0,
            adaptive_bounds=ADAPTIVE_BOUNDS,
        )
    )


def measure(reps: int) -> None:
    """Time the live core over the recording, and the compiled loop over the same bars."""
    catalog = default_catalog().subset(COLUMNS)
    tapes = market(catalog)
    symbols = [tape.symbol for tape in tapes]
    params = Params(
        interval_ms=INTERVAL_MS,
        instruments={
            s: Instrument(
                symbol=s, tick=0.01, lot=0.001, quantity_min=0.001, notional_min=5, leverage_max=50
            )
            for s in symbols
        },
        tuning=Tuning(enabled=False),
        learned_regime=LearnedRegime(enabled=False),
    )
    recording = Recording(tapes, START_MS, 1 << 60, signals=partial(_signals, catalog))
    guess = model(catalog, symbols)
    ahead = Foreseen(guess, _expected(recording, guess.info))

    def live(terms: Params) -> list[float]:
        state = new_state(10_000.0, terms)
        state.is_recording = False
        step(state, ModelSwapped(model=ahead, version="1", time_ms=START_MS), terms)
        return replay(map(played, recording), state, terms, step).equity

    ready = stage(ahead, recording, params)
    if live(params) != ready.run().equity.tolist():
        raise SystemExit("compiled and interpreted accounts differ")
    units = recording.bars.size
    cases = (
        ("interpreted", partial(live, params), min(reps, 3)),
        ("compiled", ready.run, reps),
        ("self-tuning", partial(live, replace(params, tuning=Tuning())), 1),
    )
    for case, work, count in cases:
        found = versions("numpy", "numba", "tribar")
        report(case, cpu_seconds(work, count), units=units, reps=count, versions=found)


def _signals(catalog: Catalog, rows: FloatArray, params: SignalParams) -> Signals:
    return signals_of(rows, catalog.names, params)


def _expected(recording: Recording, info: ModelInfo) -> list[Request]:
    index = {name: i for i, name in enumerate(info.feature_names)}
    return [
        Request(symbol=bar.symbol, close_ms=close.close_ms, features=row, signal=signal)
        for close in recording
        for bar, row, signal in close.signalled(index, info.signal)
    ]


def run(folder: Path, rounds: int, reps: int) -> Report:
    """Measure ours and the peers in turn."""
    path = str(write_bars(folder, PEER_BARS))
    peer = script("peer_simulation.py")
    found = Report(f"simulation: ours {SYMBOLS} symbols × {BARS:,} bars, peers one × {PEER_BARS:,}")
    found.measure(
        [
            Contender("ours", ("-m", "tests.benchmarks.bench_simulation", str(reps))),
            Contender("peers", (peer, "vectorbt", path, str(reps))),
            Contender("simulators", (peer, "backtesting", path, "1")),
            Contender("simulators", (peer, "nautilus", path, "1")),
        ],
        rounds,
    )
    goal = "≥ 300,000/s"
    found.time("ours, the live core", "interpreted", "symbol-bar", goal, 1.0 / 300_000)
    found.time("ours, the live core with self-tuning", "self-tuning", "symbol-bar")
    goal = "≥ 10 M/s"
    found.time("ours, compiled portfolio loop", "compiled", "symbol-bar", goal, 1e-7)
    found.time("vectorbt, from_signals", "vectorbt", "bar")
    found.time("backtesting.py", "backtesting", "bar")
    found.time("nautilus_trader, EMACross", "nautilus", "bar")
    found.ratio("nautilus_trader / live core", "nautilus", "interpreted", least=6.0)
    found.ratio("backtesting.py / live core", "backtesting", "interpreted", least=1.5)
    found.ratio("nautilus_trader / compiled", "nautilus", "compiled", least=200.0)
    found.ratio("backtesting.py / compiled", "backtesting", "compiled", least=50.0)
    found.ratio("vectorbt / compiled", "vectorbt", "compiled", least=15.0)
    return found


if __name__ == "__main__":
    measure(int(sys.argv[1]))
