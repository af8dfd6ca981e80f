"""Recorded closes looked up as needed say, to the last bit, what closes made of plain bars say."""

from dataclasses import replace

import numpy as np
import pytest

from executor.core.bundle import unpack
from executor.core.events import BarClosed, ModelSwapped
from executor.core.params import Params, Tuning
from executor.core.recording import CHUNK, Recording, Tape
from executor.core.replay import Close, Replayed, closes, replay
from executor.core.state import new_state
from executor.core.step import step
from features.signals import SignalParams
from features.signals_batch import Signals, signals_batch
from features.types import Candles, FloatArray, Funding
from tests.support.bundles import INTERVAL_MS, START_MS, small_bundle, small_market

END_MS = START_MS + 10_000 * INTERVAL_MS
QUIET = Tuning(enabled=False)
EAGER = Tuning(trades_min=5, trades_new=5, win_rate_high=0.4, win_rate_low=0.35)


def plain(close: Close) -> Close:
    """Return the same close made of bars alone, as the live executor gets it."""
    bars = close.event.bars
    event = BarClosed(close_ms=close.event.close_ms, bars=bars, facts=close.event.facts)
    return Close(
        event=event,
        bars={bar.symbol: bar for bar in bars},
        volatility={bar.symbol: close.volatility[bar.symbol] for bar in bars},
        settled=close.settled,
    )


def with_gaps(tapes: tuple[Tape, ...]) -> list[Tape]:
    """Return the tapes with bars missing here and there, one that starts late, rows not warm."""
    rng = np.random.default_rng(5)
    found = []
    for number, tape in enumerate(tapes):
        n = tape.candles.n
        keep = rng.random(n) > 0.02
        keep[: 40 * number] = False
        keep[300:309] = number != 1
        columns = {
            name: getattr(tape.candles, name)[keep]
            for name in ("open_ms", "open", "high", "low", "close", "volume")
        }
        volatility = tape.volatility[keep].copy()
        volatility[rng.random(volatility.size) < 0.01] = np.nan
        found.append(
            replace(
                tape,
                candles=Candles(interval_ms=INTERVAL_MS, **columns),
                features=tape.features[keep],
                volatility=volatility,
            )
        )
    return found


def run(recorded: list[Close], params: Params, *, is_recording: bool = True) -> Replayed:
    state = new_state(10_000.0, params)
    state.is_recording = is_recording
    step(state, ModelSwapped(model=unpack(small_bundle()), version="1", time_ms=0), params)
    return replay(recorded, state, params, step)


def batch(rows: FloatArray, params: SignalParams) -> Signals:
    return signals_batch(rows, small_market().catalog, params)


def compare(bars: int, tuning: Tuning) -> Replayed:
    market = small_market(bars)
    tapes = with_gaps(market.tapes)
    params = Params(interval_ms=INTERVAL_MS, instruments=market.instruments, tuning=tuning)
    looked_up = list(closes(tapes, START_MS, END_MS))
    one = run([plain(close) for close in looked_up], params)
    assert repr(one) == repr(run(looked_up, params))
    at_once = list(closes(tapes, START_MS, END_MS, signals=batch))
    assert repr(one) == repr(run(at_once, params))
    figures = run(at_once, params, is_recording=False)
    assert not any(decision.verdict == "enter" for decision in figures.decisions)
    assert (figures.trades, figures.equity) == (one.trades, one.equity)
    assert figures.refusals == one.refusals
    return one


def test_recorded_closes_decide_as_plain_ones() -> None:
    assert len(compare(700, QUIET).trades) > 20


@pytest.mark.slow
def test_self_tuning_on_a_recording_decides_as_on_bars() -> None:
    done = compare(900, EAGER)
    assert {"params_adopted", "params_refused"} & {notice.code for notice in done.notices}


def test_the_grid_reaches_over_chunks_and_gives_each_bar_its_own() -> None:
    market = small_market()
    tape = market.tapes[0]
    assert tape.candles.n > CHUNK + 100
    for close in closes([tape], START_MS, END_MS):
        (bar,) = close.event.bars
        i = int(np.searchsorted(tape.candles.open_ms, bar.candle.open_ms))
        assert bar.candle == tape.candles.candle(i)
        assert bar.next_open == tape.candles.open[i + 1]
        assert close.event.close_ms == tape.candles.close_ms[i]


def test_settlements_fall_to_the_bar_that_holds_them_on_the_whole_minute() -> None:
    market = small_market()
    tape = market.tapes[0]
    stamps = START_MS + INTERVAL_MS * np.array([3, 4]) + 12
    funding = Funding(time_ms=stamps, rate=np.array([0.01, 0.02]))
    found = [
        (place, close.settled)
        for place, close in enumerate(
            closes([replace(tape, funding=funding)], START_MS, START_MS + 9 * INTERVAL_MS)
        )
        if close.settled
    ]
    assert found == [
        (3, [(tape.symbol, START_MS + 3 * INTERVAL_MS, 0.01)]),
        (4, [(tape.symbol, START_MS + 4 * INTERVAL_MS, 0.02)]),
    ]


def test_a_recording_may_be_walked_twice() -> None:
    recording = Recording(small_market().tapes, START_MS, START_MS + 50 * INTERVAL_MS)
    times = [close.close_ms for close in recording]
    assert times == [close.close_ms for close in recording]
    assert len(times) == 49
