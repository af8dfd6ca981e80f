"""Disconnection protection: cancel an account's orders when its private stream has gone.

Decides when orders are cancelled because nobody listens any more. Never touches positions or
conditional orders. Rule, as at the venue: only an account that set a window and whose private
socket subscribed to ``dcp`` is protected, and a stream that comes back in time saves its orders.
"""

import asyncio
from collections.abc import Callable

from executor.paper.hub import Connection, Hub
from executor.paper.venue import placing
from executor.paper.venue.errors import PARAMS_ERROR, VenueError
from executor.paper.venue.orders import Status
from executor.paper.venue.state import VenueState

TOPIC = "dcp"
SECONDS_MIN = 3
SECONDS_MAX = 300


class Disconnection:
    """The windows that accounts have set, and the timers that run."""

    def __init__(self, state: VenueState, hub: Hub) -> None:
        self._state = state
        self._hub = hub
        self._act: Callable[[str], None] = self.cancel
        self.windows: dict[str, int] = {}

    def on_expiry(self, act: Callable[[str], None]) -> None:
        """Let ``act(account)`` be done when a window has passed."""
        self._act = act

    def set_window(self, account: str, seconds: int) -> None:
        """Set an account's window."""
        if not SECONDS_MIN <= seconds <= SECONDS_MAX:
            raise VenueError(PARAMS_ERROR, f"timeWindow must be {SECONDS_MIN} to {SECONDS_MAX}")
        self.windows[account] = seconds

    def lost(self, connection: Connection) -> None:
        """Start the timer of the account whose protected stream has just ended."""
        account = connection.account
        if account not in self.windows or TOPIC not in connection.topics:
            return
        if not self._is_guarded(account):
            loop = asyncio.get_running_loop()
            loop.call_later(self.windows[account], self._expire, account)

    def _is_guarded(self, account: str) -> bool:
        return any(c.account == account and TOPIC in c.topics for c in self._hub.private)

    def _expire(self, account: str) -> None:
        if not self._is_guarded(account):
            self._act(account)

    def cancel(self, account: str) -> None:
        """Cancel an account's orders; conditional ones stay."""
        placing.cancel_all(
            self._state,
            self._state.accounts[account],
            lambda order: order.status is not Status.UNTRIGGERED,
            "CancelByDCP",
        )
