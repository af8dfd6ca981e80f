"""How positions are led out of the market.

Decides time exits and the moves of a stop at a bar close, the partial take-profit after an entry,
what must go when a position is gone, what is left of an exit that ended too early, and the way to
flat after a kill. Never opens anything. Rule: every order here is reduce-only; a stop is only ever
tightened; an exit that may still execute is never sent twice.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from executor.core.contract import ExitReason, Verdict
from executor.core.decide import is_passed, time_is_up
from executor.core.draft import Draft
from executor.core.fills import quantise_price, quantise_quantity
from executor.core.ideas import position_record
from executor.core.order_ids import client_order_id
from executor.core.params import Params
from executor.core.state import TradingState
from executor.core.types import (
    Bar,
    CancelIntent,
    Leg,
    Order,
    OrderIntent,
    OrderStatus,
    Position,
    Protect,
)
from features.exit_plan import favourable, managed_stop, plan_prices

CLOSING: Final = frozenset({Leg.EXIT, Leg.KILL, Leg.RECONCILE})


def manage(
    state: TradingState, bars: Mapping[str, Bar], close_ms: int, params: Params, draft: Draft
) -> None:
    """Look after every open position at a bar close."""
    for symbol in sorted(state.ledger.positions):
        position = state.ledger.positions[symbol]
        if exit_in_flight(state, symbol):
            continue
        bar = bars.get(symbol)
        if time_is_up(close_ms, position.deadline_ms):
            price = bar.next_open if bar is not None else state.ledger.mark(position)
            send_exit(
                state,
                position,
                leg=Leg.EXIT,
                time_ms=close_ms,
                price=price,
                reason=ExitReason.TIME,
                draft=draft,
            )
        elif bar is not None:
            _manage_stop(state, position, bar, close_ms, params, draft)


def exit_in_flight(state: TradingState, symbol: str) -> bool:
    """Say whether an order that closes the whole position may still execute."""
    return any(
        order.intent.symbol == symbol and order.intent.leg in CLOSING
        for order in state.active.values()
    )


def send_exit(
    state: TradingState,
    position: Position,
    *,
    leg: Leg,
    time_ms: int,
    price: float,
    reason: ExitReason,
    draft: Draft,
) -> None:
    """Ask for a market order that closes ``position``; one that was asked for before is not."""
    name = client_order_id(position.symbol, time_ms, leg)
    if state.order(name) is not None:
        return
    intent = OrderIntent(
        client_order_id=name,
        symbol=position.symbol,
        side=-position.side,
        quantity=position.quantity,
        reduce_only=True,
        reason=reason,
        leg=leg,
        close_ms=time_ms,
        reference_price=price,
    )
    _ask(state, intent, draft)
    draft.decisions.append(position_record(state, position, time_ms, Verdict.EXIT, reason, intent))


def flatten(state: TradingState, time_ms: int, leg: Leg, reason: ExitReason, draft: Draft) -> None:
    """Cancel everything that could open, and close every position that is not closing already."""
    for order in list(state.active.values()):
        if not order.intent.reduce_only or order.intent.price:
            _cancel(order, reason, draft)
    for symbol in sorted(state.ledger.positions):
        position = state.ledger.positions[symbol]
        if not exit_in_flight(state, symbol):
            price = state.ledger.mark(position)
            send_exit(
                state,
                position,
                leg=leg,
                time_ms=time_ms,
                price=price,
                reason=reason,
                draft=draft,
            )


def after_exit(state: TradingState, order: Order, time_ms: int, draft: Draft) -> None:
    """Where a closing order has ended with only a part of it executed, ask at once for the rest.

    Each follows some progress; one that got nothing waits for the next look at the account, so
    nothing that the venue will not do is asked for in a loop.
    """
    intent = order.intent
    position = state.ledger.positions.get(intent.symbol)
    if intent.leg not in CLOSING or position is None or position.side == intent.side:
        return
    if order.filled_quantity > 0.0 and not exit_in_flight(state, intent.symbol):
        send_exit(
            state,
            position,
            leg=intent.leg,
            time_ms=time_ms,
            price=state.ledger.mark(position),
            reason=ExitReason(intent.reason),
            draft=draft,
        )


def after_close(state: TradingState, symbol: str, draft: Draft) -> None:
    """Cancel the resting partial of a position that is gone."""
    for order in list(state.active.values()):
        if order.intent.symbol == symbol and order.intent.price:
            _cancel(order, "position closed", draft)


def after_entry(state: TradingState, order: Order, params: Params, draft: Draft) -> None:
    """Once an entry has got all it will get, let the first take-profit rest at the venue."""
    intent = order.intent
    position = state.ledger.positions.get(intent.symbol)
    if position is None or position.entry_id != intent.client_order_id:
        return
    plan = position.plan
    if plan.partial_fraction <= 0.0:
        return
    instrument = params.instruments[intent.symbol]
    quantity = quantise_quantity(plan.partial_fraction * position.quantity, instrument.lot)
    if quantity < instrument.quantity_min or quantity * intent.reference_price < (
        instrument.notional_min
    ):
        return  # too small to split: the whole leaves at the take
    partial_price = _plan_prices(position)[0]
    partial = OrderIntent(
        client_order_id=client_order_id(intent.symbol, intent.close_ms, Leg.PARTIAL_1),
        symbol=intent.symbol,
        side=-position.side,
        quantity=quantity,
        reduce_only=True,
        reason=ExitReason.PARTIAL,
        leg=Leg.PARTIAL_1,
        close_ms=intent.close_ms,
        reference_price=intent.reference_price,
        price=quantise_price(partial_price, instrument.tick, -position.side),
    )
    if state.order(partial.client_order_id) is None:
        _ask(state, partial, draft)


def protect(
    position: Position, time_ms: int, reason: str, draft: Draft, *, with_take: bool = True
) -> None:
    """Ask that the position's stop and take rest at the venue; only its stop where that is meant.

    A request that names a take which the market has passed would be refused as a whole.
    """
    draft.protections.append(
        Protect(
            client_order_id=client_order_id(position.symbol, time_ms, Leg.STOP),
            symbol=position.symbol,
            side=position.side,
            stop_price=position.stop_price,
            take_price=position.take_price if with_take else 0.0,
            reason=reason,
        )
    )


def _plan_prices(position: Position) -> tuple[float, float, float, float]:
    plan = position.plan
    return plan_prices(
        position.reference_price,
        position.side,
        position.profit,
        position.loss,
        plan.partial_at,
        plan.break_even_offset,
        plan.trail,
        plan.trail_from,
    )


def _manage_stop(
    state: TradingState,
    position: Position,
    bar: Bar,
    close_ms: int,
    params: Params,
    draft: Draft,
) -> None:
    """Move the stop as the exit plan says, from the next bar on.

    A stop that the next bar opens beyond is no order that a venue takes: the position leaves there
    at once, at the price at which labels and simulation let such a stop gap.
    """
    plan = position.plan
    if (
        plan.barriers_alone
        or position.stop_price <= 0.0
        or bar.candle.open_ms < position.decided_ms
    ):
        return
    side = position.side
    best = favourable(side, position.best_price, bar.candle.high, bar.candle.low)
    _, break_even_price, trail_points, trail_from_price = _plan_prices(position)
    wanted = managed_stop(
        side,
        position.stop_price,
        best,
        position.partial_filled,
        plan.break_even,
        break_even_price,
        trail_points,
        trail_from_price,
    )
    stop = quantise_price(wanted, params.instruments[position.symbol].tick, side)
    position = replace(position, best_price=best)
    state.ledger.positions[position.symbol] = position
    if not side * (stop - position.stop_price) > 0.0:
        return
    if is_passed(side, stop, bar.next_open):
        send_exit(
            state,
            position,
            leg=Leg.EXIT,
            time_ms=close_ms,
            price=bar.next_open,
            reason=ExitReason.STOP,
            draft=draft,
        )
        return
    position = replace(position, stop_price=stop)
    state.ledger.positions[position.symbol] = position
    protect(position, close_ms, "plan", draft, with_take=False)
    record = position_record(state, position, close_ms, Verdict.ADJUST, "plan", None)
    draft.decisions.append(record)


def _ask(state: TradingState, intent: OrderIntent, draft: Draft) -> None:
    state.put_order(Order(intent=intent, status=OrderStatus.INTENDED, updated_ms=intent.close_ms))
    draft.intents.append(intent)


def _cancel(order: Order, reason: str, draft: Draft) -> None:
    draft.cancels.append(
        CancelIntent(
            symbol=order.intent.symbol,
            client_order_id=order.intent.client_order_id,
            venue_order_id=order.venue_order_id,
            reason=reason,
        )
    )
