"""Our orders at the venue: what they are, and where they are found.

Decides an order's fields and states and keeps every order by id, by link id and by position.
Never changes a position or a wallet. Rule: an order is frozen; a change is a new value saved in
the table, so that whatever was sent to a client stays what it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

ZERO = Decimal(0)
FALLING = 2
RISING = 1
# Finished orders, executions and log lines that are kept: the venue forgets, too.
KEPT = 50_000


class Side(StrEnum):
    """Direction of an order."""

    BUY = "Buy"
    SELL = "Sell"

    @property
    def sign(self) -> int:
        """1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The side that closes what this side opened."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Status(StrEnum):
    """States of an order, in the venue's words."""

    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    UNTRIGGERED = "Untriggered"
    TRIGGERED = "Triggered"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    PARTIALLY_FILLED_CANCELED = "PartiallyFilledCanceled"
    DEACTIVATED = "Deactivated"
    REJECTED = "Rejected"


LIVE = frozenset({Status.NEW, Status.PARTIALLY_FILLED, Status.UNTRIGGERED, Status.TRIGGERED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """Stop-loss and take-profit wanted with an order or for a position; zero is none.

    ``partial`` exits close the order's own quantity, others the whole position. A limit price
    makes the exit a limit order once it is triggered.
    """

    stop_loss: Decimal = ZERO
    take_profit: Decimal = ZERO
    partial: bool = False
    stop_limit: Decimal = ZERO
    take_limit: Decimal = ZERO


NO_BRACKET = Bracket()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """An order as a client asks for it; ``price`` is zero for a market order."""

    symbol: str
    side: Side
    is_market: bool
    quantity: Decimal
    price: Decimal = ZERO
    time_in_force: str = "GTC"
    link_id: str = ""
    reduce_only: bool = False
    close_on_trigger: bool = False
    position_idx: int = 0
    trigger_price: Decimal = ZERO
    trigger_direction: int = 0
    bracket: Bracket = NO_BRACKET


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order in one state. Prices and trails are zero where they do not apply."""

    order_id: str
    number: int
    account: str
    symbol: str
    side: Side
    is_market: bool
    quantity: Decimal
    price: Decimal
    time_in_force: str
    link_id: str
    reduce_only: bool
    close_on_trigger: bool
    position_idx: int
    trigger_price: Decimal
    trigger_direction: int
    bracket: Bracket
    stop_kind: str
    create_type: str
    status: Status
    last_on_created: Decimal
    created_ms: int
    updated_ms: int
    trail: Decimal = ZERO
    active_price: Decimal = ZERO
    filled: Decimal = ZERO
    filled_value: Decimal = ZERO
    fee: Decimal = ZERO
    cancel_type: str = "UNKNOWN"
    reject_reason: str = "EC_NoError"

    @property
    def left(self) -> Decimal:
        """Quantity still to fill."""
        return self.quantity - self.filled

    @property
    def is_open(self) -> bool:
        """Whether the order can still fill or be cancelled."""
        return self.status in LIVE

    @property
    def key(self) -> "PositionKey":
        """The position that the order acts on."""
        return PositionKey(self.account, self.symbol, self.position_idx)


@dataclass(frozen=True, slots=True, order=True)
class PositionKey:
    """One position of one account: index 0 one-way, 1 long and 2 short in hedge mode."""

    account: str
    symbol: str
    idx: int


@dataclass(slots=True)
class OrderTable:
    """All live orders, also by account and by the position they act on, and ``KEPT`` others.

    ``stale`` are, by account, the positions whose orders have changed since it was last emptied.
    """

    by_id: dict[str, Order] = field(default_factory=dict)
    links: dict[tuple[str, str], str] = field(default_factory=dict)
    live: dict[PositionKey, dict[str, None]] = field(default_factory=dict)
    by_account: dict[str, dict[str, None]] = field(default_factory=dict)
    keys: dict[str, dict[PositionKey, None]] = field(default_factory=dict)
    stale: dict[str, set[PositionKey]] = field(default_factory=dict)

    def save(self, order: Order) -> Order:
        """Store ``order`` as the newest state of its id."""
        self.by_id[order.order_id] = order
        if order.link_id:
            self.links[order.account, order.link_id] = order.order_id
        key = order.key
        self.stale.setdefault(order.account, set()).add(key)
        at_key = self.live.setdefault(key, {})
        of_account = self.by_account.setdefault(order.account, {})
        if order.is_open:
            at_key.setdefault(order.order_id)
            self.keys.setdefault(order.symbol, {}).setdefault(key)
            of_account.setdefault(order.order_id)
        else:
            at_key.pop(order.order_id, None)
            of_account.pop(order.order_id, None)
            if not at_key:
                del self.live[key]
                self.keys.get(order.symbol, {}).pop(key, None)
            if len(self.by_id) > KEPT + KEPT // 10:
                self._forget()
        return order

    def _forget(self) -> None:
        """Drop the oldest finished orders beyond ``KEPT``, and their link ids."""
        finished = [order for order in self.by_id.values() if not order.is_open]
        for order in finished[: max(0, len(self.by_id) - KEPT)]:
            del self.by_id[order.order_id]
            self.links.pop((order.account, order.link_id), None)

    def touch(self, account: str, symbol: str) -> None:
        """Note that what the orders of a symbol bind has changed."""
        touched = [key for key in self.keys.get(symbol, ()) if key.account == account]
        self.stale.setdefault(account, set()).update(touched)

    def find(self, account: str, order_id: str, link_id: str) -> Order | None:
        """Return the account's order by id or, where that is empty, by link id."""
        wanted = order_id or self.links.get((account, link_id), "")
        order = self.by_id.get(wanted)
        return order if order is not None and order.account == account else None

    def open_at(self, key: PositionKey) -> list[Order]:
        """Return the live orders of one position, oldest first."""
        return [self.by_id[order_id] for order_id in self.live.get(key, ())]

    def count_at(self, key: PositionKey) -> int:
        """Return how many orders of one position are live."""
        return len(self.live.get(key, ()))

    def open_of(self, account: str) -> Iterator[Order]:
        """Yield the live orders of one account, oldest first."""
        yield from [self.by_id[order_id] for order_id in self.by_account.get(account, ())]
