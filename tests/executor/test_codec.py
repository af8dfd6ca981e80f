"""What the journal wrote is what it reads, to the last bit."""

import math
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from executor.core.events import BarClosed, GateFacts, OrderUpdated
from executor.core.types import Bar, Leg, OrderIntent, OrderStatus
from executor.journal.codec import CodecError, decode, encode
from features.types import Candle


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    number: float
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    colour: Colour
    level: Level
    inner: tuple[Inner, ...]
    pairs: tuple[tuple[int, float], ...]
    prices: dict[str, float]
    row: NDArray[np.float64]
    maybe: Inner | None = None
    added_later: int = 7
    tags: list[str] = field(default_factory=list)


finite_or_not = st.floats(allow_nan=False, width=64)


@given(
    numbers=st.lists(finite_or_not, max_size=6),
    pairs=st.lists(st.tuples(st.integers(-(2**53), 2**53), finite_or_not), max_size=4),
    prices=st.dictionaries(st.text(max_size=8), finite_or_not, max_size=4),
    name=st.none() | st.text(max_size=8),
)
def test_round_trip(
    numbers: list[float],
    pairs: list[tuple[int, float]],
    prices: dict[str, float],
    name: str | None,
) -> None:
    value = Outer(
        colour=Colour.RED,
        level=Level.HIGH,
        inner=tuple(Inner(number=x, name=name) for x in numbers),
        pairs=tuple(pairs),
        prices=prices,
        row=np.array([*numbers, math.nan, -0.0]),
    )
    back = decode(Outer, encode(value))
    assert back.row.tobytes() == value.row.tobytes()
    assert (back.colour, back.level) == (Colour.RED, Level.HIGH)
    assert isinstance(back.colour, Colour)
    assert (back.inner, back.pairs, back.prices) == (value.inner, value.pairs, value.prices)


def test_nan_and_infinities_survive() -> None:
    for number in (math.inf, -math.inf):
        assert decode(Inner, encode(Inner(number=number, name=None))).number == number
    assert math.isnan(decode(Inner, encode(Inner(number=math.nan, name=None))).number)


def test_an_event_of_the_core_comes_back_whole() -> None:
    candle = Candle(open_ms=0, open=1.0, high=2.0, low=0.5, close=1.5, volume=3.0)
    row = np.array([0.1, math.nan, 1 / 3])
    event = BarClosed(
        close_ms=900_000,
        bars=(
            Bar(symbol="BTCUSDT", candle=candle, next_open=1.6, features=row),
            Bar(symbol="ETHUSDT", candle=candle, next_open=1.6, features=None),
        ),
        facts=GateFacts(lease_margin_ms=5, mark_prices={"BTCUSDT": 1.6}),
    )
    back = decode(BarClosed, encode(event))
    assert back.close_ms == event.close_ms
    assert back.facts == event.facts
    assert back.bars[0].candle == candle
    assert back.bars[0].features.tobytes() == row.tobytes()
    assert back.bars[1].features is None


def test_enums_of_the_core_come_back_as_enums() -> None:
    intent = OrderIntent(
        client_order_id="tb-BTCUSDT-1735689600000-e",
        symbol="BTCUSDT",
        side=1,
        quantity=0.1,
        reduce_only=False,
        reason="entry",
        leg=Leg.ENTRY,
        close_ms=1,
        reference_price=100.0,
    )
    assert decode(OrderIntent, encode(intent)) == intent
    update = OrderUpdated(client_order_id="a", symbol="B", status=OrderStatus.FILLED, time_ms=1)
    assert decode(OrderUpdated, encode(update)).status is OrderStatus.FILLED


def test_a_field_that_was_added_later_takes_its_default() -> None:
    text = encode(Inner(number=1.0, name="x")).replace(',"name":"x"', "")
    with pytest.raises(CodecError):
        decode(Inner, text)
    old = '{"colour":"red","level":2,"inner":[],"pairs":[],"prices":{},"row":{"f8":""}}'
    assert decode(Outer, old).added_later == 7


@pytest.mark.parametrize("text", ["", "{", "[]", '{"number": "x", "name": null}', "null"])
def test_what_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(CodecError):
        decode(Inner, text)


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(CodecError):
        encode({"a": object()})
