"""How much of each symbol the lake holds, and whether it may be used.

Decides the word for a symbol: covered, short, untrained or blocked, and why. Never fetches or
judges: spans, verdicts and the model's symbols are given. Rule: the reason names the next step.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import CANDLES, Series
from flows.lake.verdict import Verdict

DAY_MS = 86_400_000
Status = Literal["covered", "short", "untrained", "blocked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """How much history is wanted, and how little is accepted."""

    days: float = 730.0
    days_min: float = 90.0
    coverage_min: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One symbol; ``coverage`` is the share of bars present between its first and last one."""

    symbol: str
    status: Status
    bars: int
    history_days: float
    coverage: float
    first_ms: int | None
    last_ms: int | None
    reason: str


def coverage(
    lake: Lake,
    venue: str,
    symbols: Sequence[str],
    interval: str,
    *,
    goals: Goals,
    verdicts: Mapping[str, Verdict],
    trained: Collection[str] | None = None,
) -> list[Coverage]:
    """Return one row a symbol, in the order given.

    Parameters
    ----------
    trained
        The symbols of the model in use; None where there is no model to hold them against.
    """
    rows = []
    for symbol in symbols:
        series = series_of(venue, symbol, interval)
        span = lake.span(CANDLES, series)
        if span is None:
            rows.append(
                Coverage(
                    symbol=symbol,
                    status="blocked",
                    bars=0,
                    history_days=0.0,
                    coverage=0.0,
                    first_ms=None,
                    last_ms=None,
                    reason=f"nothing is stored: tribar ingest --symbol {symbol}",
                )
            )
            continue
        slots = (span.last_ms - span.first_ms) // series.interval_ms + 1
        days, share = slots * series.interval_ms / DAY_MS, span.rows / slots
        status, reason = _status(series, days, share, goals, verdicts.get(symbol), trained)
        rows.append(
            Coverage(
                symbol=symbol,
                status=status,
                bars=span.rows,
                history_days=days,
                coverage=share,
                first_ms=span.first_ms,
                last_ms=span.last_ms,
                reason=reason,
            )
        )
    return rows


def _status(
    series: Series,
    days: float,
    share: float,
    goals: Goals,
    verdict: Verdict | None,
    trained: Collection[str] | None,
) -> tuple[Status, str]:
    if days < goals.days_min:
        return "blocked", f"{days:.0f} of at least {goals.days_min:.0f} days: ingest more history"
    if share < goals.coverage_min:
        return "blocked", f"{share:.1%} of the bars, at least {goals.coverage_min:.1%} are needed"
    if verdict is None:
        judge = f"tribar quality --symbol {series.symbol} --interval {series.interval}"
        return "blocked", f"not judged yet: {judge}"
    if verdict.verdict == "fail":
        return "blocked", "; ".join(verdict.reasons)
    if trained is not None and series.symbol not in trained:
        return "untrained", "the model in use does not know it: tribar retrain"
    notes = "; ".join(verdict.reasons)
    if days < goals.days:
        return "short", f"{days:.0f} of {goals.days:.0f} days" + (f"; {notes}" if notes else "")
    return "covered", notes
