"""Rate limits count in rolling windows and refuse in the venue's two ways."""

from executor.paper.limits import ADDRESS_REQUESTS, BAN_MS, CONNECTIONS, Limits

CREATE = "/v5/order/create"


def test_an_endpoint_has_its_second() -> None:
    limits = Limits(enforced=True)
    asked = [limits.ask("a", CREATE, 1000 + 10 * k) for k in range(12)]
    assert [one.refused for one in asked] == [False] * 10 + [True] * 2
    assert [one.left for one in asked] == [*range(9, -1, -1), 0, 0]
    assert asked[-1].headers == {
        "X-Bapi-Limit": "10",
        "X-Bapi-Limit-Status": "0",
        "X-Bapi-Limit-Reset-Timestamp": "2000",
    }
    assert not limits.ask("b", CREATE, 1110).refused
    assert not limits.ask("a", "/v5/order/cancel", 1110).refused
    assert not limits.ask("a", CREATE, 2000).refused
    assert limits.ask("a", CREATE, 2001).refused


def test_a_refused_request_does_not_prolong_the_wait() -> None:
    limits = Limits(enforced=True)
    for k in range(200):
        limits.ask("a", CREATE, 1000 + k)
    assert not limits.ask("a", CREATE, 2000).refused


def test_an_address_is_banned_for_ten_minutes() -> None:
    limits = Limits(enforced=True)
    answers = [limits.is_banned("1.1.1.1", 1000 + k) for k in range(ADDRESS_REQUESTS + 1)]
    assert answers == [False] * ADDRESS_REQUESTS + [True]
    assert not limits.is_banned("2.2.2.2", 2000)
    banned_at = 1000 + ADDRESS_REQUESTS
    assert limits.is_banned("1.1.1.1", banned_at + BAN_MS - 1)
    again = banned_at + BAN_MS + 10_000
    assert not limits.is_banned("1.1.1.1", again)
    answers = [limits.is_banned("1.1.1.1", again + 1 + k) for k in range(ADDRESS_REQUESTS)]
    assert answers == [False] * (ADDRESS_REQUESTS - 1) + [True]  # and banned a second time


def test_connections_are_limited_too() -> None:
    limits = Limits(enforced=True)
    assert all(limits.may_connect("1.1.1.1", 1000) for _ in range(CONNECTIONS))
    assert not limits.may_connect("1.1.1.1", 2000)
    assert limits.may_connect("1.1.1.1", 301_001)


def test_without_enforcement_all_is_counted_and_nothing_refused() -> None:
    limits = Limits(enforced=False)
    asked = [limits.ask("a", CREATE, 1000) for _ in range(50)]
    assert not any(one.refused for one in asked)
    assert asked[-1].left == 0
    assert not any(limits.is_banned("1.1.1.1", 1000) for _ in range(2000))
