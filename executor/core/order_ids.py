"""The client order id: a function of the decision, so that a resend is never a second order.

Decides how an order of ours is named at the venue and how that name is read back. Never looks at a
clock or a counter. Rule: at most 36 characters of ``[A-Za-z0-9_-]``, ``tb-<symbol>-<time>-<leg>``.
"""

import re
from dataclasses import dataclass
from typing import Final

from executor.core.types import Leg
from features.errors import InputError

CLIENT_ORDER_ID_MAX: Final = 36
_ID = re.compile(
    r"tb-(?P<symbol>[A-Za-z0-9_]+)-(?P<time>[0-9]{13}|[0-9a-z]{8,9})-(?P<leg>[a-z][0-9]?)"
)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_DECIMAL_TIME_LENGTH = 13


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"


def client_order_id(symbol: str, close_ms: int, leg: Leg) -> str:
    """Return the id of an order: a function of the decision, so a resend is never a second order.

    Where the plain form is longer than 36 characters the time is written in base 36.

    Raises
    ------
    InputError
        Where the symbol is too long or holds a character outside ``[A-Za-z0-9_]``.
    """
    text = f"tb-{symbol}-{close_ms:013d}-{leg}"
    if len(text) > CLIENT_ORDER_ID_MAX:
        text = f"tb-{symbol}-{_base36(close_ms)}-{leg}"
    if len(text) > CLIENT_ORDER_ID_MAX or not _ID.fullmatch(text):
        raise InputError(f"symbol {symbol!r} cannot be part of a client order id; leave it out")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderId:
    """The parts of a client order id of ours."""

    symbol: str
    close_ms: int
    leg: Leg


def parse_client_order_id(text: str) -> OrderId | None:
    """Return the parts of an id made by :func:`client_order_id`, or None for anybody else's."""
    match = _ID.fullmatch(text)
    if match is None or match["leg"] not in set(Leg):
        return None
    time = match["time"]
    close_ms = int(time) if len(time) == _DECIMAL_TIME_LENGTH else int(time, 36)
    return OrderId(symbol=match["symbol"], close_ms=close_ms, leg=Leg(match["leg"]))
