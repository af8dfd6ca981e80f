"""What may happen to the decision core: the nine events of ``step``.

Decides the shape of every input, so that a journal of events replays to the same decisions. Never
interprets one. Rule: an event carries everything its handling needs; market time orders events,
and facts of wall time come in only as the plain values of :class:`GateFacts`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from executor.core.model import Model
from executor.core.types import Bar, Fill, OrderStatus
from features.signals import Signal, SignalParams, primary_signal
from features.types import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFacts:
    """Facts of wall time and of the outside that the pre-trade gate checks, as plain values.

    The shell measures them and journals them with the event, so that a replay sees the same.
    ``mark_prices`` may lack a symbol: then the collar has nothing to compare with and passes.
    """

    lease_margin_ms: int = 1_000_000
    halted_outside: bool = False
    reconciled_age_ms: int = 0
    signal_age_ms: int = 0
    data_age_ms: int = 0
    clock_offset_ms: int = 0
    model_promoted: bool = True
    bundle_verified: bool = True
    config_matches: bool = True
    free_margin: float = float("inf")
    mark_prices: Mapping[str, float] = field(default_factory=dict)


HEALTHY = GateFacts()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarClosed:
    """All symbols of one close, with the opening price of the bar that begins now."""

    close_ms: int
    bars: tuple[Bar, ...]
    facts: GateFacts = HEALTHY

    def by_symbol(self) -> Mapping[str, Bar]:
        """Return the bars by symbol."""
        return {bar.symbol: bar for bar in self.bars}

    def prices(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return close and volume by symbol; a close that is no price is left out."""
        prices = {
            bar.symbol: price for bar in self.bars if 0.0 < (price := bar.candle.close) < math.inf
        }
        return prices, {bar.symbol: bar.candle.volume for bar in self.bars}

    def signalled(
        self, columns: Mapping[str, int], params: SignalParams
    ) -> list[tuple[Bar, FloatArray, Signal]]:
        """Return bar, feature row and signal where a primary signal fires."""
        found = []
        for bar in self.bars:
            row = bar.features
            if row is not None:
                signal = primary_signal(row, columns, params)
                if signal.side:
                    found.append((bar, row, signal))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FillReceived:
    """The venue executed something on our account."""

    fill: Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUpdated:
    """An order of ours changed state, at the venue or in our own hands."""

    client_order_id: str
    symbol: str
    status: OrderStatus
    time_ms: int
    venue_order_id: str = ""
    filled_quantity: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingPaid:
    """A funding settlement on an open position: ``amount`` is what our cash gained (may be < 0)."""

    symbol: str
    time_ms: int
    amount: float
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VenuePosition:
    """A position as the venue reports it; prices of 0 mean not set."""

    symbol: str
    side: int
    quantity: float
    entry_price: float
    stop_price: float
    take_price: float
    mark_price: float = 0.0
    liquidation_price: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An open order as the venue reports it."""

    symbol: str
    client_order_id: str
    venue_order_id: str
    side: int
    quantity: float
    filled_quantity: float
    price: float
    reduce_only: bool
    protective: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueSnapshot:
    """Everything the venue says of us, taken as one. Made only from successful queries."""

    time_ms: int
    wallet_balance: float
    positions: tuple[VenuePosition, ...]
    orders: tuple[VenueOrder, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelSwapped:
    """A verified model takes over between two bars; None means trading without any (no entry)."""

    model: Model | None
    version: str
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A person's order. ``name`` is one of ``contract.CommandName``."""

    name: str
    time_ms: int
    who: str = ""
    arguments: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time passed without a bar. Changes no trading decision; expires what must expire."""

    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HistoryLoaded:
    """Past closes, ascending, that the memories need after a start. Nothing is decided on them."""

    closes: tuple[BarClosed, ...]


Event = (
    BarClosed
    | FillReceived
    | OrderUpdated
    | FundingPaid
    | VenueSnapshot
    | ModelSwapped
    | Command
    | HistoryLoaded
    | Tick
)
