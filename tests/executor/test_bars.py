"""Assembling closes from pushed candles: complete, in order, never an unfinished bar."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from executor.market.bars import BarBook, Closed, Hole
from features.types import Candle

STEP = 900_000


def candle(number: int, close: float | None = None, volume: float = 10.0) -> Candle:
    price = 100.0 + number
    end = price + 0.5 if close is None else close
    return Candle(
        open_ms=number * STEP,
        open=price,
        high=max(price, end) + 1,
        low=min(price, end) - 1,
        close=end,
        volume=volume,
    )


def tick(number: int) -> Candle:
    """The opening tick of a bar."""
    price = 100.0 + number
    return Candle(open_ms=number * STEP, open=price, high=price, low=price, close=price, volume=0.0)


def book(*symbols: str, head: int = 0) -> BarBook:
    made = BarBook(STEP)
    for symbol in symbols:
        made.seed(symbol, head * STEP, [candle(head), tick(head + 1)])
    return made


def drain(made: BarBook) -> list[tuple[int, list[Closed]]]:
    out = []
    while (close_ms := made.first_pending_ms()) is not None and made.complete(close_ms):
        out.append((close_ms, made.take(close_ms)))
    return out


def test_a_close_carries_all_symbols_with_the_next_open() -> None:
    made = book("A", "B")
    for symbol in ("A", "B"):
        made.push(symbol, candle(1), confirmed=True)
    assert made.first_pending_ms() is None
    made.push("B", tick(2), confirmed=False)
    assert made.first_pending_ms() == 2 * STEP
    assert not made.complete(2 * STEP)
    made.push("A", tick(2), confirmed=False)
    ((close_ms, bars),) = drain(made)
    assert close_ms == 2 * STEP
    assert [(bar.symbol, bar.candle, bar.next_open) for bar in bars] == [
        ("A", candle(1), 102.0),
        ("B", candle(1), 102.0),
    ]
    assert made.hole("A") is None
    assert made.hole("B") is None


def test_values_the_venue_did_not_confirm_are_asked_for_again() -> None:
    """ccxt can lose the last frame of a bar: what was seen last is not the bar."""
    made = book("A")
    made.push("A", candle(1, close=90.0), confirmed=False)
    made.push("A", tick(2), confirmed=False)
    hole = made.hole("A")
    assert hole == Hole(symbol="A", start_ms=STEP, end_ms=2 * STEP)
    assert made.hole("A") is None, "asked once"
    assert drain(made) == []
    made.fill(hole, [candle(1), candle(2)])
    ((_, (bar,)),) = drain(made)
    assert bar.candle == candle(1)


def test_a_hole_is_filled_before_anything_after_it_comes_out() -> None:
    made = book("A")
    made.push("A", candle(4), confirmed=True)
    made.push("A", tick(5), confirmed=False)
    hole = made.hole("A")
    assert hole is not None
    assert (hole.start_ms, hole.end_ms) == (STEP, 4 * STEP)
    made.fill(hole, [candle(1), candle(2), candle(3)])
    assert [close // STEP for close, _ in drain(made)] == [2, 3, 4, 5]


def test_bars_that_rest_does_not_have_never_existed() -> None:
    made = book("A")
    made.push("A", candle(4), confirmed=True)
    made.push("A", tick(5), confirmed=False)
    hole = made.hole("A")
    assert hole is not None
    made.fill(hole, [candle(1), candle(3)])
    out = drain(made)
    assert [close // STEP for close, _ in out] == [2, 4, 5]
    opens = [bars[0].next_open for _, bars in out]
    assert opens == [candle(1).close, candle(4).open, tick(5).open]  # nothing follows: its close


def test_a_refused_hole_is_asked_for_again() -> None:
    made = book("A")
    made.push("A", tick(3), confirmed=False)
    hole = made.hole("A")
    assert hole is not None
    made.refuse(hole)
    assert made.hole("A") == hole


def test_late_and_repeated_frames_change_nothing() -> None:
    made = book("A")
    made.push("A", candle(1), confirmed=True)
    made.push("A", candle(1, close=50.0), confirmed=False)
    made.push("A", tick(2), confirmed=False)
    made.push("A", candle(1, close=50.0), confirmed=True)
    made.push("A", candle(0, close=50.0), confirmed=True)
    ((_, (bar,)),) = drain(made)
    assert bar.candle == candle(1)
    assert made.ignored == 3


def test_a_confirmed_bar_that_nothing_follows_can_be_let_out() -> None:
    made = book("A", "B")
    made.push("A", candle(1), confirmed=True)
    made.push("B", candle(1), confirmed=False)
    made.force(2 * STEP)
    assert made.take(2 * STEP) == [Closed(symbol="A", candle=candle(1), next_open=101.5)]
    made.push("A", tick(2), confirmed=False)
    assert made.first_pending_ms() is None, "it came out once"


def test_what_the_last_process_did_not_decide_comes_out_first() -> None:
    made = BarBook(STEP)
    made.seed("A", 2 * STEP, [candle(1), candle(2), candle(3), candle(4), tick(5)])
    assert [close // STEP for close, _ in drain(made)] == [4, 5]


def test_after_a_lost_socket_the_newest_bars_are_taken_from_rest() -> None:
    made = book("A")
    made.refresh("A", [candle(0), candle(1), candle(2), tick(3)])
    assert [close // STEP for close, _ in drain(made)] == [2, 3]
    made.refresh("A", [candle(0), candle(1)])
    assert drain(made) == []
    made.refresh("A", [candle(7), tick(8)])  # too far away to be the whole story
    assert made.hole("A") == Hole(symbol="A", start_ms=3 * STEP, end_ms=8 * STEP)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 12),
    lost=st.sets(st.integers(0, 400), max_size=60),
)
def test_whatever_is_lost_repeated_or_late_the_bars_come_out_once_and_in_order(
    seed: int, count: int, lost: set[int]
) -> None:
    """Frames are dropped, doubled and swapped; REST answers every hole with the truth."""
    symbols = ("A", "B", "C")
    made = book(*symbols)
    frames = []
    for number in range(1, count + 1):
        for symbol in symbols:
            frames.append((symbol, candle(number, volume=3.0), False))
            frames.append((symbol, candle(number), True))
        frames += [(symbol, tick(number + 1), False) for symbol in symbols]
    rng = random.Random(seed)
    for _ in range(len(frames) // 5):
        i = rng.randrange(len(frames) - 1)
        frames[i], frames[i + 1] = frames[i + 1], frames[i]
        frames.insert(i, frames[i])
    frames = [frame for i, frame in enumerate(frames) if i not in lost]
    frames += [(symbol, tick(count + 1), False) for symbol in symbols]
    out: list[tuple[int, list[Closed]]] = []
    for symbol, pushed, confirmed in frames:
        made.push(symbol, pushed, confirmed=confirmed)
        hole = made.hole(symbol)
        while hole is not None:
            truth = range(hole.start_ms // STEP, hole.end_ms // STEP)
            made.fill(hole, [candle(n) for n in truth])
            hole = made.hole(symbol)
        out += drain(made)
    assert [close // STEP for close, _ in out] == list(range(2, count + 2))
    for close_ms, bars in out:
        number = close_ms // STEP - 1
        assert [bar.symbol for bar in bars] == list(symbols)
        assert {bar.candle for bar in bars} == {candle(number)}
        assert {bar.next_open for bar in bars} == {100.0 + number + 1}
