"""What a failure means: every branch of the tree, from the texts that ccxt really makes."""

import pytest

from executor.errors import (
    FatalError,
    RateLimitedError,
    RejectedError,
    RetryableError,
    UnknownOutcomeError,
    VenueError,
)
from executor.venue import lean_ccxt
from executor.venue.errors import classify, code_of

errors = lean_ccxt.errors()


def reply(code: int, text: str = "x") -> str:
    return f'bybit {{"retCode":{code},"retMsg":"{text}","result":{{}},"time":1}}'


CASES: list[tuple[str, str, type[VenueError], type[VenueError]]] = [
    # ccxt's class, its message, what it means for a query, what for a change
    ("RequestTimeout", "bybit POST /v5/order/create", RetryableError, UnknownOutcomeError),
    ("NetworkError", "connection reset", RetryableError, UnknownOutcomeError),
    ("ExchangeNotAvailable", "502 Bad Gateway", RetryableError, UnknownOutcomeError),
    ("OnMaintenance", "maintenance", RetryableError, UnknownOutcomeError),
    ("ExchangeError", "bybit {}", RetryableError, UnknownOutcomeError),  # HTTP 503 with JSON
    ("ExchangeError", reply(10000, "Server Timeout"), RetryableError, UnknownOutcomeError),
    ("ExchangeError", reply(10016), RetryableError, UnknownOutcomeError),
    ("RequestTimeout", reply(10016, "Request timeout"), RetryableError, UnknownOutcomeError),
    ("ExchangeError", reply(5004), RetryableError, UnknownOutcomeError),
    ("ExchangeError", reply(10999, "new trouble"), RetryableError, UnknownOutcomeError),
    ("InvalidNonce", reply(10002), RetryableError, RetryableError),
    ("RateLimitExceeded", reply(10006), RateLimitedError, RateLimitedError),
    ("RateLimitExceeded", reply(10018), RateLimitedError, RateLimitedError),
    ("RateLimitExceeded", "bybit 429 Too Many Requests", RateLimitedError, RateLimitedError),
    ("DDoSProtection", "bybit 418", RateLimitedError, RateLimitedError),
    ("AuthenticationError", reply(10003), FatalError, FatalError),
    ("AuthenticationError", reply(10004), FatalError, FatalError),
    ("PermissionDenied", reply(10005), FatalError, FatalError),
    ("PermissionDenied", reply(10010), FatalError, FatalError),
    ("InsufficientFunds", reply(110007), RejectedError, RejectedError),
    ("InvalidOrder", reply(110072), RejectedError, RejectedError),
    ("InvalidOrder", reply(110094), RejectedError, RejectedError),
    ("OrderNotFound", reply(110001), RejectedError, RejectedError),
    ("BadRequest", reply(110043), RejectedError, RejectedError),
    ("BadRequest", reply(10001, "params error"), RejectedError, RejectedError),
    ("ExchangeError", reply(34040), RejectedError, RejectedError),
    ("ExchangeError", reply(170131), RejectedError, RejectedError),
    ("InvalidOrder", "amount must be greater than minimum precision", RejectedError, RejectedError),
    ("BadSymbol", "bybit does not have market symbol X", RejectedError, RejectedError),
    ("ArgumentsRequired", "symbol", RejectedError, RejectedError),
]


@pytest.mark.parametrize(("name", "text", "query", "change"), CASES)
def test_the_tree(name: str, text: str, query: type[VenueError], change: type[VenueError]) -> None:
    error = getattr(errors, name)(text)
    assert type(classify(error, change=False)) is query
    assert type(classify(error, change=True)) is change


def test_every_class_of_ccxt_means_something() -> None:
    for name in vars(errors):
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, errors.BaseError):
            assert isinstance(classify(kind("x"), change=True), VenueError)


def test_the_venues_code_is_kept_and_long_texts_are_cut() -> None:
    failure = classify(errors.InvalidOrder(reply(110072)), change=True)
    assert failure.code == "110072"
    assert code_of(errors.ExchangeError('bybit {"retCode":"110001"}')) == "110001"
    assert len(str(classify(errors.NetworkError("x" * 9_999), change=False))) == 300


def test_a_ban_is_left_alone_for_ten_minutes() -> None:
    banned = classify(
        errors.RateLimitExceeded("bybit 403 Forbidden access too frequent"), change=False
    )
    slow = classify(errors.RateLimitExceeded(reply(10006)), change=False)
    assert isinstance(banned, RateLimitedError)
    assert isinstance(slow, RateLimitedError)
    assert (banned.wait_s, slow.wait_s) == (600.0, 1.0)
