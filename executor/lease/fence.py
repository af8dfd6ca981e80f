"""The last check before a change is signed.

Decides whether the holder of the lease, now, may sign this change: the lease must outlast the
request's recv_window and a margin, and nothing that opens is signed after a kill or pause, nor once
it grew too old (a process can stand still between any two lines, so this is asked here). A kill or
flatten may sign cancels and reduce-only orders without the lease until all is flat; nothing else
may, or a standby that is still killed would undo what the holder does. Never signs.
Rule: it is called between taking the timestamp and signing it (reliability.md A1), nowhere else.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from executor.core.order_ids import parse_client_order_id
from executor.core.types import Leg
from executor.errors import FenceError

CREATE: Final = "order/create"
CANCELS: Final = ("order/cancel", "order/cancel-all")


class LeaseView(Protocol):
    """What the fence asks of the lease."""

    def remaining_ms(self) -> int:
        """Return how long the lease is surely ours."""
        ...


class GuardView(Protocol):
    """What the fence asks of the guards."""

    killed: str
    paused: bool
    flattening: bool


class Fence:
    """``guard`` and ``wants`` are set once the state is known; before, nothing opens.

    ``wants`` says of a client order id whether that entry may still be sent, ``is_stopping``
    whether a kill or a pause was read that the guard does not show yet.
    """

    def __init__(self, lease: LeaseView, needed_ms: int) -> None:
        self._lease = lease
        self._needed_ms = needed_ms
        self.guard: GuardView | None = None
        self.wants: Callable[[str], bool] = lambda _: False
        self.is_stopping: Callable[[], bool] = lambda: False

    def check(self, path: str, params: Mapping[str, Any]) -> None:
        """Let a change pass, or raise.

        Raises
        ------
        FenceError
            Where it must not be signed; nothing was sent then.
        """
        opens = path.endswith(CREATE) and params.get("reduceOnly") is not True
        guard = self.guard
        if opens and (guard is None or guard.killed or guard.paused or self.is_stopping()):
            raise FenceError("entries are not signed: killed, paused, or not yet started")
        if opens and not self.wants(str(params.get("orderLinkId", ""))):
            raise FenceError("the entry is no longer wanted: too old, or a newer bar has closed")
        remaining_ms = self._lease.remaining_ms()
        if remaining_ms >= self._needed_ms or self._is_emergency(path, params, opens):
            return
        raise FenceError(f"lease has {remaining_ms} ms left, {self._needed_ms} are needed")

    def _is_emergency(self, path: str, params: Mapping[str, Any], opens: bool) -> bool:
        """Say whether a kill or flatten that is not flat yet asks for this."""
        if self.guard is None or opens or not self.guard.flattening:
            return False
        if path.endswith(CANCELS):
            return True
        order = parse_client_order_id(str(params.get("orderLinkId", "")))
        return path.endswith(CREATE) and order is not None and order.leg is Leg.KILL
