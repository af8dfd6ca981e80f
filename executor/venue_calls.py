"""How a single call to the venue is made, counted and judged.

Decides that a query is asked again at most four times in 15 s while that may help, that a change is
sent exactly once, and which ccxt exceptions mean what (`venue_errors`). Never knows what is asked.
Rule: every call over ccxt passes through :class:`Calls`, so that each is counted by its label.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import stamina

from executor import lean_ccxt, venue_rows
from executor.errors import RejectedError, RetryableError
from executor.venue_errors import CLOCK, classify

Call = Callable[[], Awaitable[Any]]

ATTEMPTS: Final = 4
PATIENCE_S: Final = 15.0
PAGES_MAX: Final = 50


class Calls:
    """Makes calls; ``resync`` is awaited when the venue says that our clock is off."""

    def __init__(self, resync: Call) -> None:
        self._resync = resync
        self.made: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    async def query(self, label: str, call: Call) -> Any:
        """Ask, and ask again while the failure is one that passes."""
        async for attempt in stamina.retry_context(
            on=RetryableError,
            attempts=ATTEMPTS,
            timeout=PATIENCE_S,
            wait_initial=0.2,
            wait_max=2.0,
        ):
            with attempt:
                return await self._once(label, call, change=False)
        raise AssertionError("stamina ends by returning or by raising")

    async def change(self, label: str, call: Call, fine: frozenset[str] = frozenset()) -> Any:
        """Send a change once. A rejection with a code in ``fine`` means that it is as wanted."""
        try:
            return await self._once(label, call, change=True)
        except RejectedError as error:
            if error.code not in fine:
                raise
            return None

    async def pages(
        self, label: str, ask: Callable[[dict[str, Any]], Awaitable[Any]], request: dict[str, Any]
    ) -> list[venue_rows.Row]:
        """Return the rows of all pages of a query."""
        found: list[venue_rows.Row] = []
        cursor = ""
        for _ in range(PAGES_MAX):
            page = request | ({"cursor": cursor} if cursor else {})
            reply = await self.query(label, partial(ask, page))
            found += venue_rows.rows(reply)
            cursor = str(reply["result"].get("nextPageCursor") or "")
            if not cursor:
                return found
        raise RetryableError(f"{label}: more than {PAGES_MAX} pages")

    async def _once(self, label: str, call: Call, *, change: bool) -> Any:
        self.made[label] += 1
        try:
            return await call()
        except lean_ccxt.errors().BaseError as error:
            self.failed[label] += 1
            failure = classify(error, change=change)
            if failure.code in CLOCK:
                await self._resync()
            raise failure from error
