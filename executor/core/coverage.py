"""For which symbols a model may be used.

Decides that a symbol that training did not see, or saw too little of, is blocked. Never looks at a
bar. Rule: blocked until a model says otherwise; the reason is one refusal code, published for every
configured symbol.
"""

from collections.abc import Iterable

from executor.core.contract import CoverageRecord, Refusal
from executor.core.model import ModelInfo
from executor.core.params import Limits


def coverage_block(info: ModelInfo, symbol: str, limits: Limits) -> Refusal | None:
    """Return why a model may not be used for a symbol, or None where it may."""
    covered = info.symbols.get(symbol)
    if covered is None:
        return Refusal.UNTRAINED_SYMBOL
    if not covered.history_days >= limits.history_days_min:
        return Refusal.SHORT_HISTORY
    if not covered.coverage >= limits.coverage_min:
        return Refusal.SHORT_HISTORY
    return None


def coverage_table(
    info: ModelInfo | None, symbols: Iterable[str], limits: Limits
) -> dict[str, CoverageRecord]:
    """Return the coverage of every symbol, as ``bot:coverage`` publishes it."""
    table: dict[str, CoverageRecord] = {}
    for symbol in sorted(symbols):
        blocked: Refusal | None = Refusal.NO_MODEL
        days = 0.0
        if info is not None:
            blocked = coverage_block(info, symbol, limits)
            covered = info.symbols.get(symbol)
            days = covered.history_days if covered is not None else 0.0
        table[symbol] = CoverageRecord(
            tradable=blocked is None, reason=blocked or "", history_days=days
        )
    return table
