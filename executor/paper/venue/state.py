"""Everything the venue core knows at one moment.

Decides ids, sequence numbers and the order of events. Never judges a request and never moves a
price. Rule: ids are functions of the seed and of a counter, time is what the caller set, so the
same requests in the same order give the same events to the byte.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b

from executor.paper.venue.account import Account
from executor.paper.venue.errors import PARAMS_ERROR, VenueError
from executor.paper.venue.events import Event, Executed
from executor.paper.venue.instruments import Instrument, by_symbol
from executor.paper.venue.orders import KEPT, ZERO, OrderTable, PositionKey
from executor.paper.venue.positions import Position
from executor.paper.venue.tampering import Tampering
from features.costs import Costs


@dataclass(slots=True)
class VenueState:
    """The one mutable object of the core; the functions beside it are the only ones to change it.

    ``liquidity`` holds the base quantity that one order may still take in this bar; a symbol that
    is not in it has no limit. ``holders`` are the positions in a symbol that are not flat,
    ``stressed`` the accounts whose margin something other than a price has changed since the last
    sweep (``liquidation.sweep``).
    """

    seed: int
    costs: Costs
    instruments: dict[str, Instrument]
    accounts: dict[str, Account] = field(default_factory=dict)
    orders: OrderTable = field(default_factory=OrderTable)
    prices: dict[str, Decimal] = field(default_factory=dict)
    volatility: dict[str, float] = field(default_factory=dict)
    liquidity: dict[str, Decimal] = field(default_factory=dict)
    takers: list[str] = field(default_factory=list)
    executions: deque[Executed] = field(default_factory=lambda: deque(maxlen=KEPT))
    holders: dict[str, dict[PositionKey, None]] = field(default_factory=dict)
    stressed: set[str] = field(default_factory=set)
    tampering: Tampering = field(default_factory=Tampering)
    insurance: Decimal = ZERO
    now_ms: int = 0
    numbers: int = 0
    events: list[Event] = field(default_factory=list)

    def next_number(self) -> int:
        """Return the next sequence number."""
        self.numbers += 1
        return self.numbers

    def identifier(self, kind: str, number: int) -> str:
        """Return the id of the ``number``-th thing, in the form of a UUID."""
        digest = blake2b(f"{self.seed}/{kind}/{number}".encode(), digest_size=16).hexdigest()
        return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))

    def instrument(self, symbol: str) -> Instrument:
        """Return the instrument, or refuse a symbol that is not listed."""
        found = self.instruments.get(symbol)
        if found is None:
            raise VenueError(PARAMS_ERROR, "params error: symbol invalid")
        return found

    def move(self, symbol: str, price: Decimal) -> None:
        """Set the last price of ``symbol``."""
        self.prices[symbol] = price
        for key in self.holders.get(symbol, ()):
            self.accounts[key.account].moved.add(key)

    def note(self, account: Account, position: Position) -> None:
        """Keep what is known of open positions after a fill of ``position``."""
        account.note(position)
        self.stressed.add(account.name)
        here = self.holders.setdefault(position.key.symbol, {})
        if position.quantity:
            here.setdefault(position.key)
        else:
            here.pop(position.key, None)

    def drain(self) -> list[Event]:
        """Return the events since the last drain, oldest first."""
        events, self.events = self.events, []
        return events


def new_state(seed: int, costs: Costs, instruments: Iterable[Instrument]) -> VenueState:
    """Return a venue without accounts and without prices."""
    return VenueState(seed=seed, costs=costs, instruments=by_symbol(instruments))
