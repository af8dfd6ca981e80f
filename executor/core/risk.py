"""The pre-trade gate: the last thing between an intent and the market.

Decides whether one order may be sent, by the twenty checks of the reliability note, in their
order. Never changes an order to make it pass, and has no way round. Rule: one pure function, NaN
refuses, exits always pass (an exit must be reduce-only; that is its one check). The numbers in the
comments are those of the note; 1 is checked once more against the signed timestamp in the venue.
"""

import math
from dataclasses import dataclass
from typing import Final

from executor.core.contract import Refusal
from executor.core.events import GateFacts
from executor.core.params import DAY_MS, Limits
from executor.core.types import Instrument, Leg, OrderIntent

# Sums of rounded quantities may miss a limit by this relative amount and no more.
ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What is held and in flight before this order; notionals in quote currency.

    ``symbol`` is signed and of the order's symbol; ``gross`` sums absolute values, ``net`` signed
    ones, over all symbols; orders in flight are counted as if filled.
    """

    equity: float
    symbol: float
    gross: float
    net: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateContext:
    """What the gate must know beside the order itself."""

    exposure: Exposure
    facts: GateFacts
    held_back: Refusal | None
    known_order: bool
    repeated_latched: bool
    entries_minute: int
    entries_today: int
    trained_until_ms: int
    schema_matches: bool
    features_finite: bool


def gate(
    intent: OrderIntent, instrument: Instrument | None, context: GateContext, limits: Limits
) -> Refusal | None:
    """Return why ``intent`` must not be sent, or None where it may."""
    if intent.reduce_only:
        return None
    if intent.leg is not Leg.ENTRY:
        return Refusal.NOT_REDUCE_ONLY  # 20: whatever is no entry must reduce
    return (
        _permission(context, limits)
        or _knowledge(intent, context, limits)
        or _prices(intent, context, limits)
        or _limits(intent, context, limits)
        or _order(intent, instrument)
        or _protection(intent, instrument, context, limits)
    )


def _permission(context: GateContext, limits: Limits) -> Refusal | None:
    facts = context.facts
    if not facts.lease_margin_ms >= limits.lease_margin_ms_min:  # 1
        return Refusal.LEASE
    if facts.halted_outside:  # 2
        return Refusal.HALTED
    if context.held_back is not None:  # 2 and 13
        return context.held_back
    if not facts.reconciled_age_ms <= limits.reconciled_age_ms_max:  # 3
        return Refusal.NOT_RECONCILED
    if not abs(facts.clock_offset_ms) <= limits.clock_offset_ms_max:  # 18
        return Refusal.CLOCK_OFFSET
    if not facts.config_matches:  # 19
        return Refusal.CONFIG_MISMATCH
    return None


def _knowledge(intent: OrderIntent, context: GateContext, limits: Limits) -> Refusal | None:
    facts = context.facts
    if context.known_order:  # 4
        return Refusal.DUPLICATE_SIGNAL
    if not facts.signal_age_ms <= limits.signal_age_ms_max:  # 4
        return Refusal.STALE_SIGNAL
    if not (facts.model_promoted and facts.bundle_verified):  # 5
        return Refusal.MODEL_NOT_PROMOTED
    age_days = (intent.close_ms - context.trained_until_ms) / DAY_MS
    if not age_days <= limits.model_age_days_max:  # 5
        return Refusal.MODEL_TOO_OLD
    if not context.schema_matches:  # 6
        return Refusal.SCHEMA_MISMATCH
    if not context.features_finite:  # 6
        return Refusal.BAD_FEATURE
    return None


def _prices(intent: OrderIntent, context: GateContext, limits: Limits) -> Refusal | None:
    facts = context.facts
    if not facts.data_age_ms <= limits.data_age_ms_max:  # 7
        return Refusal.STALE_DATA
    price = intent.reference_price
    if not (price > 0.0 and math.isfinite(price)):  # 8
        return Refusal.PRICE_COLLAR
    mark = facts.mark_prices.get(intent.symbol)
    if mark is not None and not abs(price - mark) <= limits.price_collar * mark:  # 8
        return Refusal.PRICE_COLLAR
    return None


def _limits(intent: OrderIntent, context: GateContext, limits: Limits) -> Refusal | None:
    exposure, slack = context.exposure, 1.0 + ROUNDING
    notional = intent.quantity * intent.reference_price
    signed = intent.side * notional
    equity = exposure.equity
    if not (equity > 0.0 and notional > 0.0):  # 10
        return Refusal.POSITION_LIMIT
    if not notional <= limits.order_notional_max * slack:  # 9
        return Refusal.ORDER_NOTIONAL
    symbol = abs(exposure.symbol + signed)
    if not symbol <= limits.position_fraction_max * equity * slack:  # 10 and 11
        return Refusal.POSITION_LIMIT
    gross = exposure.gross + notional
    if not gross <= limits.leverage_max * equity * slack:
        return Refusal.LEVERAGE_LIMIT
    if not gross <= limits.gross_fraction_max * equity * slack:
        return Refusal.GROSS_LIMIT
    if not abs(exposure.net + signed) <= limits.net_fraction_max * equity * slack:
        return Refusal.NET_LIMIT
    if context.entries_minute >= limits.orders_minute_max:  # 12
        return Refusal.ORDER_RATE
    if context.entries_today >= limits.orders_day_max:
        return Refusal.ORDER_RATE
    if context.repeated_latched:
        return Refusal.REPEATED_EXECUTION
    return None


def _order(intent: OrderIntent, instrument: Instrument | None) -> Refusal | None:
    if instrument is None or not instrument.trading:  # 14
        return Refusal.INSTRUMENT
    lots = intent.quantity / instrument.lot  # 15
    if not abs(lots - round(lots)) <= 1e-6 or intent.quantity < instrument.quantity_min:
        return Refusal.QUANTITY_STEP
    if not intent.quantity <= instrument.quantity_max:
        return Refusal.QUANTITY_STEP
    if not intent.quantity * intent.reference_price >= instrument.notional_min:
        return Refusal.NOTIONAL_MIN
    return None


def _protection(
    intent: OrderIntent, instrument: Instrument | None, context: GateContext, limits: Limits
) -> Refusal | None:
    stop, price = intent.stop_price, intent.reference_price
    if not (stop > 0.0 and math.isfinite(stop)):  # 16
        return Refusal.STOP_MISSING
    distance = intent.side * (price - stop) / price
    if not distance > 0.0:
        return Refusal.STOP_SIDE
    if not limits.stop_distance_min <= distance <= limits.stop_distance_max:
        return Refusal.STOP_DISTANCE
    leverage = limits.leverage_max
    if instrument is not None:
        leverage = min(leverage, instrument.leverage_max)
    if not leverage > 0.0:
        return Refusal.LEVERAGE_LIMIT
    if not distance < 1.0 / leverage - limits.maintenance_margin:
        return Refusal.LIQUIDATION
    margin = intent.quantity * price / leverage  # 17
    used = context.exposure.gross / limits.leverage_max
    if not (margin <= context.facts.free_margin and used + margin <= context.exposure.equity):
        return Refusal.MARGIN
    return None
