"""The live decision core over history: what the account would have done.

Decides which recorded bars are driven through ``executor.core.step`` and how the outcome reads in
figures. Never decides a trade. Rule: the same ``step``, parameters, fills and costs as the executor
and the paper exchange, self-tuning included; features are those of the dataset, bit for bit the
stream's. What cannot be simulated here (latency, our own market impact) is said in the report.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import floor, log10
from typing import Any

import numpy as np

from executor.core.events import ModelSwapped
from executor.core.model import Model, ModelInfo, Prediction, Request
from executor.core.params import Params
from executor.core.recording import Tape
from executor.core.replay import Replayed, closes, replay
from executor.core.state import new_state
from executor.core.step import step
from executor.core.types import Instrument, Trade
from features.catalog import Catalog
from features.costs import FlatFunding
from features.errors import InputError
from features.signals import Signal
from features.signals_batch import signals_batch
from features.types import FloatArray, Funding, IntArray
from flows.research.book import DAY_MS
from flows.research.evidence import finite
from flows.research.market import Market
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

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; what is not a number becomes None."""
        return {
            "first_day": self.first_day,
            "daily": self.daily.tolist(),
            "trades": [asdict(trade) for trade in self.trades],
            "refused": dict(self.refused),
            "decisions": self.decisions,
            "metrics": finite(self.metrics),
        }


class Foreseen:
    """A model whose answers to the expected questions were computed at once.

    The trees answer ten thousand rows in the time of a hundred single ones. A question that was not
    expected (self-tuning moved the signal) goes to the model itself: the answers are the same bits.
    """

    def __init__(self, model: Model, expected: Sequence[Request]) -> None:
        self._model = model
        answers = model.predict_many(expected) if expected else []
        self._known = {
            (q.symbol, q.close_ms, q.signal): a for q, a in zip(expected, answers, strict=True)
        }

    @property
    def info(self) -> ModelInfo:
        """Return the facts of the model."""
        return self._model.info

    def predict_many(self, requests: Sequence[Request]) -> list[Prediction]:
        """Answer as the model itself would."""
        found = [self._known.get((q.symbol, q.close_ms, q.signal)) for q in requests]
        missing = [place for place, answer in enumerate(found) if answer is None]
        if missing:
            asked = self._model.predict_many([requests[place] for place in missing])
            for place, answer in zip(missing, asked, strict=True):
                found[place] = answer
        return [answer for answer in found if answer is not None]


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
) -> Simulation:
    """Return what :func:`run` did, in figures; raises as it does."""
    done = run(model, markets, params, start_ms=start_ms, stop_ms=stop_ms, equity=equity)
    return _read(done, equity)


def run(
    model: Model,
    markets: Sequence[Market],
    params: Params,
    *,
    start_ms: int,
    stop_ms: int,
    equity: float = EQUITY,
) -> Replayed:
    """Trade ``markets`` with ``model`` from ``start_ms`` to ``stop_ms`` as the executor would.

    Raises
    ------
    InputError
        Where there is no close in the range.
    """
    state = new_state(equity, params)
    swapped = ModelSwapped(model=model, version="simulated", time_ms=start_ms)
    step(state, swapped, params)
    recorded = closes([tape(market) for market in markets], start_ms, stop_ms)
    done = replay(recorded, state, params, step)
    if not done.close_ms:
        raise InputError("no bar closes in the range to simulate; choose a longer one")
    return done


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
        digits = _decimals(np.asarray(market.candles.close[-2000:]))
        lot = 10.0 ** -max(0, floor(log10(price)) + 1)
        found[market.symbol] = Instrument(
            symbol=market.symbol,
            tick=round(10.0**-digits, digits),
            lot=lot,
            quantity_min=lot,
            notional_min=5.0,
            leverage_max=50.0,
        )
    return found


def attribution(trades: Sequence[Trade]) -> dict[str, float]:
    """Return what the trades' results are made of, in quote currency; the parts sum to ``net``."""
    gross = sum(trade.gross for trade in trades)
    fees = -sum(trade.fees for trade in trades)
    funding = sum(trade.funding for trade in trades)
    return {"gross": gross, "fees": fees, "funding": funding, "net": gross + fees + funding}


def _read(done: Replayed, start: float) -> Simulation:
    close_ms = np.array(done.close_ms, dtype=np.int64)
    equity = np.array(done.equity)
    day = (close_ms - 1) // DAY_MS
    first, last = int(day[0]), int(day[-1])
    at = np.searchsorted(day, np.arange(first, last + 1), side="right") - 1
    ends = equity[at]
    daily = ends / np.concatenate(([start], ends[:-1])) - 1.0
    net = np.array([trade.net_return for trade in done.trades])
    notional = np.array([t.entry_price * t.quantity for t in done.trades])
    gross = np.array([t.gross for t in done.trades]) / np.maximum(notional, 1e-12)
    hours = np.array([(t.closed_ms - t.opened_ms) / HOUR_MS for t in done.trades])
    figures = {
        **return_metrics(daily),
        **trade_metrics(net, gross, hours),
        **attribution(done.trades),
        "turnover": float(2.0 * notional.sum() / start),
        "equity_end": float(equity[-1]),
    }
    return Simulation(
        close_ms=close_ms,
        equity=equity,
        daily=daily,
        first_day=first,
        trades=tuple(done.trades),
        refused=dict(Counter(refusal.reason for refusal in done.refusals)),
        decisions=len(done.decisions),
        metrics=figures,
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


def _decimals(prices: FloatArray, most: int = 8) -> int:
    """Return how many decimals the prices need."""
    for digits in range(most):
        if np.allclose(prices, np.round(prices, digits), rtol=0.0, atol=10.0**-digits * 1e-6):
            return digits
    return most
