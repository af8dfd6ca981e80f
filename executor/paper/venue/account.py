"""An account: its wallet, its positions and its settings.

Decides nothing; holds what the other modules of the venue change. Rule: every change of ``wallet``
goes through ``book``, which also adds the amount to the total of its kind, so that wallet =
deposits + realised - fees + funding + insured at every moment.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from executor.paper.venue.orders import KEPT, ZERO, PositionKey
from executor.paper.venue.positions import Position

LEVERAGE_DEFAULT = Decimal(10)
CROSS = "REGULAR_MARGIN"
ISOLATED = "ISOLATED_MARGIN"
PORTFOLIO = "PORTFOLIO_MARGIN"


class Booking(StrEnum):
    """Why money moved."""

    DEPOSIT = "TRANSFER_IN"
    TRADE = "TRADE"
    FEE = "FEE"
    FUNDING = "SETTLEMENT"
    INSURED = "INSURED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the transaction log; ``funding`` is what the account gained by it."""

    number: int
    kind: Booking
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    funding: Decimal
    cash: Decimal
    balance: Decimal
    size_after: Decimal
    rate: Decimal
    order_id: str
    link_id: str
    trade_id: str
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedProfit:
    """One line of the closed profits: what a reducing fill realised after both fees."""

    number: int
    symbol: str
    order_id: str
    side: str
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    profit: Decimal
    open_fee: Decimal
    close_fee: Decimal
    leverage: Decimal
    kind: str
    exec_type: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What one position adds to its account's totals at the last price, quote currency."""

    profit: Decimal
    maintenance: Decimal
    initial: Decimal


@dataclass(slots=True, kw_only=True)
class Account:
    """One account; ``api_key`` and ``secret`` sign its requests.

    ``held`` are the positions that are not flat. ``standing`` is what each of them adds to the
    totals, ``moved`` those whose standing must be reckoned anew (``margin.reckon``); ``bound`` is
    the margin that resting orders bind, by position (``margin.order_margin``).
    """

    name: str
    api_key: str
    secret: str
    taker_fee: float
    maker_fee: float
    wallet: Decimal = ZERO
    booked: dict[Booking, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    positions: dict[PositionKey, Position] = field(default_factory=dict)
    held: dict[PositionKey, Position] = field(default_factory=dict)
    standing: dict[PositionKey, Standing] = field(default_factory=dict)
    moved: set[PositionKey] = field(default_factory=set)
    profit_total: Decimal = ZERO
    maintenance_total: Decimal = ZERO
    initial_total: Decimal = ZERO
    realised_total: Decimal = ZERO
    bound: dict[PositionKey, Decimal] = field(default_factory=dict)
    bound_total: Decimal = ZERO
    leverage: dict[str, Decimal] = field(default_factory=dict)
    hedged: set[str] = field(default_factory=set)
    margin_mode: str = CROSS
    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=KEPT))
    closed: deque[ClosedProfit] = field(default_factory=lambda: deque(maxlen=KEPT))

    def book(self, kind: Booking, amount: Decimal) -> None:
        """Move ``amount`` into the wallet (below 0: out of it)."""
        self.wallet += amount
        self.booked[kind] += amount

    def leverage_of(self, symbol: str) -> Decimal:
        """Return the leverage set for ``symbol``."""
        return self.leverage.get(symbol, LEVERAGE_DEFAULT)

    def indices(self, symbol: str) -> tuple[int, ...]:
        """Return the position indices of ``symbol`` in the account's position mode."""
        return (1, 2) if symbol in self.hedged else (0,)

    def position(self, symbol: str, idx: int) -> Position:
        """Return the position, making a flat one where there is none yet."""
        key = PositionKey(self.name, symbol, idx)
        found = self.positions.get(key)
        if found is None:
            found = self.positions[key] = Position(key=key)
        return found

    def open_positions(self) -> list[Position]:
        """Return the positions that are not flat, by symbol and index."""
        return sorted(self.held.values(), key=lambda p: (p.key.symbol, p.key.idx))

    def held_in(self, symbol: str) -> list[Position]:
        """Return the positions in ``symbol`` that are not flat, by index."""
        keys = (PositionKey(self.name, symbol, idx) for idx in self.indices(symbol))
        return [self.held[key] for key in keys if key in self.held]

    def realise(self, position: Position, amount: Decimal) -> None:
        """Add ``amount`` to what ``position`` has realised."""
        position.realised += amount
        position.realised_total += amount
        self.realised_total += amount

    def note(self, position: Position) -> None:
        """Keep ``held`` after a fill of ``position``."""
        self.moved.add(position.key)
        if position.quantity:
            self.held[position.key] = position
        else:
            self.held.pop(position.key, None)
