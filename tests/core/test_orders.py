"""The order table and the client order id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.core.order_ids import client_order_id, parse_client_order_id
from executor.core.orders import LEGAL, Move, executed, is_active, judge, moved, open_quantity
from executor.core.types import Leg, Order, OrderIntent, OrderStatus
from features.errors import InputError

S = OrderStatus
INTENT = OrderIntent(
    client_order_id="tb-BTCUSDT-1700000000000-e",
    symbol="BTCUSDT",
    side=1,
    quantity=1.0,
    reduce_only=False,
    reason="entry",
    leg=Leg.ENTRY,
    close_ms=1_700_000_000_000,
    reference_price=100.0,
)
ENDED = {S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED, S.REFUSED}


def order(status: OrderStatus, filled: float = 0.0) -> Order:
    return Order(intent=INTENT, status=status, filled_quantity=filled)


def test_a_cancelled_order_may_still_turn_out_filled() -> None:
    assert judge(S.CANCELED, S.FILLED) is Move.LEGAL
    assert judge(S.EXPIRED, S.FILLED) is Move.LEGAL
    assert judge(S.CANCELED, S.ACCEPTED) is Move.LATE


@pytest.mark.parametrize("known", [S.FILLED, S.REJECTED])
@pytest.mark.parametrize("reported", [S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED])
def test_nothing_comes_after_a_final_word(known: OrderStatus, reported: OrderStatus) -> None:
    wanted = Move.REPEATED if known == reported else Move.ILLEGAL
    assert judge(known, reported) is wanted


@pytest.mark.parametrize("reported", [S.ACCEPTED, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED])
def test_what_we_refused_may_be_sent_by_who_took_over(reported: OrderStatus) -> None:
    """Ids follow from signals: found by seed 1200, where the one that lost the lease was wrong."""
    after, move = moved(order(S.REFUSED), reported, 5, "v1", "")
    assert (after.status, move) == (reported, Move.LEGAL)
    assert judge(S.REFUSED, S.SUBMITTED) is Move.ILLEGAL, "not by us"


@pytest.mark.parametrize("late", [S.SUBMITTED, S.ACCEPTED, S.PARTIALLY_FILLED, S.UNKNOWN])
def test_late_news_of_a_filled_order_is_dropped_without_alarm(late: OrderStatus) -> None:
    assert judge(S.FILLED, late) is Move.LATE


def test_an_unknown_order_may_turn_out_to_be_anything() -> None:
    """Also refused by us: it never arrived, and the lease is not there to send it again."""
    for status in (S.ACCEPTED, S.REJECTED, S.FILLED, S.CANCELED, S.PARTIALLY_FILLED, S.REFUSED):
        assert judge(S.UNKNOWN, status) is Move.LEGAL


@given(st.sampled_from(S), st.sampled_from(S))
def test_only_a_legal_move_changes_the_status(known: OrderStatus, reported: OrderStatus) -> None:
    after, move = moved(order(known), reported, 5, "v1", "because")
    if move is Move.LEGAL:
        assert reported in LEGAL[known]
        assert after.updated_ms == 5
    else:
        assert after.status is known


@given(st.lists(st.sampled_from(S), max_size=12))
def test_an_ended_order_never_comes_back_to_life(reports: list[OrderStatus]) -> None:
    current, ended = order(S.INTENDED), False
    for report in reports:
        current, _ = moved(current, report, 1, "", "")
        assert not (ended and is_active(current))
        ended = ended or current.status in ENDED - {S.REFUSED}  # that is our word, not the venue's


@given(st.lists(st.integers(1, 400), min_size=1, max_size=8))
def test_fills_are_counted_whatever_the_status(parts: list[int]) -> None:
    current = order(S.CANCELED)
    for part in parts:
        current, _ = executed(current, part / 1000.0, 1, 0.001)
    assert current.filled_quantity == pytest.approx(sum(parts) / 1000.0)
    assert open_quantity(current) == 0.0


def test_partial_fills_add_up_to_filled() -> None:
    current, _ = executed(order(S.ACCEPTED), 0.3, 1, 0.001)
    assert (current.status, open_quantity(current)) == (S.PARTIALLY_FILLED, pytest.approx(0.7))
    current, _ = executed(current, 0.7, 2, 0.001)
    assert (current.status, open_quantity(current)) == (S.FILLED, 0.0)


def test_an_execution_of_a_rejected_order_is_counted_and_alarmed() -> None:
    after, move = executed(order(S.REJECTED), 1.0, 1, 0.001)
    assert (move, after.filled_quantity) == (Move.ILLEGAL, 1.0)


symbols = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=16).map(
    lambda text: text + "USDT"
)


@given(symbols, st.integers(1_500_000_000_000, 2_500_000_000_000), st.sampled_from(Leg))
def test_an_id_reads_back_and_fits_the_venue(symbol: str, close_ms: int, leg: Leg) -> None:
    text = client_order_id(symbol, close_ms, leg)
    assert len(text) <= 36
    parts = parse_client_order_id(text)
    assert parts is not None
    assert (parts.symbol, parts.close_ms, parts.leg) == (symbol, close_ms, leg)


def test_the_plain_form_is_the_one_people_read() -> None:
    assert client_order_id("BTCUSDT", 1_700_000_000_000, Leg.ENTRY) == "tb-BTCUSDT-1700000000000-e"


@pytest.mark.parametrize(
    "text", ["", "abc", "tb-BTC-1-q", "tb-BTCUSDT-x1700000000000-e", "TB-A-1-e"]
)
def test_ids_of_others_are_not_ours(text: str) -> None:
    assert parse_client_order_id(text) is None


def test_a_symbol_that_fits_no_id_is_refused() -> None:
    with pytest.raises(InputError, match="leave it out"):
        client_order_id("BTC/USDT:USDT", 1_700_000_000_000, Leg.ENTRY)
    with pytest.raises(InputError, match="leave it out"):
        client_order_id("X" * 30, 1_700_000_000_000, Leg.ENTRY)
