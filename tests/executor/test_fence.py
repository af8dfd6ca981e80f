"""The fence: who may sign what, at the moment of signing."""

from dataclasses import dataclass
from typing import Any

import pytest

from executor.core.order_ids import client_order_id
from executor.core.types import Leg
from executor.errors import FenceError
from executor.lease.fence import Fence
from executor.venue.client import Seam, Seams
from tests.support.clocks import FakeClock

NEEDED_MS = 6_000
CREATE = "v5/order/create"


@dataclass
class FakeLease:
    left_ms: int

    def remaining_ms(self) -> int:
        return self.left_ms


@dataclass
class FakeGuard:
    killed: str = ""
    paused: bool = False
    flattening: bool = False


def fence(left_ms: int, **guard: Any) -> Fence:
    made = Fence(FakeLease(left_ms), NEEDED_MS)
    made.guard = FakeGuard(**guard)
    made.wants = lambda _: True
    return made


def order(leg: Leg, **more: Any) -> dict[str, Any]:
    return {"orderLinkId": client_order_id("BTCUSDT", 1_735_689_600_000, leg), **more}


def test_the_lease_must_outlast_the_request() -> None:
    fence(NEEDED_MS).check(CREATE, order(Leg.ENTRY))
    with pytest.raises(FenceError, match="5999 ms left, 6000"):
        fence(NEEDED_MS - 1).check(CREATE, order(Leg.ENTRY))


def test_before_the_state_is_known_nothing_opens() -> None:
    made = Fence(FakeLease(20_000), NEEDED_MS)
    with pytest.raises(FenceError):
        made.check(CREATE, order(Leg.ENTRY))
    made.check("v5/position/set-leverage", {})


def test_after_a_kill_nothing_opens_though_the_lease_is_held() -> None:
    killed = fence(20_000, killed="killed by me")
    with pytest.raises(FenceError, match="killed"):
        killed.check(CREATE, order(Leg.ENTRY))
    killed.check(CREATE, order(Leg.EXIT, reduceOnly=True))


def test_an_entry_that_was_in_doubt_is_not_sent_again_after_a_pause() -> None:
    paused = fence(20_000, paused=True)
    with pytest.raises(FenceError, match="paused"):
        paused.check(CREATE, order(Leg.ENTRY))
    paused.check(CREATE, order(Leg.EXIT, reduceOnly=True))


def test_from_the_moment_a_kill_was_read_nothing_opens() -> None:
    """Found by seed 1212: it waited in the queue of a start, and the guard did not show it yet."""
    told = fence(20_000)
    told.is_stopping = lambda: True
    with pytest.raises(FenceError, match="killed"):
        told.check(CREATE, order(Leg.ENTRY))
    told.check(CREATE, order(Leg.EXIT, reduceOnly=True))


def test_an_entry_that_grew_old_is_not_signed_and_an_exit_is() -> None:
    made = fence(20_000)
    old = order(Leg.ENTRY)["orderLinkId"]
    made.wants = lambda name: name != old
    made.check(CREATE, order(Leg.PARTIAL_1))
    with pytest.raises(FenceError, match="no longer wanted"):
        made.check(CREATE, order(Leg.ENTRY))
    made.check(CREATE, order(Leg.EXIT, reduceOnly=True))


def test_kill_and_flatten_may_reduce_and_cancel_without_the_lease() -> None:
    for guard in ({"killed": "by me"}, {"paused": True}):
        made = fence(0, **guard, flattening=True)
        made.check(CREATE, order(Leg.KILL, reduceOnly=True))
        made.check("v5/order/cancel", {})
        made.check("v5/order/cancel-all", {})


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (CREATE, order(Leg.EXIT, reduceOnly=True)),
        (CREATE, order(Leg.KILL)),
        (CREATE, {"orderLinkId": "somebody-else", "reduceOnly": True}),
        ("v5/position/trading-stop", {}),
        ("v5/position/set-leverage", {}),
    ],
)
def test_nothing_else_is_signed_without_the_lease(path: str, params: dict[str, Any]) -> None:
    with pytest.raises(FenceError):
        fence(0, killed="by me", flattening=True).check(path, params)


def test_cancels_without_the_lease_need_a_kill_or_flatten() -> None:
    for guard in ({}, {"paused": True}, {"killed": "by me"}):
        with pytest.raises(FenceError):
            fence(0, **guard).check("v5/order/cancel", {})


def test_once_flat_a_killed_standby_signs_nothing_any_more() -> None:
    """Else it would close what the holder opens after a reset that did not reach it."""
    with pytest.raises(FenceError):
        fence(0, killed="by me").check(CREATE, order(Leg.KILL, reduceOnly=True))


class FakeExchange:
    """Stands for ccxt's class: takes its timestamp in `nonce`, inside `sign`."""

    def nonce(self) -> int:
        return self.milliseconds()

    def milliseconds(self) -> int:
        raise AssertionError("the clock port is asked, not ccxt's clock")

    def sign(self, path: str, api: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return {"path": path, "timestamp": self.nonce(), "params": params}


class Signer(Seams, FakeExchange):
    pass


def signer(clock: FakeClock, lease: FakeLease) -> Signer:
    made = Signer()
    guarded = Fence(lease, NEEDED_MS)
    guarded.guard = FakeGuard()
    guarded.wants = lambda _: True
    made.seam = Seam(clock=clock, fence=guarded.check, sink=lambda topic, message: None)
    return made


def test_the_timestamp_that_was_checked_is_the_one_that_is_signed() -> None:
    """The process is frozen between the check and the signature: the old time is signed."""
    clock = FakeClock()
    frozen = FakeLease(NEEDED_MS)
    made = signer(clock, frozen)
    checked_at = clock.now_ms()
    remaining = frozen.remaining_ms

    def freeze() -> int:
        left = remaining()
        clock.pass_s(45.0)  # after the check, before the signature
        return left

    frozen.remaining_ms = freeze  # type: ignore[method-assign]
    signed = made.sign(CREATE, "private", "POST", order(Leg.ENTRY))
    assert signed["timestamp"] == checked_at
    assert clock.now_ms() == checked_at + 45_000


def test_a_freeze_before_the_check_is_seen_by_the_check() -> None:
    clock = FakeClock()
    made = signer(clock, FakeLease(0))
    with pytest.raises(FenceError):
        made.sign(CREATE, "private", "POST", order(Leg.ENTRY))
    assert made.signing_ms is None


def test_queries_are_signed_without_asking_and_with_the_present_time() -> None:
    clock = FakeClock()
    made = signer(clock, FakeLease(0))
    assert made.sign("v5/position/list", "private", "GET", {})["timestamp"] == clock.now_ms()
