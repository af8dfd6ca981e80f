"""One position and what a fill does to it.

Decides size, entry value and realised profit. Never touches a wallet or an order. Rule: money is
exact: what leaves ``entry_value`` on a close is what the profit is reckoned from, so the sum of
realised and open profit always equals the cash that went in and out.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from executor.paper.venue.orders import ZERO, PositionKey, Side

CENT = Decimal("0.00000001")


def to_cent(amount: Decimal) -> Decimal:
    """Return ``amount`` rounded to the eight decimals in which the venue keeps money."""
    return amount.quantize(CENT, ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How a fill divides: the part that closes, the part that opens, the profit realised."""

    closed: Decimal
    opened: Decimal
    profit: Decimal


@dataclass(slots=True, kw_only=True)
class Position:
    """A position; ``quantity`` is signed (above 0 long), ``entry_value`` is its cost, unsigned.

    ``entry_fee`` is what opening the quantity held has cost.
    """

    key: PositionKey
    quantity: Decimal = ZERO
    entry_value: Decimal = ZERO
    entry_fee: Decimal = ZERO
    margin: Decimal = ZERO
    stop_loss: Decimal = ZERO
    take_profit: Decimal = ZERO
    trail: Decimal = ZERO
    active_price: Decimal = ZERO
    realised: Decimal = ZERO
    realised_total: Decimal = ZERO
    created_ms: int = 0
    updated_ms: int = 0

    @property
    def sign(self) -> int:
        """1 long, -1 short, 0 flat."""
        return (self.quantity > 0) - (self.quantity < 0)

    @property
    def size(self) -> Decimal:
        """Quantity without its sign."""
        return abs(self.quantity)

    @property
    def side(self) -> Side | None:
        """Side that opened the position; none when flat."""
        if not self.quantity:
            return None
        return Side.BUY if self.quantity > 0 else Side.SELL

    @property
    def entry_price(self) -> Decimal:
        """Mean entry price; zero when flat."""
        return self.entry_value / self.size if self.quantity else ZERO

    def profit_at(self, price: Decimal) -> Decimal:
        """Return the open profit at ``price``, quote currency."""
        return self.quantity * price - self.sign * self.entry_value

    def apply(self, side: Side, quantity: Decimal, price: Decimal, now_ms: int) -> Split:
        """Take a fill of ``quantity`` at ``price`` into the position."""
        closed = min(quantity, self.size) if self.sign == -side.sign else ZERO
        opened = quantity - closed
        profit = ZERO
        if closed:
            released = self.entry_value
            if closed < self.size:
                released = to_cent(self.entry_value * closed / self.size)
            profit = self.sign * (closed * price - released)
            self.entry_value -= released
            self.quantity += side.sign * closed
        if opened:
            if not self.quantity:
                self.created_ms = now_ms
                self.realised = ZERO
            self.entry_value += opened * price
            self.quantity += side.sign * opened
        self.updated_ms = now_ms
        return Split(closed=closed, opened=opened, profit=profit)

    def share_fee(self, fee: Decimal, split: Split) -> tuple[Decimal, Decimal]:
        """Take the fee of a fill just applied; return what opening and closing its end cost."""
        closing = to_cent(fee * split.closed / (split.closed + split.opened))
        opening = self.entry_fee
        left = self.size - split.opened
        if left:
            opening = to_cent(self.entry_fee * split.closed / (left + split.closed))
        if not split.closed:
            opening = ZERO
        self.entry_fee += fee - closing - opening
        return opening, closing

    def clear_exits(self) -> None:
        """Forget the exits of a position that is flat or has turned."""
        self.stop_loss = self.take_profit = self.trail = self.active_price = ZERO
