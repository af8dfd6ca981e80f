"""The live decision core over history: what the account would have done.

Decides which recorded bars are driven through ``executor.core.step`` and how the outcome reads in
figures. Never decides a trade. Rule: the same ``step``, parameters, fills and costs as the executor
and the paper exchange, self-tuning included; features are those of the dataset, bit for bit the
stream's. What cannot be simulated here (latency, our own market impact) is said in the report.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import floor, log10
from typing import Any

import numpy as np

from executor.core.events import ModelSwapped
from executor.core.foresight import Foreseen
from executor.core.model import Model, Request
from executor.core.params import Params
from executor.core.recording import Tape
from executor.core.replay import Replayed, closes, replay
from executor.core.state import new_state
from executor.core.step import step
from executor.core.types import Instrument, Trade
from features.catalog import Catalog
from features.costs import FlatFunding
from features.errors import InputError
from features.signals import Signal, SignalParams
from features.signals_batch import Signals, signals_batch, signals_of
from features.types import FloatArray, Funding, IntArray
from flows.research.account import attribution, book_metrics, holdings
from flows.research.book import DAY_MS
from flows.research.evidence import finite
from flows.research.market import Market, price_tick
from flows.research.performance import return_metrics, trade_metrics
from flows.research.recipe import HOUR_MS

EQUITY = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """An account's history: ``equity`` at each close of ``close_ms``, shape (bars,)."""

    close_ms: IntArray
    equity: FloatArray
    daily: FloatArray
    first_day: int
    trades: Sequence[Trade]
    refused: Mapping[str, int]
    decisions: int
    metrics: Mapping[str, float]
    attribution: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; what is not a number becomes None."""
        return {
            "first_day": self.first_day,
            "daily": self.daily.tolist(),
            "trades": [asdict(trade) for trade in self.trades],
            "refused": dict(self.refused),
            "decisions": self.decisions,
            "metrics": finite(self.metrics),
            "attribution": finite(self.attribution),
        }


def foresee(
    model: Model, markets: Sequence[Market], catalog: Catalog, start_ms: int, stop_ms: int
) -> Foreseen:
    """Return the model with its answers to every primary signal in the range computed ahead."""
    expected: list[Request] = []
    for market in markets:
        close_ms = market.candles.close_ms
        signals = signals_batch(market.matrix, catalog, model.info.signal)
        inside = (close_ms >= start_ms) & (close_ms < stop_ms)
        warm = np.arange(market.candles.n) >= market.first
        expected.extend(
            Request(
                symbol=market.symbol,
                close_ms=int(close_ms[bar]),
                features=market.matrix[bar],
                signal=Signal(
                    side=int(signals.side[bar]),
                    score=float(signals.score[bar]),
                    confidence=float(signals.confidence[bar]),
                    rule=int(signals.rule[bar]),
                ),
            )
            for bar in np.flatnonzero((signals.side != 0) & inside & warm)
        )
    return Foreseen(model, expected)


def simulate(
    model: Model,
    markets: Sequence[Market],
    params: Params,
    *,
    start_ms: int,
    stop_ms: int,
    equity: float = EQUITY,
    entry_delay_bars: int = 0,
) -> Simulation:
    """Return what :func:`run` did, in figures; raises as it does."""
    done = run(
        model,
        markets,
        params,
        start_ms=start_ms,
        stop_ms=stop_ms,
        equity=equity,
        entry_delay_bars=entry_delay_bars,
        is_recording=False,
    )
    return _read(done, markets, equity)


def run(
    model: Model,
    markets: Sequence[Market],
    params: Params,
    *,
    start_ms: int,
    stop_ms: int,
    equity: float = EQUITY,
    entry_delay_bars: int = 0,
    is_recording: bool = True,
) -> Replayed:
    """Trade ``markets`` with ``model`` from ``start_ms`` to ``stop_ms`` as the executor would.

    The markets' features are those of the model, in its order. ``is_recording`` False leaves
    decision records out.

    Raises
    ------
    InputError
        Where there is no close in the range.
    """
    state = new_state(equity, params)
    state.is_recording = is_recording
    swapped = ModelSwapped(model=model, version="simulated", time_ms=start_ms)
    step(state, swapped, params)
    recorded = closes(
        [tape(market) for market in markets],
        start_ms,
        stop_ms,
        signals=partial(signals_ahead, model.info.feature_names),
    )
    done = replay(recorded, state, params, step, entry_delay_bars=entry_delay_bars)
    if not done.close_ms:
        raise InputError("no bar closes in the range to simulate; choose a longer one")
    return done


def signals_ahead(names: Sequence[str], rows: FloatArray, params: SignalParams) -> Signals:
    """Return the primary signals of feature rows, compiled: the bits of ``primary_signal``."""
    return signals_of(rows, names, params)


def tape(market: Market) -> Tape:
    """Return what the core sees of a market; bars before the warm-up have no features."""
    warm = np.where(np.arange(market.candles.n) >= market.first, market.volatility, np.nan)
    return Tape(
        symbol=market.symbol,
        candles=market.candles,
        features=market.matrix,
        volatility=warm,
        funding=_settlements(market),
    )


def instruments(markets: Sequence[Market]) -> dict[str, Instrument]:
    """Return contract facts read off the prices, for where no venue says them.

    The tick is the finest step that the prices show; a lot is worth about 0.1 of the quote.
    """
    found = {}
    for market in markets:
        price = float(market.candles.close[-1])
        lot = 10.0 ** -max(0, floor(log10(price)) + 1)
        found[market.symbol] = Instrument(
            symbol=market.symbol,
            tick=price_tick(market.candles.close),
            lot=lot,
            quantity_min=lot,
            notional_min=5.0,
            leverage_max=50.0,
        )
    return found


def daily_returns_of(
    close_ms: IntArray, equity: FloatArray, start: float
) -> tuple[int, FloatArray]:
    """Return the first UTC day, since 1970, and the returns of that and all following days."""
    day = (close_ms - 1) // DAY_MS
    first, last = int(day[0]), int(day[-1])
    at = np.searchsorted(day, np.arange(first, last + 1), side="right") - 1
    ends = equity[at]
    return first, ends / np.concatenate(([start], ends[:-1])) - 1.0


def _read(done: Replayed, markets: Sequence[Market], start: float) -> Simulation:
    held = holdings(done, markets)
    close_ms = np.array(done.close_ms, dtype=np.int64)
    equity = np.array(done.equity)
    first, daily = daily_returns_of(close_ms, equity, start)
    net = np.array([trade.net_return for trade in done.trades])
    notional = np.array([t.entry_price * t.quantity for t in done.trades])
    gross = np.array([t.gross for t in done.trades]) / np.maximum(notional, 1e-12)
    hours = np.array([(t.closed_ms - t.opened_ms) / HOUR_MS for t in done.trades])
    figures = {
        **return_metrics(daily),
        **trade_metrics(net, gross, hours),
        **book_metrics(done, held, start),
        "equity_end": float(equity[-1]),
    }
    return Simulation(
        close_ms=close_ms,
        equity=equity,
        daily=daily,
        first_day=first,
        trades=tuple(done.trades),
        refused=dict(Counter(refusal.reason for refusal in done.refusals)),
        decisions=len(done.refusals) + sum(not intent.reduce_only for intent in done.intents),
        metrics=figures,
        attribution=attribution(done, held, start),
    )


def _settlements(market: Market) -> Funding:
    """Return the market's settlements; a constant rate becomes a history of it."""
    funding = market.funding
    if isinstance(funding, Funding):
        return funding
    return _flat(funding, market)


def _flat(flat: FlatFunding, market: Market) -> Funding:
    first = int(market.candles.open_ms[0]) // flat.interval_ms * flat.interval_ms
    stop = int(market.candles.close_ms[-1]) + 1
    times = np.arange(first, stop, flat.interval_ms, dtype=np.int64)
    return Funding(time_ms=times, rate=np.full(times.size, flat.rate))
