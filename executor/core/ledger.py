"""What we hold and what we are worth, from fills, fees and funding alone.

Decides how an execution changes a position, when a round trip is over and what it brought. Never
asks the wallet: sizes come from here, so that every run over the same fills is the same run.
Rule: equity = cash + unrealised, always; cash = start + realised - fees + funding; quantities are
rounded to twelve decimals after every sum, so that lots stay lots.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from executor.core.events import FundingPaid
from executor.core.types import Fill, Position, Trade
from features.exit_plan import ExitPlan

DECIMALS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What is known of a position beside its fills, at the moment it opens."""

    entry_id: str
    origin: str
    decided_ms: int
    deadline_ms: int
    reference_price: float
    stop_price: float
    take_price: float
    profit: float = 0.0
    loss: float = 0.0
    plan: ExitPlan = field(default_factory=ExitPlan)
    probability: float = 0.0
    confidence: float = 0.0
    regime: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What a fill did: quantities opened and closed, and the trade it ended."""

    opened: float = 0.0
    closed: float = 0.0
    trade: Trade | None = None


@dataclass(slots=True, kw_only=True)
class Ledger:
    """Cash and open positions. Changed only by ``step``.

    ``marks`` are the last known prices; a symbol without one is valued at its entry price.
    """

    start: float
    cash: float
    realised: float = 0.0
    fees: float = 0.0
    funding: float = 0.0
    positions: dict[str, Position] = field(default_factory=dict)
    marks: dict[str, float] = field(default_factory=dict)

    def mark(self, position: Position) -> float:
        """Return the last known price of a position's symbol."""
        return self.marks.get(position.symbol, position.entry_price)

    def unrealised(self) -> float:
        """Return the open result of all positions at the marks, gross."""
        total = 0.0
        for position in self.positions.values():
            move = self.mark(position) - position.entry_price
            total += position.side * move * position.quantity
        return total

    def equity(self) -> float:
        """Return what the account is worth at the marks."""
        return self.cash + self.unrealised()

    def exposure(self, symbol: str) -> float:
        """Return the signed notional of a position at its mark, 0 where there is none."""
        position = self.positions.get(symbol)
        if position is None:
            return 0.0
        return position.side * position.quantity * self.mark(position)

    def apply_fill(self, fill: Fill, opening: Opening, reason: str) -> Booked:
        """Book one execution; ``opening`` is used for what it opens, ``reason`` for what it ends.

        A fill against a position closes first; what is left over opens the other way.
        """
        self.cash -= fill.fee
        self.fees += fill.fee
        self.marks.setdefault(fill.symbol, fill.price)
        position = self.positions.get(fill.symbol)
        if position is None or position.side == fill.side:
            self._open(fill, fill.quantity, fill.fee, opening)
            return Booked(opened=fill.quantity)
        closed = min(fill.quantity, position.quantity)
        left = round(fill.quantity - closed, DECIMALS)
        paid = fill.fee * (closed / fill.quantity)
        after = self._reduce(position, fill, closed, paid)
        trade = None if after.quantity > 0.0 else round_trip(after, fill.time_ms, reason)
        if left > 0.0:
            self._open(fill, left, fill.fee - paid, opening)
        return Booked(opened=left, closed=closed, trade=trade)

    def apply_funding(self, paid: FundingPaid) -> None:
        """Book a settlement, on the position where one is open."""
        self.cash += paid.amount
        self.funding += paid.amount
        position = self.positions.get(paid.symbol)
        if position is not None:
            funding = position.funding + paid.amount
            self.positions[paid.symbol] = replace(position, funding=funding)

    def drop(self, symbol: str, price: float, time_ms: int, reason: str) -> Trade:
        """Close a position that is gone at the venue, at ``price``; its fees are unknown."""
        position = self.positions[symbol]
        gone = Fill(
            fill_id="",
            symbol=symbol,
            side=-position.side,
            quantity=position.quantity,
            price=price,
            fee=0.0,
            time_ms=time_ms,
            client_order_id="",
        )
        after = self._reduce(position, gone, position.quantity, 0.0)
        return round_trip(after, time_ms, reason)

    def _open(self, fill: Fill, quantity: float, paid: float, opening: Opening) -> None:
        held = self.positions.get(fill.symbol)
        if held is None:
            self.positions[fill.symbol] = Position(
                symbol=fill.symbol,
                side=fill.side,
                quantity=quantity,
                entry_price=fill.price,
                stop_price=opening.stop_price,
                take_price=opening.take_price,
                opened_ms=fill.time_ms,
                decided_ms=opening.decided_ms,
                deadline_ms=opening.deadline_ms,
                entry_id=opening.entry_id,
                quantity_opened=quantity,
                reference_price=opening.reference_price,
                profit=opening.profit,
                loss=opening.loss,
                plan=opening.plan,
                best_price=opening.reference_price,
                fees=paid,
                probability=opening.probability,
                confidence=opening.confidence,
                regime=opening.regime,
                origin=opening.origin,
            )
            return
        total = round(held.quantity + quantity, DECIMALS)
        price = (held.entry_price * held.quantity + fill.price * quantity) / total
        opened = round(held.quantity_opened + quantity, DECIMALS)
        self.positions[fill.symbol] = replace(
            held,
            quantity=total,
            entry_price=price,
            quantity_opened=opened,
            fees=held.fees + paid,
        )

    def _reduce(self, position: Position, fill: Fill, closed: float, paid: float) -> Position:
        """Take ``closed`` out of a position; one that is empty is no longer held."""
        gross = position.side * (fill.price - position.entry_price) * closed
        self.cash += gross
        self.realised += gross
        after = replace(
            position,
            quantity=round(position.quantity - closed, DECIMALS),
            realised=position.realised + gross,
            exit_value=position.exit_value + fill.price * closed,
            fees=position.fees + paid,
        )
        if after.quantity > 0.0:
            self.positions[position.symbol] = after
        else:
            del self.positions[position.symbol]
        return after


def round_trip(position: Position, closed_ms: int, reason: str) -> Trade:
    """Return the record of a position that is fully closed."""
    quantity = position.quantity_opened
    exit_price = position.exit_value / quantity
    # The average entry of all that was opened: exact also where a part left before another came.
    entry_value = position.exit_value - position.side * position.realised
    pnl = position.realised - position.fees + position.funding
    return Trade(
        symbol=position.symbol,
        side=position.side,
        quantity=quantity,
        entry_price=entry_value / quantity,
        exit_price=exit_price,
        gross=position.realised,
        fees=position.fees,
        funding=position.funding,
        pnl=pnl,
        net_return=pnl / entry_value,
        probability=position.probability,
        confidence=position.confidence,
        regime=position.regime,
        opened_ms=position.opened_ms,
        closed_ms=closed_ms,
        reason=reason,
        entry_id=position.entry_id,
    )
