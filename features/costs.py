"""What a round trip costs: fees, slippage and funding.

Decides the slippage of a market order, which settlements a position pays and the net return of a
trade. Labels, the simulation, the paper exchange and the sizing all use these functions, so a
label's net return is what the ledger would book. Never rounds to ticks (``core.fills`` does).
Rule: fractions of the reference price (the open at which the entry was decided), plain arithmetic
only, the same source interpreted and compiled; volatility is always that of the last *closed* bar
before the fill (``volatility_96``), never of the bar in which the fill happens.
"""

import math
from dataclasses import dataclass, fields

from features.errors import InputError

SETTLEMENT_GRID_MS = 60_000
FUNDING_INTERVAL_MS = 28_800_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Fees and slippage as fractions; ``slippage_volatility`` multiplies the per-bar volatility.

    ``take_profit_is_market`` says how a take-profit leaves: attached to the position, which the
    venue executes as a market order (taker fee and slippage), or as a resting limit order (maker
    fee, no slippage, filled only when traded through by a tick).
    """

    taker_fee: float = 0.0005
    maker_fee: float = 0.0002
    slippage_base: float = 0.0001
    slippage_volatility: float = 0.1
    take_profit_is_market: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = float(getattr(self, field.name))
            # A maker fee may be a rebate; nothing else may be negative.
            if not math.isfinite(value) or (value < 0.0 and field.name != "maker_fee"):
                raise InputError(f"costs: {field.name} is {value}; give a fraction of 0 or more")

    @property
    def take_profit_fee(self) -> float:
        """Fee of the order that takes the profit, fraction."""
        return self.taker_fee if self.take_profit_is_market else self.maker_fee


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatFunding:
    """A constant rate at every settlement, for when no history exists and a person says so."""

    rate: float
    interval_ms: int = FUNDING_INTERVAL_MS

    def __post_init__(self) -> None:
        if not math.isfinite(self.rate):
            raise InputError(f"flat funding: rate is {self.rate}; give a fraction per settlement")
        if self.interval_ms <= 0 or self.interval_ms % SETTLEMENT_GRID_MS:
            raise InputError(
                f"flat funding: interval_ms is {self.interval_ms}; give whole minutes above 0"
            )


def slippage(base: float, coefficient: float, volatility: float) -> float:
    """Return the slippage of a market order as a fraction of the price.

    Parameters
    ----------
    base, coefficient : float
        Fraction, and fraction per unit of per-bar volatility.
    volatility : float
        ``volatility_96`` of the last closed bar before the fill, fraction per bar.
    """
    return base + coefficient * volatility


def slipped_price(price: float, direction: int, slipped: float) -> float:
    """Return ``price`` moved against an order: up for a buy (direction 1), down for a sell (-1)."""
    return price * (1.0 + direction * slipped)


def pays_settlement(entry_ms: int, exit_ms: int, settled_ms: int) -> bool:
    """Say whether a position held from ``entry_ms`` to ``exit_ms`` pays a settlement.

    Those open at the instant of settlement pay: an entry at exactly the settlement does not (its
    order left after it), an exit at exactly the settlement does. A settlement at a bar's open is
    therefore booked before every fill of that bar; a barrier touched inside a bar counts as after
    its open and before any settlement later in the same bar.
    """
    return entry_ms < settled_ms <= exit_ms


def net_return(
    side: int,
    entry_price: float,
    exit_price: float,
    entry_slippage: float,
    exit_slippage: float,
    entry_fee: float,
    exit_fee: float,
    funding_points: float,
) -> tuple[float, float]:
    """Return ``(gross, net)`` of one round trip, per unit of reference notional.

    gross = side·(X/E - 1); net = side·(x - e) - entry_fee·e - exit_fee·x - side·F/E with
    e = 1 + side·entry_slippage and x = (X/E)·(1 - side·exit_slippage): fees are charged on the
    prices filled.

    Parameters
    ----------
    side : int
        1 long, -1 short.
    entry_price, exit_price : float
        E and X before slippage, quote currency.
    entry_slippage, exit_slippage, entry_fee, exit_fee : float
        Fractions; the exit slippage of a limit order is 0.
    funding_points : float
        F = Σ rate·price over the settlements paid, quote currency per unit of base.
    """
    inverse = 1.0 / entry_price
    ratio = exit_price * inverse
    entered = 1.0 + side * entry_slippage
    left = ratio * (1.0 - side * exit_slippage)
    gross = side * (ratio - 1.0)
    net = (
        side * (left - entered)
        - entry_fee * entered
        - exit_fee * left
        - side * (funding_points * inverse)
    )
    return gross, net
