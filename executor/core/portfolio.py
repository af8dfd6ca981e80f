"""What is held and in flight, seen as one book.

Decides the exposures that the gate and the sizing look at: an order that may still execute counts
as if it had. Never decides an entry. Rule: notionals at the last marks (orders at their reference
price), every sum in the order of symbols, so that two runs over the same state agree to the bit.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from executor.core.columns import Columns
from executor.core.covariance import Comovement, comovement
from executor.core.ledger import Ledger
from executor.core.orders import open_quantity
from executor.core.params import Params
from executor.core.risk import Exposure
from executor.core.sizing import Book
from executor.core.state import TradingState
from executor.core.types import Bar, OrderIntent

# Per bar; stands in where a held symbol has neither a row now nor a recent one.
UNKNOWN_VOLATILITY: Final = 0.01


class Portfolio:
    """The book during one step. ``candidates`` are the symbols that may join it."""

    def __init__(
        self,
        state: TradingState,
        params: Params,
        bars: Mapping[str, Bar],
        columns: Columns,
        candidates: Sequence[str],
    ) -> None:
        self._params = params
        self._equity = state.equity()
        self._notionals = notionals(state)
        self.sides: dict[str, int] = {
            symbol: 1 if notional > 0.0 else -1 for symbol, notional in self._notionals.items()
        }
        names = sorted(set(self._notionals) | set(candidates))
        self._sigma = {name: _volatility(state, bars.get(name), columns, name) for name in names}
        self.together: Comovement = comovement(
            state.closes,
            names,
            self._sigma,
            params.sizing.covariance_shrinkage,
            params.selector.correlation_bars_min,
        )

    @property
    def equity(self) -> float:
        """Equity at the marks of this step."""
        return self._equity

    def add(self, intent: OrderIntent) -> None:
        """Count an order that was just approved."""
        signed = intent.side * intent.quantity * intent.reference_price
        self._notionals[intent.symbol] = self._notionals.get(intent.symbol, 0.0) + signed
        self.sides[intent.symbol] = intent.side

    def exposure(self, symbol: str) -> Exposure:
        """Return what the gate must know before another order of ``symbol``."""
        values = [self._notionals[name] for name in sorted(self._notionals)]
        return Exposure(
            equity=self._equity,
            symbol=self._notionals.get(symbol, 0.0),
            gross=sum(abs(value) for value in values),
            net=sum(values),
        )

    def book(self, symbol: str, side: int) -> Book:
        """Return the variances of the book and of a unit bet on ``symbol``."""
        weights = [(s, self._notionals[s] / self._equity) for s in sorted(self._notionals)]
        held = crossed = beta = 0.0
        for one, weight in weights:
            beta += weight * self.together.beta_of(one)
            crossed += weight * side * self._covariance(one, symbol)
            for other, other_weight in weights:
                held += weight * other_weight * self._covariance(one, other)
        return Book(
            held=held,
            crossed=crossed,
            added=self._sigma[symbol] * self._sigma[symbol],
            beta_held=beta,
            beta_added=side * self.together.beta_of(symbol),
        )

    def _covariance(self, one: str, other: str) -> float:
        return self.together.between(one, other) * self._sigma[one] * self._sigma[other]


def notionals(state: TradingState) -> dict[str, float]:
    """Return signed notionals by symbol of positions and of entries that may still execute."""
    ledger: Ledger = state.ledger
    found = {symbol: ledger.exposure(symbol) for symbol in ledger.positions}
    for order in state.active.values():
        intent = order.intent
        if not intent.reduce_only:
            waiting = intent.side * open_quantity(order) * intent.reference_price
            found[intent.symbol] = found.get(intent.symbol, 0.0) + waiting
    return found


def held(state: TradingState) -> set[str]:
    """Return the symbols of positions and of orders that may still execute."""
    return set(state.ledger.positions) | {o.intent.symbol for o in state.active.values()}


def _volatility(state: TradingState, bar: Bar | None, columns: Columns, symbol: str) -> float:
    """Return the per-bar volatility of a symbol now, or the last one known."""
    if bar is not None and bar.features is not None and len(bar.features) == columns.width:
        value = float(bar.features[columns.volatility])
        if value > 0.0:
            state.volatility[symbol] = value
    return state.volatility.get(symbol, UNKNOWN_VOLATILITY)
