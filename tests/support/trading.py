"""A decision core to play with: a model that answers what it is told, bars made by hand.

For tests of ``executor.core`` and of its shell that need exact situations rather than a market.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from executor.core.events import (
    HEALTHY,
    BarClosed,
    FillReceived,
    GateFacts,
    ModelSwapped,
    OrderUpdated,
)
from executor.core.model import (
    BarrierSpec,
    ModelInfo,
    Prediction,
    Request,
    SymbolCoverage,
)
from executor.core.params import Params
from executor.core.state import TradingState, new_state
from executor.core.step import step
from executor.core.types import (
    Bar,
    Fill,
    FillKind,
    Instrument,
    OrderIntent,
    OrderStatus,
    Outcome,
    Trade,
)
from features.signals import ADAPTIVE_BOUNDS, SignalParams
from features.types import Candle, FloatArray

INTERVAL_MS = 900_000
START_MS = 1_704_067_200_000
NAMES = (
    "volatility_96",
    "ema_z_12",
    "ema_z_48",
    "volume_z_96",
    "return_1",
    "adx_14",
    "atr_14",
    "trend_z_96",
)
QUIET_ROW = (0.005, 0.0, 0.0, 0.0, 0.0, 25.0, 0.01, 1.0)
LONG_ROW = (0.005, 3.0, 3.0, 1.0, 0.01, 25.0, 0.01, 1.0)
SHORT_ROW = (0.005, -3.0, -3.0, 1.0, -0.01, 25.0, 0.01, -1.0)
GOOD = Prediction(
    probability=0.6,
    expected_net=0.0064,
    standard_error=0.0005,
    win_mean=0.018,
    loss_mean=0.011,
    second_moment=2e-4,
)


def instrument(symbol: str, **changes: Any) -> Instrument:
    """Return an instrument with a fine tick and lot."""
    return replace(
        Instrument(
            symbol=symbol,
            tick=0.01,
            lot=0.001,
            quantity_min=0.001,
            notional_min=5.0,
            leverage_max=50.0,
        ),
        **changes,
    )


def model_info(symbols: Sequence[str], **changes: Any) -> ModelInfo:
    """Return the facts of a model trained well on ``symbols``."""
    info = ModelInfo(
        bundle_sha256="ab" * 32,
        feature_schema="schema",
        feature_names=NAMES,
        symbols={s: SymbolCoverage(history_days=400.0, coverage=1.0) for s in symbols},
        signal=SignalParams(),
        barriers=BarrierSpec(profit=0.02, loss=0.01, horizon_bars=8),
        interval_ms=INTERVAL_MS,
        trained_until_ms=START_MS - INTERVAL_MS,
        kelly_q90=20.0,
        adaptive_bounds=ADAPTIVE_BOUNDS,
    )
    return replace(info, **changes)


@dataclass(slots=True)
class FixedModel:
    """Answers every request with ``answers[symbol]``, or with ``default``; keeps what was asked."""

    info: ModelInfo
    default: Prediction = GOOD
    answers: Mapping[str, Prediction] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)

    def predict_many(self, requests: Sequence[Request]) -> list[Prediction]:
        self.asked.extend(requests)
        return [self.answers.get(request.symbol, self.default) for request in requests]


def parameters(symbols: Sequence[str], **changes: Any) -> Params:
    """Return conservative parameters for ``symbols``."""
    found = Params(
        interval_ms=INTERVAL_MS, instruments={symbol: instrument(symbol) for symbol in symbols}
    )
    return replace(found, **changes)


def bar(
    symbol: str,
    close_ms: int,
    row: Sequence[float] | FloatArray | None = QUIET_ROW,
    price: float = 100.0,
    **changes: Any,
) -> Bar:
    """Return a flat bar at ``price`` that closes at ``close_ms``; ``changes`` are of the candle."""
    candle = Candle(
        open_ms=close_ms - INTERVAL_MS,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=1e6,
    )
    candle = replace(candle, **changes)
    features = None if row is None else np.array(row, dtype=np.float64)
    return Bar(symbol=symbol, candle=candle, next_open=candle.close, features=features)


def trade(pnl: float) -> Trade:
    """Return a closed trade that brought ``pnl``."""
    return Trade(
        symbol="AUSDT",
        side=1,
        quantity=1.0,
        entry_price=100.0,
        exit_price=100.0 + pnl,
        gross=pnl,
        fees=0.0,
        funding=0.0,
        pnl=pnl,
        net_return=pnl / 100.0,
        probability=0.5,
        confidence=0.7,
        regime="",
        opened_ms=0,
        closed_ms=1,
        reason="take",
        entry_id="",
    )


class Desk:
    """A state, its parameters and a clock of bars: what most scenarios need."""

    def __init__(
        self,
        symbols: Sequence[str] = ("BTCUSDT",),
        *,
        equity: float = 10_000.0,
        params: Params | None = None,
        model: FixedModel | None = None,
    ) -> None:
        self.symbols = tuple(symbols)
        self.params = params if params is not None else parameters(symbols)
        self.state: TradingState = new_state(equity, self.params)
        self.model = model if model is not None else FixedModel(model_info(symbols))
        self.close_ms = START_MS
        self._fills = 0
        self.do(ModelSwapped(model=self.model, version="1", time_ms=START_MS))

    def do(self, event: Any) -> Outcome:
        """Take one event in."""
        return step(self.state, event, self.params)

    def close(
        self,
        rows: Mapping[str, Sequence[float] | None] | None = None,
        prices: Mapping[str, float] | None = None,
        facts: GateFacts = HEALTHY,
    ) -> Outcome:
        """Close one more bar; symbols without a row of their own get a quiet one."""
        self.close_ms += INTERVAL_MS
        bars = tuple(
            bar(s, self.close_ms, (rows or {}).get(s, QUIET_ROW), (prices or {}).get(s, 100.0))
            for s in self.symbols
        )
        return self.do(BarClosed(close_ms=self.close_ms, bars=bars, facts=facts))

    def fill(self, intent: OrderIntent, price: float = 0.0, quantity: float = 0.0) -> Outcome:
        """Execute an intent of ours, all of it unless told otherwise."""
        return self.execute(
            symbol=intent.symbol,
            side=intent.side,
            quantity=quantity or intent.quantity,
            price=price or intent.reference_price,
            client_order_id=intent.client_order_id,
            reduce_only=intent.reduce_only,
        )

    def end(
        self, intent: OrderIntent, status: OrderStatus, after_ms: int, filled: float = 0.0
    ) -> Outcome:
        """Tell of the end of an order, so long after the newest close."""
        return self.do(
            OrderUpdated(
                client_order_id=intent.client_order_id,
                symbol=intent.symbol,
                status=status,
                time_ms=self.close_ms + after_ms,
                filled_quantity=filled,
            )
        )

    def execute(
        self,
        *,
        symbol: str,
        side: int,
        quantity: float,
        price: float,
        client_order_id: str = "",
        kind: FillKind = FillKind.ORDER,
        reduce_only: bool = False,
        fee: float = 0.0,
    ) -> Outcome:
        """Let the venue execute something."""
        self._fills += 1
        return self.do(
            FillReceived(
                fill=Fill(
                    fill_id=f"fill-{self._fills}",
                    symbol=symbol,
                    side=side,
                    quantity=quantity,
                    price=price,
                    fee=fee,
                    time_ms=self.close_ms,
                    client_order_id=client_order_id,
                    kind=kind,
                    reduce_only=reduce_only,
                )
            )
        )

    def enter(self, symbol: str = "BTCUSDT", price: float = 0.0) -> OrderIntent:
        """Close a bar with a long signal on ``symbol`` and fill the entry."""
        outcome = self.close({symbol: LONG_ROW})
        (intent,) = outcome.intents
        self.fill(intent, price)
        return intent
