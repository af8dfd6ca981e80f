"""One request on its way to an endpoint.

Decides what every endpoint may ask of its request, and the shape of list replies and their pages.
Never knows an endpoint. Rule: an endpoint is a function of a ``Call`` that returns the result or
raises a ``VenueError``.
"""

from collections.abc import Callable
from dataclasses import dataclass

from executor.paper.exchange import Exchange
from executor.paper.market import Series
from executor.paper.params import Params
from executor.paper.replies import Row
from executor.paper.signature import BAD_KEY
from executor.paper.venue.account import Account
from executor.paper.venue.errors import PARAMS_ERROR, VenueError


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the exchange, its parameters and, if it was signed, its account."""

    exchange: Exchange
    params: Params
    account: Account | None

    @property
    def owner(self) -> Account:
        """The account that signed the request."""
        if self.account is None:
            raise VenueError(BAD_KEY, "API key is invalid.")
        return self.account

    def series(self, name: str = "symbol") -> Series:
        """Return the series of the symbol asked for."""
        found = self.exchange.market.series.get(self.params.needed(name))
        if found is None:
            raise VenueError(PARAMS_ERROR, "Not supported symbols")
        return found

    def is_linear(self) -> bool:
        """Say whether the category asked for is the one that is traded here."""
        category = self.params.text("category", "linear")
        if category not in ("linear", "inverse", "spot", "option"):
            raise VenueError(PARAMS_ERROR, "params error: Category is invalid")
        return category == "linear"

    def listing(self, rows: list[Row], cursor: str = "") -> Row:
        """Return ``rows`` as a list reply."""
        category = self.params.text("category", "linear")
        return {"category": category, "list": rows, "nextPageCursor": cursor}

    def pages(self, rows: list[Row], default: int, most: int) -> Row:
        """Return one page of ``rows``, the cursor being the number of the next row."""
        size = self.params.limit(default, most)
        begin = max(0, self.params.integer("cursor", 0))
        cursor = str(begin + size) if begin + size < len(rows) else ""
        return self.listing(rows[begin : begin + size], cursor)


Endpoint = Callable[[Call], Row]
