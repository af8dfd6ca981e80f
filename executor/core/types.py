"""The types that flow through the decision core.

Decides the words: what an instrument, a bar, an intent, a fill, a position and a trade are, what
our answer to an event holds. Never computes and never holds a mutable thing.
Rule: frozen, slotted, keyword-only; sides are +1 (buy, long) and -1 (sell, short); times are int
UTC milliseconds of market time; money is quote currency; rates and returns are fractions.
"""

import math
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from features.errors import InputError
from features.exit_plan import ExitPlan
from features.types import Candle, FloatArray


class Side(IntEnum):
    """Direction of an order (buy, sell) and of a position (long, short)."""

    BUY = 1
    SELL = -1


class Leg(StrEnum):
    """What an order is for; the last part of its client order id."""

    ENTRY = "e"
    EXIT = "x"
    PARTIAL_1 = "p1"
    STOP = "s"
    KILL = "k"
    RECONCILE = "r"


class FillKind(StrEnum):
    """How a fill came about, as the venue says it."""

    ORDER = "order"
    STOP = "stop"
    TAKE = "take"
    LIQUIDATION = "liquidation"


class OrderStatus(StrEnum):
    """States of an order; ``core.orders`` holds the table of legal moves."""

    INTENDED = "INTENDED"
    SUBMITTED = "SUBMITTED"
    UNKNOWN = "UNKNOWN"
    ACCEPTED = "ACCEPTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What the venue says of one contract. ``lot`` and ``quantity_min`` are in base units."""

    symbol: str
    tick: float
    lot: float
    quantity_min: float
    notional_min: float
    leverage_max: float
    quantity_max: float = 1e18
    trading: bool = True

    def __post_init__(self) -> None:
        for name in ("tick", "lot", "leverage_max", "quantity_max"):
            value = getattr(self, name)
            if not 0.0 < value < math.inf:
                raise InputError(f"{self.symbol}: {name} is {value}; leave the symbol out")
        for name in ("quantity_min", "notional_min"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise InputError(f"{self.symbol}: {name} is {value}; leave the symbol out")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bar:
    """One symbol at a bar close: the closed candle and the first price of the next bar."""

    symbol: str
    candle: Candle
    next_open: float
    features: FloatArray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIntent:
    """An order that the core wants. ``price`` 0 means market; stops of 0 mean none attached."""

    client_order_id: str
    symbol: str
    side: int
    quantity: float
    reduce_only: bool
    reason: str
    leg: Leg
    close_ms: int
    reference_price: float
    price: float = 0.0
    stop_price: float = 0.0
    take_price: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Protect:
    """The stop and take that must rest at the venue on a position; 0 leaves a price alone."""

    client_order_id: str
    symbol: str
    side: int
    stop_price: float
    take_price: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelIntent:
    """An order that the core wants gone, by either id."""

    symbol: str
    client_order_id: str
    venue_order_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An entry that we did not send, and why (a code of ``contract.Refusal``)."""

    symbol: str
    close_ms: int
    side: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a person or the journal should know. ``code`` is of ``contract.NoticeCode``."""

    code: str
    symbol: str
    text: str
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The record of one decision: its inputs, the probability, the verdict and the reason.

    Of the size that the formulas gave, ``size_share`` was bet: less while a model is new, and where
    the learned regime's ``market_forecast`` (up, down, "" for none) is trusted and speaks against.
    """

    close_ms: int
    symbol: str
    verdict: str
    reason: str
    side: int
    score: float
    confidence: float
    rule: int
    probability: float
    expected_net: float
    standard_error: float
    quantity: float
    regime: str
    volatility: float
    equity: float
    reference_price: float
    stop_price: float
    take_price: float
    client_order_id: str
    model: str
    size_share: float = 1.0
    market_forecast: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution. ``fee`` is positive when paid; ``client_order_id`` is "" where unknown."""

    fill_id: str
    symbol: str
    side: int
    quantity: float
    price: float
    fee: float
    time_ms: int
    client_order_id: str
    kind: FillKind = FillKind.ORDER
    reduce_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """An open position and all that its trade record will need.

    ``quantity`` is what is still open, ``quantity_opened`` what was ever opened; ``realised``
    is the gross result of the part already closed, ``exit_value`` its turnover. The exit ``plan``
    acts on ``reference_price`` (the open at which the entry was decided), the barriers' fractions
    ``profit`` and ``loss``, ``best_price`` and ``partial_filled``. ``origin`` is "signal" or
    "exchange"; ``naked_since_ms`` is when the venue first showed it without a stop (0 = never), and
    ``protect_tries`` how often in a row the venue showed another stop than ours.
    """

    symbol: str
    side: int
    quantity: float
    entry_price: float
    stop_price: float
    take_price: float
    opened_ms: int
    decided_ms: int
    deadline_ms: int
    entry_id: str
    quantity_opened: float
    reference_price: float
    profit: float = 0.0
    loss: float = 0.0
    plan: ExitPlan = field(default_factory=ExitPlan)
    best_price: float = 0.0
    partial_filled: bool = False
    realised: float = 0.0
    exit_value: float = 0.0
    fees: float = 0.0
    funding: float = 0.0
    probability: float = 0.0
    confidence: float = 0.0
    regime: str = ""
    origin: str = "signal"
    stop_verified: bool = False
    naked_since_ms: int = 0
    protect_tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A round trip. ``pnl`` is net of fees and funding; ``net_return`` is per entry notional."""

    symbol: str
    side: int
    quantity: float
    entry_price: float
    exit_price: float
    gross: float
    fees: float
    funding: float
    pnl: float
    net_return: float
    probability: float
    confidence: float
    regime: str
    opened_ms: int
    closed_ms: int
    reason: str
    entry_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order of ours as far as we know it."""

    intent: OrderIntent
    status: OrderStatus
    filled_quantity: float = 0.0
    venue_order_id: str = ""
    updated_ms: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one step wants done and known. The shell carries it out and decides nothing."""

    intents: tuple[OrderIntent, ...] = ()
    protections: tuple[Protect, ...] = ()
    cancels: tuple[CancelIntent, ...] = ()
    refusals: tuple[Refused, ...] = ()
    notices: tuple[Notice, ...] = ()
    decisions: tuple[Decision, ...] = ()
    trades: tuple[Trade, ...] = ()


NOTHING = Outcome()
