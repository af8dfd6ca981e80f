"""The decision chain at a bar close: from feature rows to approved entries.

Decides, in this order: signal, coverage, inputs, position, regime, session, probability, expected
value, selection, size, gate. Never sends and never manages what is open. Rule: every signal ends in
exactly one decision record, approved or refused with one reason; a symbol without a signal costs
one call and leaves nothing.
"""

import math
from typing import Final

import numpy as np

from executor.core.columns import Columns
from executor.core.contract import Refusal, Verdict
from executor.core.coverage import coverage_block
from executor.core.decide import ENTER, NO_EDGE, entry_verdict
from executor.core.draft import Draft
from executor.core.events import BarClosed
from executor.core.fills import quantise_barriers
from executor.core.guard import canary_share, entries_this_minute, held_back, on_entry
from executor.core.ideas import Idea, entry_record
from executor.core.ledger import Opening
from executor.core.model import Model, ModelInfo, Request
from executor.core.order_ids import client_order_id
from executor.core.params import Params
from executor.core.portfolio import Portfolio, notionals
from executor.core.regime import regime_blocks, session_blocks, trend_state, volatility_state
from executor.core.risk import GateContext, gate
from executor.core.selector import rank_key, select
from executor.core.sizing import Ask, Size, size
from executor.core.state import TradingState
from executor.core.types import (
    Leg,
    Order,
    OrderIntent,
    OrderStatus,
    Refused,
)
from features.barriers import barrier_fractions, barrier_prices
from features.types import FloatArray

YEAR_MS: Final = 31_557_600_000
UNPRICED: Final = "price"


def enter(state: TradingState, event: BarClosed, params: Params, draft: Draft) -> None:
    """Run the chain over all symbols of one close."""
    model, columns, signal_params = state.model, state.columns, state.signal_params
    if model is None or columns is None or signal_params is None:
        return
    ideas = [
        Idea(bar=bar, row=row, signal=signal)
        for bar, row, signal in event.signalled(columns.index, signal_params)
    ]
    if ideas:
        _Chain(state, event, params, draft, model, columns).run(ideas)


