"""The gate never lets an order past a limit, whatever the input; exits always pass."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.core.contract import Refusal
from executor.core.events import HEALTHY, GateFacts
from executor.core.params import DAY_MS, Limits
from executor.core.risk import Exposure, GateContext, gate
from executor.core.types import Instrument, Leg, OrderIntent

NOW_MS = 1_700_000_000_000
LIMITS = Limits()
COIN = Instrument(
    symbol="AUSDT", tick=0.01, lot=0.001, quantity_min=0.001, notional_min=5.0, leverage_max=50.0
)
ENTRY = OrderIntent(
    client_order_id="tb-AUSDT-1700000000000-e",
    symbol="AUSDT",
    side=1,
    quantity=5.0,
    reduce_only=False,
    reason="entry",
    leg=Leg.ENTRY,
    close_ms=NOW_MS,
    reference_price=100.0,
    stop_price=99.0,
    take_price=102.0,
)
FLAT = Exposure(equity=10_000.0, symbol=0.0, gross=0.0, net=0.0)
FINE = GateContext(
    exposure=FLAT,
    facts=HEALTHY,
    held_back=None,
    known_order=False,
    repeated_latched=False,
    entries_minute=0,
    entries_today=0,
    trained_until_ms=NOW_MS - DAY_MS,
    schema_matches=True,
    features_finite=True,
)


def judged(limits: Limits = LIMITS, context: GateContext = FINE, **changes: object) -> str | None:
    return gate(replace(ENTRY, **changes), COIN, context, limits)  # type: ignore[arg-type]


def test_an_ordinary_entry_passes() -> None:
    assert judged() is None


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"lease_margin_ms": 5_999}, Refusal.LEASE),
        ({"halted_outside": True}, Refusal.HALTED),
        ({"reconciled_age_ms": 60_001}, Refusal.NOT_RECONCILED),
        ({"clock_offset_ms": 501}, Refusal.CLOCK_OFFSET),
        ({"config_matches": False}, Refusal.CONFIG_MISMATCH),
        ({"signal_age_ms": 30_001}, Refusal.STALE_SIGNAL),
        ({"model_promoted": False}, Refusal.MODEL_NOT_PROMOTED),
        ({"bundle_verified": False}, Refusal.MODEL_NOT_PROMOTED),
        ({"data_age_ms": 5_001}, Refusal.STALE_DATA),
        ({"mark_prices": {"AUSDT": 98.9}}, Refusal.PRICE_COLLAR),
        ({"mark_prices": {"AUSDT": math.nan}}, Refusal.PRICE_COLLAR),
        ({"free_margin": 166.0}, Refusal.MARGIN),
    ],
)
def test_every_fact_has_its_own_reason(facts: dict[str, object], code: Refusal) -> None:
    bad = replace(HEALTHY, **facts)  # type: ignore[arg-type]
    assert judged(context=replace(FINE, facts=bad)) == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"held_back": Refusal.DAILY_LOSS}, Refusal.DAILY_LOSS),
        ({"known_order": True}, Refusal.DUPLICATE_SIGNAL),
        ({"repeated_latched": True}, Refusal.REPEATED_EXECUTION),
        ({"entries_minute": 60}, Refusal.ORDER_RATE),
        ({"entries_today": 1000}, Refusal.ORDER_RATE),
        ({"trained_until_ms": NOW_MS - 46 * DAY_MS}, Refusal.MODEL_TOO_OLD),
        ({"schema_matches": False}, Refusal.SCHEMA_MISMATCH),
        ({"features_finite": False}, Refusal.BAD_FEATURE),
        ({"exposure": replace(FLAT, symbol=600.0)}, Refusal.POSITION_LIMIT),
        ({"exposure": replace(FLAT, gross=9_600.0)}, Refusal.GROSS_LIMIT),
        ({"exposure": replace(FLAT, gross=29_600.0)}, Refusal.LEVERAGE_LIMIT),
        ({"exposure": replace(FLAT, net=5_600.0)}, Refusal.NET_LIMIT),
        ({"exposure": replace(FLAT, equity=math.nan)}, Refusal.POSITION_LIMIT),
        ({"exposure": replace(FLAT, equity=-1.0)}, Refusal.POSITION_LIMIT),
    ],
)
def test_every_state_has_its_own_reason(change: dict[str, object], code: Refusal) -> None:
    assert judged(context=replace(FINE, **change)) == code  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"quantity": 5.0005}, Refusal.QUANTITY_STEP),
        ({"quantity": 0.049}, Refusal.NOTIONAL_MIN),
        ({"quantity": math.nan}, Refusal.POSITION_LIMIT),
        ({"quantity": -1.0}, Refusal.POSITION_LIMIT),
        ({"stop_price": 0.0}, Refusal.STOP_MISSING),
        ({"stop_price": math.nan}, Refusal.STOP_MISSING),
        ({"stop_price": 100.5}, Refusal.STOP_SIDE),
        ({"stop_price": 99.99}, Refusal.STOP_DISTANCE),
        ({"stop_price": 70.0}, Refusal.STOP_DISTANCE),
        ({"reference_price": math.nan}, Refusal.PRICE_COLLAR),
        ({"reference_price": 0.0}, Refusal.PRICE_COLLAR),
        ({"leg": Leg.EXIT}, Refusal.NOT_REDUCE_ONLY),
    ],
)
def test_every_fault_of_an_order_has_its_own_reason(
    change: dict[str, object], code: Refusal
) -> None:
    assert judged(**change) == code  # type: ignore[arg-type]  # fields of the intent


def test_a_single_order_has_a_largest_notional() -> None:
    assert judged(replace(LIMITS, order_notional_max=499.0)) == Refusal.ORDER_NOTIONAL
    assert judged(replace(LIMITS, order_notional_max=500.0)) is None


def test_a_stop_beyond_the_liquidation_price_is_refused() -> None:
    limits = replace(LIMITS, leverage_max=5.0, stop_distance_max=0.5)
    assert judged(limits, stop_price=81.0) == Refusal.LIQUIDATION
    assert judged(limits, stop_price=83.0) is None


def test_unknown_and_suspended_instruments_are_refused() -> None:
    assert gate(ENTRY, None, FINE, LIMITS) == Refusal.INSTRUMENT
    assert gate(ENTRY, replace(COIN, trading=False), FINE, LIMITS) == Refusal.INSTRUMENT
    assert gate(ENTRY, replace(COIN, quantity_max=4.0), FINE, LIMITS) == Refusal.QUANTITY_STEP


anything = st.floats(allow_nan=True, allow_infinity=True)
plausible = st.one_of(anything, st.floats(-2e4, 2e4))


@given(
    quantity=st.one_of(plausible, st.integers(1, 300_000).map(lambda n: n / 1000)),
    price=st.one_of(plausible, st.floats(0.01, 1e5)),
    stop=plausible,
    side=st.sampled_from([1, -1]),
    equity=plausible,
    held=plausible,
    other=plausible,
)
def test_nothing_past_the_gate_exceeds_a_limit(
    quantity: float, price: float, stop: float, side: int, equity: float, held: float, other: float
) -> None:
    exposure = Exposure(equity=equity, symbol=held, gross=abs(held) + abs(other), net=held + other)
    intent = replace(ENTRY, quantity=quantity, reference_price=price, stop_price=stop, side=side)
    if gate(intent, COIN, replace(FINE, exposure=exposure), LIMITS) is not None:
        return
    slack = 1.0 + 1e-8
    notional = quantity * price
    assert notional <= LIMITS.order_notional_max * slack
    assert abs(held + side * notional) <= LIMITS.position_fraction_max * equity * slack
    assert abs(held) + abs(other) + notional <= LIMITS.gross_fraction_max * equity * slack
    assert abs(held + other + side * notional) <= LIMITS.net_fraction_max * equity * slack
    assert 0.0 < side * (price - stop) / price <= LIMITS.stop_distance_max
    assert quantity >= COIN.quantity_min
    assert notional >= COIN.notional_min


@given(
    quantity=anything,
    price=anything,
    leg=st.sampled_from([Leg.EXIT, Leg.KILL, Leg.PARTIAL_1, Leg.RECONCILE]),
    held_back=st.sampled_from([None, Refusal.HALTED, Refusal.DAILY_LOSS]),
    facts=st.builds(
        GateFacts,
        lease_margin_ms=st.integers(-10, 10_000),
        halted_outside=st.booleans(),
        reconciled_age_ms=st.integers(0, 10**9),
        data_age_ms=st.integers(0, 10**9),
    ),
)
def test_exits_always_pass(
    quantity: float, price: float, leg: Leg, held_back: Refusal | None, facts: GateFacts
) -> None:
    intent = replace(
        ENTRY, quantity=quantity, reference_price=price, leg=leg, reduce_only=True, stop_price=0.0
    )
    context = replace(
        FINE, facts=facts, held_back=held_back, exposure=replace(FLAT, equity=math.nan)
    )
    assert gate(intent, None, context, LIMITS) is None
