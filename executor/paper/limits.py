"""Rate limits: what is counted, and when it is too much.

Decides how many requests an account and an address may send, and the headers that say so. Never
looks at what is asked. Rule: everything is always counted and shown in the headers; only where
limits are enforced is anything refused, as the venue refuses it: 10006 for an endpoint's second,
HTTP 403 and a ban of ten minutes for an address that does not stop.
"""

from collections import defaultdict, deque
from dataclasses import dataclass

from executor.paper.venue.errors import VenueError

SECOND_MS = 1_000
ADDRESS_REQUESTS = 600
ADDRESS_WINDOW_MS = 5_000
BAN_MS = 600_000
CONNECTIONS = 500
CONNECTION_WINDOW_MS = 300_000
TOO_MANY_VISITS = 10006
DEFAULT_A_SECOND = 50
# Requests an account may send each second, by endpoint; the documentation's figures for UTA.
A_SECOND = {
    "/v5/order/create": 10,
    "/v5/order/amend": 10,
    "/v5/order/cancel": 10,
    "/v5/order/cancel-all": 10,
    "/v5/order/create-batch": 10,
    "/v5/order/amend-batch": 10,
    "/v5/order/cancel-batch": 10,
    "/v5/order/disconnected-cancel-all": 5,
    "/v5/position/set-leverage": 10,
    "/v5/position/trading-stop": 10,
    "/v5/position/switch-mode": 10,
    "/v5/account/set-margin-mode": 10,
    "/v5/account/fee-rate": 10,
    "/v5/account/transaction-log": 30,
    "/v5/user/query-api": 10,
    "/v5/asset/coin/query-info": 5,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much of an endpoint's second is left after a request."""

    limit: int
    left: int
    reset_ms: int
    refused: bool

    def demand(self) -> None:
        """Refuse where nothing was left."""
        if self.refused:
            raise VenueError(TOO_MANY_VISITS, "Too many visits!")

    @property
    def headers(self) -> dict[str, str]:
        """The venue's headers about it."""
        return {
            "X-Bapi-Limit": str(self.limit),
            "X-Bapi-Limit-Status": str(self.left),
            "X-Bapi-Limit-Reset-Timestamp": str(self.reset_ms),
        }


class Limits:
    """Counts requests in rolling windows."""

    def __init__(self, *, enforced: bool) -> None:
        self.enforced = enforced
        self._requests: dict[tuple[str, str], deque[int]] = defaultdict(deque)
        self._addresses: dict[str, deque[int]] = defaultdict(deque)
        self._connections: dict[str, deque[int]] = defaultdict(deque)
        self._banned_until: dict[str, int] = {}
        self._all_banned_until = 0

    def ask(self, account: str, path: str, now_ms: int) -> Allowance:
        """Count a signed request and say what is left of its second."""
        limit = A_SECOND.get(path, DEFAULT_A_SECOND)
        window = self._requests[account, path]
        _forget(window, now_ms - SECOND_MS)
        refused = self.enforced and len(window) >= limit
        if not refused:
            window.append(now_ms)
        reset = window[0] + SECOND_MS if len(window) >= limit else now_ms
        return Allowance(
            limit=limit, left=max(0, limit - len(window)), reset_ms=reset, refused=refused
        )

    def is_banned(self, address: str, now_ms: int) -> bool:
        """Count a request of an address and say whether it must be turned away."""
        window = self._addresses[address]
        _forget(window, now_ms - ADDRESS_WINDOW_MS)
        window.append(now_ms)
        until = max(self._all_banned_until, self._banned_until.get(address, 0))
        if self.enforced and len(window) > ADDRESS_REQUESTS and now_ms >= until:
            until = self._banned_until[address] = now_ms + BAN_MS
        return now_ms < until

    def may_connect(self, address: str, now_ms: int) -> bool:
        """Count a new websocket of an address and say whether it may be opened."""
        window = self._connections[address]
        _forget(window, now_ms - CONNECTION_WINDOW_MS)
        if self.enforced and len(window) >= CONNECTIONS:
            return False
        window.append(now_ms)
        return True

    def ban_all(self, until_ms: int) -> None:
        """Ban every address, as a fault does."""
        self._all_banned_until = until_ms


def _forget(window: deque[int], before_ms: int) -> None:
    while window and window[0] <= before_ms:
        window.popleft()
