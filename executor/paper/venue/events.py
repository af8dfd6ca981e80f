"""What the venue tells the world: the private streams as values.

Decides the content of an order, execution, position and wallet message. Never formats one
(``replies`` does). Rule: an event is a snapshot of the moment; nothing in it changes later.
"""

from dataclasses import dataclass
from decimal import Decimal

from executor.paper.venue.orders import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanged:
    """An order reached a new state; ``profit`` is what its fills realised."""

    account: str
    order: Order
    profit: Decimal
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """One execution; ``kind`` is Trade, Funding, BustTrade or AdlTrade, ``rate`` its fee rate."""

    account: str
    execution_id: str
    number: int
    order: Order
    kind: str
    price: Decimal
    quantity: Decimal
    value: Decimal
    fee: Decimal
    rate: Decimal
    closed: Decimal
    profit: Decimal
    mark: Decimal
    is_maker: bool
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionChanged:
    """A position as it stands; margin figures in quote currency, ``side`` is empty when flat."""

    account: str
    number: int
    symbol: str
    idx: int
    side: str
    size: Decimal
    entry_price: Decimal
    value: Decimal
    leverage: Decimal
    mark: Decimal
    liquidation: Decimal
    bankruptcy: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    balance: Decimal
    take_profit: Decimal
    stop_loss: Decimal
    trail: Decimal
    unrealised: Decimal
    realised: Decimal
    realised_total: Decimal
    isolated: bool
    status: str
    tier: int
    tier_limit: Decimal
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletChanged:
    """An account's totals, quote currency."""

    account: str
    wallet: Decimal
    equity: Decimal
    unrealised: Decimal
    position_margin: Decimal
    order_margin: Decimal
    maintenance_margin: Decimal
    realised_total: Decimal
    margin_mode: str
    time_ms: int

    @property
    def available(self) -> Decimal:
        """Money free for new orders; never below zero."""
        free = self.equity - self.position_margin - self.order_margin
        return max(free, Decimal(0))


Event = OrderChanged | Executed | PositionChanged | WalletChanged
