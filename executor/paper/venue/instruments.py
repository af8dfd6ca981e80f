"""What may be traded, and in what steps.

Decides ticks, lots, order limits, leverage and the risk tiers of an instrument. Never holds a
price or a position. Rule: Decimal in and out; a float from the market becomes a Decimal here, on
the tick, and nowhere else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

import numpy as np

from features.types import FloatArray

ONE = Decimal(1)
DECIMALS_MAX = 10
MAJORS = ("BTCUSDT", "ETHUSDT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One step of the risk limits: up to ``notional_max``, this margin and leverage."""

    notional_max: Decimal
    maintenance: Decimal
    deduction: Decimal
    leverage_max: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One linear perpetual; steps and limits in the units its names say."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    quantity_min: Decimal
    quantity_max: Decimal
    market_quantity_max: Decimal
    notional_min: Decimal
    tiers: tuple[Tier, ...]
    launch_ms: int = 1_585_526_400_000
    status: str = "Trading"

    @property
    def leverage_max(self) -> Decimal:
        """Highest leverage, that of the lowest tier."""
        return self.tiers[0].leverage_max

    @property
    def places(self) -> int:
        """Decimals of a price."""
        return max(0, -self.tick.normalize().adjusted())

    def price(self, value: float | Decimal) -> Decimal:
        """Return ``value`` on the nearest tick."""
        exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
        return (exact / self.tick).quantize(ONE, ROUND_HALF_EVEN) * self.tick

    def lots_down(self, quantity: Decimal) -> Decimal:
        """Return ``quantity`` rounded down to whole lots."""
        return (quantity / self.lot).quantize(ONE, ROUND_DOWN) * self.lot

    def tier(self, notional: Decimal) -> Tier:
        """Return the tier that a position of ``notional`` falls in; the last one has no end."""
        for tier in self.tiers:
            if notional <= tier.notional_max:
                return tier
        return self.tiers[-1]

    def maintenance(self, notional: Decimal) -> Decimal:
        """Return the maintenance margin of a position of ``notional`` quote currency."""
        tier = self.tier(notional)
        return notional * tier.maintenance - tier.deduction


def risk_tiers(step: Decimal, leverage_max: int, count: int = 8) -> tuple[Tier, ...]:
    """Return tiers ``step`` quote wide whose margins grow evenly, as the venue's tables do.

    The first tier keeps half of ``1/leverage_max``; the deduction makes the margin continuous.
    """
    first = ONE / (2 * leverage_max)
    tiers: list[Tier] = []
    deduction = Decimal(0)
    previous = first
    for index in range(count):
        rate = first * (index + 1)
        deduction += (rate - previous) * step * index
        previous = rate
        tiers.append(
            Tier(
                notional_max=step * (index + 1),
                maintenance=rate,
                deduction=deduction,
                leverage_max=(ONE / (2 * rate)).quantize(Decimal("0.01"), ROUND_DOWN),
            )
        )
    return tuple(tiers)


def tick_of(prices: FloatArray) -> Decimal:
    """Return the coarsest power of ten on which all ``prices`` lie (at most ten decimals)."""
    for decimals in range(DECIMALS_MAX):
        scaled = prices * 10.0**decimals
        # A double holds about 16 digits: what is further off than that is a digit of its own.
        if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-6 + 1e-12 * scaled):
            return Decimal(1).scaleb(-decimals)
    return Decimal(1).scaleb(-DECIMALS_MAX)


def lot_of(price: float) -> Decimal:
    """Return the lot: one base unit, or the tenth to thousandth of it that is worth under 60."""
    decimals = 0
    while decimals < 3 and price * 10.0**-decimals > 60.0:
        decimals += 1
    return Decimal(1).scaleb(-decimals)


def instrument_for(symbol: str, prices: FloatArray) -> Instrument:
    """Return an instrument that fits ``prices``: steps from the data, limits from the price.

    Parameters
    ----------
    symbol : str
        Venue id that ends in its quote currency, as ``BTCUSDT``.
    prices : FloatArray
        Prices seen, shape (n,), quote currency; n above 0.
    """
    quote = "USDT"
    last = float(prices[-1])
    lot = lot_of(last)
    million = (Decimal(1_000_000) / Decimal(repr(last))).quantize(ONE)
    largest = max(million * 20, lot * 1000)
    major = symbol in MAJORS
    return Instrument(
        symbol=symbol,
        base=symbol.removesuffix(quote),
        quote=quote,
        tick=tick_of(prices),
        lot=lot,
        quantity_min=lot,
        quantity_max=largest,
        market_quantity_max=(largest / 4).quantize(ONE, ROUND_DOWN),
        notional_min=Decimal(5),
        tiers=risk_tiers(Decimal(2_000_000 if major else 500_000), 100 if major else 50),
    )


def by_symbol(instruments: Iterable[Instrument]) -> dict[str, Instrument]:
    """Return the instruments keyed by their venue id."""
    return {instrument.symbol: instrument for instrument in instruments}
