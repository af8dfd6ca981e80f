"""Which symbols are traded: those that are named, or the venue's most liquid.

Decides the choice from one look at the venue's tickers. Never looks at returns, positions or the
model. Rule: as `flows.lake.universe` chooses, so that what is traded is what is trained on; a
member gives way only to a symbol that is more liquid by ``stay_fraction``, or two of about the same
volume would take turns.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from executor.core.types import Instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidity:
    """What a ticker says of a symbol: turnover of 24 h in quote currency, and the last price."""

    symbol: str
    turnover_24h: float
    price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """How symbols are chosen; ``allow`` names the only ones that may be, where it names any."""

    turnover_min: float
    price_min: float
    count_max: int
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    stay_fraction: float = 0.0


def choose(
    tickers: Iterable[Liquidity],
    instruments: Mapping[str, Instrument],
    members: Collection[str],
    selection: Selection,
) -> tuple[str, ...]:
    """Return the members of the universe by falling turnover.

    Chosen are instruments that are traded. ``members`` are those of now: their turnover counts for
    more by ``stay_fraction``. What the venue does not say is not liquid.
    """
    found: list[tuple[float, str]] = []
    for ticker in tickers:
        symbol, instrument = ticker.symbol, instruments.get(ticker.symbol)
        if instrument is None or not instrument.trading or symbol in selection.deny:
            continue
        if selection.allow and symbol not in selection.allow:
            continue
        turnover = ticker.turnover_24h
        if symbol in members:
            turnover *= 1.0 + selection.stay_fraction
        is_liquid = turnover >= selection.turnover_min
        if is_liquid and ticker.price > 0.0 and ticker.price >= selection.price_min:
            found.append((-turnover, symbol))
    return tuple(symbol for _, symbol in sorted(found)[: selection.count_max])
