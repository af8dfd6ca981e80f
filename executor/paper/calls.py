"""One request on its way to an endpoint.

Decides what every endpoint may ask of its request, and the shape of list replies and their pages.
Never knows an endpoint. Rule: an endpoint is a function of a ``Call`` that returns the result or
raises a ``VenueError``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

from executor.paper.exchange import Exchange
from executor.paper.market import Series
from executor.paper.params import INTEGER_MAX, Params
from executor.paper.replies import Row
from executor.paper.signature import BAD_KEY
from executor.paper.venue.account import Account
from executor.paper.venue.errors import PARAMS_ERROR, VenueError


class Numbered(Protocol):
    """Something that the venue has numbered."""

    @property
    def number(self) -> int:
        """Its place in the venue's sequence."""


T = TypeVar("T")
N = TypeVar("N", bound=Numbered)


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
        symbol = self.params.needed(name)
        found = self.exchange.market.series.get(symbol)
        if found is None or not self.exchange.is_listed(symbol):
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

    def pages(self, found: Iterable[T], show: Callable[[T], Row], default: int, most: int) -> Row:
        """Return one page of ``found``, the cursor being the place of the next one."""
        size = self.params.limit(default, most)
        begin = max(0, self.params.integer("cursor", 0))
        page = list(islice(found, begin, begin + size + 1))
        cursor = str(begin + size) if len(page) > size else ""
        return self.listing([show(one) for one in page[:size]], cursor)

    def newest(self, found: Iterable[N], show: Callable[[N], Row], default: int, most: int) -> Row:
        """Return one page of ``found``, newest first, the cursor being the number it ended with.

        So nothing is shown twice or missed where something new arrives between two pages.
        """
        size = self.params.limit(default, most)
        before = self.params.integer("cursor", INTEGER_MAX)
        page = list(islice((one for one in found if one.number < before), size + 1))
        cursor = str(page[size - 1].number) if len(page) > size else ""
        return self.listing([show(one) for one in page[:size]], cursor)


Endpoint = Callable[[Call], Row]