class _Chain:
    """One close with at least one signal; lives for one step."""

    def __init__(
        self,
        state: TradingState,
        event: BarClosed,
        params: Params,
        draft: Draft,
        model: Model,
        columns: Columns,
    ) -> None:
        self._state = state
        self._event = event
        self._params = params
        self._draft = draft
        self._model = model
        self._info: ModelInfo = model.info
        self._columns = columns
        self._held = set(notionals(state))

    def run(self, ideas: list[Idea]) -> None:
        """Take ``ideas`` through all filters; the best are asked for first."""
        ideas.sort(key=lambda idea: idea.bar.symbol)
        ideas = [idea for idea in ideas if self._passes_filters(idea)]
        if not ideas:
            return
        close_ms = self._event.close_ms
        requests = [
            Request(
                symbol=idea.bar.symbol, close_ms=close_ms, features=idea.row, signal=idea.signal
            )
            for idea in ideas
        ]
        for idea, prediction in zip(ideas, self._model.predict_many(requests), strict=True):
            idea.prediction = prediction
        ideas = [idea for idea in ideas if self._is_worth_it(idea) and self._has_room(idea)]
        if not ideas:
            return
        ideas.sort(key=lambda idea: rank_key(idea.bar.symbol, idea.edge, idea.prediction))
        portfolio = Portfolio(
            self._state,
            self._params,
            self._event.by_symbol(),
            self._columns,
            [idea.bar.symbol for idea in ideas],
        )
        for idea in ideas:
            self._try(idea, portfolio)

    def _passes_filters(self, idea: Idea) -> bool:
        reason = self._inputs(idea) or self._market(idea)
        if reason is not None:
            self._refuse(idea, reason)
        return reason is None

    def _inputs(self, idea: Idea) -> Refusal | None:
        """Coverage block, features that can be used, one position a symbol."""
        symbol, limits, row = idea.bar.symbol, self._params.limits, idea.row
        covered = coverage_block(self._info, symbol, limits)
        if covered is not None:
            return covered
        if len(row) != self._columns.width:
            return Refusal.SCHEMA_MISMATCH
        idea.volatility = float(row[self._columns.volatility])
        if not np.isfinite(row).all() or not idea.volatility > 0.0:
            return Refusal.BAD_FEATURE
        if symbol in self._held:
            return Refusal.POSITION_OPEN
        return None if symbol in self._params.instruments else Refusal.INSTRUMENT

    def _market(self, idea: Idea) -> Refusal | None:
        """Regime and session."""
        row, columns, regime = idea.row, self._columns, self._params.regime
        profit, _ = self._fractions(idea)
        horizon = self._info.barriers.horizon_bars
        trend = trend_state(_pick(row, columns.adx), _pick(row, columns.trend), regime)
        wildness = volatility_state(idea.volatility, profit, horizon, regime)
        idea.regime = f"{trend}/{wildness}"
        if regime_blocks(trend, wildness, idea.signal.side, regime):
            return Refusal.REGIME
        volume = self._state.closes.volume_ratio(idea.bar.symbol)
        if session_blocks(self._event.close_ms, volume, self._params.session):
            return Refusal.SESSION_VOLUME
        return None

    def _is_worth_it(self, idea: Idea) -> bool:
        answer = idea.prediction
        verdict, idea.edge = entry_verdict(
            answer.expected_net, answer.standard_error, self._info.kappa
        )
        if verdict == ENTER and answer.second_moment > 0.0:
            return True
        no_edge = verdict == NO_EDGE
        self._refuse(idea, Refusal.EXPECTED_VALUE if no_edge else Refusal.NO_ECONOMICS)
        return False

    def _has_room(self, idea: Idea) -> bool:
        """Spare the work of selection and size where the guards or a full book refuse anyway."""
        reason = held_back(self._state.guard, self._event.close_ms)
        if not self._state.equity() > 0.0:
            reason = Refusal.MARGIN
        elif reason is None and len(self._held) >= self._params.selector.positions_max:
            reason = Refusal.POSITIONS_MAX
        if reason is not None:
            self._refuse(idea, reason)
        return reason is None

    def _try(self, idea: Idea, portfolio: Portfolio) -> None:
        symbol, side = idea.bar.symbol, idea.signal.side
        refused = select(symbol, side, portfolio.sides, portfolio.together, self._params.selector)
        if refused is not None:
            self._refuse(idea, refused)
            return
        intent, bound_by = self._intent(idea, portfolio)
        if not intent.quantity > 0.0 and bound_by != UNPRICED:
            self._refuse(idea, Refusal.SIZE_ZERO, intent, f"bound by {bound_by}")
            return
        instrument = self._params.instruments[symbol]
        context = self._context(idea, intent, portfolio)
        refused = gate(intent, instrument, context, self._params.limits)
        if refused is not None:
            self._refuse(idea, refused, intent, f"bound by {bound_by}")
            return
        portfolio.add(intent)
        self._approve(idea, intent)

    def _fractions(self, idea: Idea) -> tuple[float, float]:
        barriers = self._info.barriers
        return barrier_fractions(
            barriers.profit, barriers.loss, barriers.volatility_scaled, idea.volatility
        )

    def _intent(self, idea: Idea, portfolio: Portfolio) -> tuple[OrderIntent, str]:
        """Return the order this idea asks for (its quantity may be 0), and what bound its size."""
        bar, side = idea.bar, idea.signal.side
        instrument, price = self._params.instruments[bar.symbol], bar.next_open
        profit, loss = self._fractions(idea)
        quantity, bound_by, take, stop = 0.0, UNPRICED, 0.0, 0.0
        if 0.0 < price < math.inf:
            take, stop = barrier_prices(price, side, profit, loss)
            take, stop = quantise_barriers(side, take, stop, instrument.tick)
            sized = self._size(idea, portfolio, loss)
            quantity, bound_by = sized.quantity, sized.bound_by
        intent = OrderIntent(
            client_order_id=client_order_id(bar.symbol, self._event.close_ms, Leg.ENTRY),
            symbol=bar.symbol,
            side=side,
            quantity=quantity,
            reduce_only=False,
            reason="entry",
            leg=Leg.ENTRY,
            close_ms=self._event.close_ms,
            reference_price=price,
            stop_price=stop,
            take_price=take,
        )
        return intent, bound_by

    def _size(self, idea: Idea, portfolio: Portfolio, loss: float) -> Size:
        bar, guard, params = idea.bar, self._state.guard, self._params
        ask = Ask(
            prediction=idea.prediction,
            equity=portfolio.equity,
            drawdown=guard.drawdown(portfolio.equity),
            price=bar.next_open,
            stop_distance=loss,
            bar_notional=bar.candle.volume * bar.candle.close,
            atr_fraction=_pick(idea.row, self._columns.atr) or 0.0,
            losses_row=guard.losses_row,
            wins_row=guard.wins_row,
            share=self._share(idea.signal.side),
            book=portfolio.book(bar.symbol, idea.signal.side),
        )
        yearly = params.sizing.volatility_target
        target = yearly * yearly * params.interval_ms / YEAR_MS
        instrument = params.instruments[bar.symbol]
        return size(ask, self._info, params.sizing, params.limits, instrument, target)

    def _share(self, side: int) -> float:
        """Return what is bet of a size: less while the model is new or the forecast is against."""
        state = self._state
        return canary_share(state.guard, self._params.guard) * state.learner.share(side)

    def _context(self, idea: Idea, intent: OrderIntent, portfolio: Portfolio) -> GateContext:
        guard, close_ms = self._state.guard, self._event.close_ms
        return GateContext(
            exposure=portfolio.exposure(intent.symbol),
            facts=self._event.facts,
            held_back=held_back(guard, close_ms),
            known_order=self._state.order(intent.client_order_id) is not None,
            repeated_latched=intent.symbol in guard.repeated_latched,
            entries_minute=entries_this_minute(guard, close_ms),
            entries_today=guard.entries_today,
            trained_until_ms=self._info.trained_until_ms,
            schema_matches=len(idea.row) == self._columns.width,
            features_finite=bool(np.isfinite(idea.row).all()),
        )

    def _approve(self, idea: Idea, intent: OrderIntent) -> None:
        state, close_ms = self._state, self._event.close_ms
        profit, loss = self._fractions(idea)
        horizon_ms = self._info.barriers.horizon_bars * self._params.interval_ms
        state.put_order(Order(intent=intent, status=OrderStatus.INTENDED, updated_ms=close_ms))
        state.openings[intent.client_order_id] = Opening(
            entry_id=intent.client_order_id,
            origin="signal",
            decided_ms=close_ms,
            deadline_ms=close_ms + horizon_ms,
            reference_price=intent.reference_price,
            stop_price=intent.stop_price,
            take_price=intent.take_price,
            profit=profit,
            loss=loss,
            plan=self._info.exit_plan,
            probability=idea.prediction.probability,
            confidence=idea.signal.confidence,
            regime=idea.regime,
        )
        repeated_max = self._params.limits.repeated_entries_max
        latched = on_entry(state.guard, intent.symbol, close_ms, repeated_max)
        if latched is not None:
            self._draft.notices.append(latched)
        self._draft.intents.append(intent)
        self._record(idea, Verdict.ENTER, "approved", intent)

    def _refuse(
        self, idea: Idea, reason: Refusal, intent: OrderIntent | None = None, detail: str = ""
    ) -> None:
        self._draft.refusals.append(
            Refused(
                symbol=idea.bar.symbol,
                close_ms=self._event.close_ms,
                side=idea.signal.side,
                reason=reason,
                detail=detail,
            )
        )
        self._record(idea, Verdict.REFUSE, reason, intent)

    def _record(
        self, idea: Idea, verdict: Verdict, reason: str, intent: OrderIntent | None
    ) -> None:
        if self._state.is_recording:
            close_ms = self._event.close_ms
            self._draft.decisions.append(
                entry_record(
                    self._state,
                    idea,
                    close_ms,
                    verdict,
                    reason,
                    intent,
                    self._share(idea.signal.side),
                )
            )


def _pick(row: FloatArray, column: int | None) -> float | None:
    return float(row[column]) if column is not None else None
