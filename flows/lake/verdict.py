"""May a symbol be trained on? pass, warn or fail, with reasons in plain words.

Decides by a list of checks, each on one column of the daily profile; the same list becomes the
Great Expectations suite, so that what gates is what is documented. Never looks at a bar. Rule: a
``fail`` keeps the symbol out of training; a ``warn`` says what was put aside or to be known.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

import polars as pl

Statistic = Literal["rows", "sum", "values"]
Severity = Literal["fail", "warn"]
SHOWN_DAYS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When data may not be trained on; shares are fractions."""

    history_days_min: int = 90
    coverage_min: float = 0.95
    quarantined_max: float = 0.02  # of the bars
    funding_missing_max: float = 0.01  # of the settlements
    mark_bp_max: float = 2.5  # how far a day's closes lie off the mark price
    mark_days_max: float = 0.2  # of the days may lie above it
    disagreeing_max: float = 0.05  # of the bars held against another interval
    restated_max: float = 0.02  # of the bars


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One bound on one column of the profile.

    ``rows``: at least ``bound`` rows. ``sum``: the column's sum is at most ``bound``. ``values``:
    at least the share ``mostly`` of the non-null values is at most ``bound``.
    """

    name: str
    column: str
    statistic: Statistic
    bound: float
    severity: Severity
    reason: str  # with {observed}, {bound}, {days}
    mostly: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer for one symbol."""

    verdict: Literal["pass", "warn", "fail"]
    reasons: tuple[str, ...]
    history_days: float
    coverage: float


def checks_for(days: pl.DataFrame, limits: Thresholds) -> list[Check]:
    """Return the checks for a profile; shares become counts of its bars and settlements."""
    bars = int(days["expected"].sum())
    checks = [
        Check(
            name="history",
            column="day",
            statistic="rows",
            bound=limits.history_days_min,
            severity="fail",
            reason="only {observed:.0f} days of history, at least {bound:.0f} are needed",
        ),
        _sum(
            "coverage",
            "missing",
            (1 - limits.coverage_min) * bars,
            "fail",
            "{observed:,.0f} bars are missing, at most {bound:,.0f} may be; ingest the gaps again",
        ),
        _sum(
            "quarantine",
            "quarantined",
            limits.quarantined_max * bars,
            "fail",
            "{observed:,.0f} bars are broken, at most {bound:,.0f} may be; use another source",
        ),
        _sum(
            "funding",
            "funding_missing",
            limits.funding_missing_max * int(days["funding_expected"].sum()),
            "fail",
            "{observed:,.0f} funding settlements are missing ({days}); ingest funding first",
        ),
        Check(
            name="mark",
            column="mark_bp",
            statistic="values",
            bound=limits.mark_bp_max,
            severity="fail",
            mostly=1 - limits.mark_days_max,
            reason="closes do not follow the mark price ({observed:.1f} bp apart on the median "
            "day, at most {bound:.1f}): this is another market, such as spot, or in local time",
        ),
        _sum(
            "agreement",
            "disagreeing",
            limits.disagreeing_max * int(days["compared"].sum()),
            "fail",
            "{observed:,.0f} bars contradict another stored interval ({days}): "
            "one of the two is another market",
        ),
        _sum(
            "restatements",
            "restated",
            limits.restated_max * bars,
            "fail",
            "{observed:,.0f} bars were changed by the venue after they closed ({days})",
        ),
    ]
    return checks + [_sum(f"no_{c}", c, 0, "warn", text) for c, text in WARNINGS.items()]


WARNINGS = {
    "missing": "{observed:,.0f} bars are missing ({days}): a gap, no label crosses it",
    "bad_price": "{observed:,.0f} bars with a price or volume that is none, put aside ({days})",
    "crossed": "{observed:,.0f} bars with high or low inside the body, put aside ({days})",
    "torn": "{observed:,.0f} bars around an open that is not the last close, put aside ({days})",
    "spike": "{observed:,.0f} bars of a jump that came back without volume, put aside ({days})",
    "frozen": "{observed:,.0f} bars without trades or repeated, put aside ({days})",
    "volume": "{observed:,.0f} bars with a volume that their range does not explain, put aside "
    "({days})",
    "duplicate": "{observed:,.0f} bars are there twice; the last one counts ({days})",
    "off_grid": "{observed:,.0f} stamps are no bar's open and were left out ({days})",
    "restated": "{observed:,.0f} bars were changed by the venue after they closed ({days})",
    "funding_missing": "{observed:,.0f} funding settlements are missing ({days})",
    "disagreeing": "{observed:,.0f} bars differ from another stored interval ({days})",
}


def _sum(name: str, column: str, bound: float, severity: Severity, reason: str) -> Check:
    return Check(
        name=name, column=column, statistic="sum", bound=bound, severity=severity, reason=reason
    )


def holds(check: Check, days: pl.DataFrame) -> bool:
    """Return whether the check holds for the profile."""
    if check.statistic == "rows":
        return days.height >= check.bound
    column = days[check.column].drop_nulls()
    if check.statistic == "sum":
        return float(column.sum()) <= check.bound
    if column.is_empty():
        return True
    return int((column <= check.bound).sum()) >= check.mostly * column.len()


def _observed(check: Check, days: pl.DataFrame) -> float:
    if check.statistic == "rows":
        return float(days.height)
    column = days[check.column].drop_nulls()
    if check.statistic == "sum":
        return float(column.sum())
    median = column.median()
    return float(median) if isinstance(median, int | float) else 0.0


def _days(check: Check, days: pl.DataFrame) -> str:
    """Return the first days on which the column is above zero, in words."""
    if check.statistic == "rows":
        return ""
    found: list[date] = days.filter(pl.col(check.column) > 0)["day"].to_list()
    shown = ", ".join(day.isoformat() for day in found[:SHOWN_DAYS])
    rest = len(found) - SHOWN_DAYS
    return f"{shown} and {rest} more days" if rest > 0 else shown


def judge(days: pl.DataFrame, limits: Thresholds) -> Verdict:
    """Return the verdict on one symbol's profile; no bars at all is a fail."""
    if days.is_empty():
        return Verdict(
            verdict="fail",
            reasons=("no bars are stored; ingest first",),
            history_days=0.0,
            coverage=0.0,
        )
    broken = [check for check in checks_for(days, limits) if not holds(check, days)]
    fatal = {check.column for check in broken if check.severity == "fail"}
    kept = [c for c in broken if c.severity == "fail" or c.column not in fatal]
    expected, present = int(days["expected"].sum()), int(days["bars"].sum())
    return Verdict(
        verdict="fail" if fatal else "warn" if kept else "pass",
        reasons=tuple(
            c.reason.format(observed=_observed(c, days), bound=c.bound, days=_days(c, days))
            for c in kept
        ),
        history_days=float(days.height),
        coverage=min(present / expected, 1.0) if expected else 0.0,
    )
