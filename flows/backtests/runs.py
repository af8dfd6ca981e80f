"""What a backtest needs and what it leaves behind, between the lake, the registry and the page.

Decides the range of a backtest (by default all that no shipped model was fitted on), and what is
said of it. Never trades: ``flows.research.backtest`` does. Rule: two set-ups get the same bars.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from executor.core.bundle import ModelBundle
from executor.core.contract import Refusal
from executor.core.params import Params
from features.catalog import Catalog
from features.errors import InputError
from features.intervals import interval_name
from flows.backtests.setups import Fetch, Wanted, fact_changes, load_bundle, make_setup
from flows.report.backtest_page import Account
from flows.research.backtest import Backtest, Setup, backtest, difference, hold, setting_changes
from flows.research.evidence import finite
from flows.research.market import Market
from flows.research.simulate import instruments
from flows.settings import Settings
from flows.training.history import catalog_of, load_markets

DAY_MS = 86_400_000
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a person wants to know; times in ms, None where the models and the lake say."""

    subjects: tuple[Wanted, ...]
    symbols: tuple[str, ...] | None
    start_ms: int | None
    stop_ms: int | None
    equity: float
    is_tuning: bool


def run_backtest(settings: Settings, ask: Ask, fetch: Fetch, tell: Tell) -> Account:
    """Return the outcome of every set-up that was asked for, on the same bars.

    Raises
    ------
    InputError
        Where models do not fit each other or the lake, or the range holds no bar.
    """
    bundles = [load_bundle(one.bundle, fetch) for one in ask.subjects]
    catalog, interval = _fitting(bundles)
    known = sorted(set.intersection(*(set(b.info.symbols) for b in bundles)))
    symbols = list(ask.symbols or known)
    fitted_ms = max(int(b.manifest["training"]["fit_end_ms"]) for b in bundles)
    start_ms = fitted_ms if ask.start_ms is None else ask.start_ms
    markets, left_out = load_markets(
        settings,
        symbols,
        interval_name(interval),
        interval,
        catalog,
        start_ms=start_ms,
        stop_ms=ask.stop_ms,
        tell=tell,
    )
    newest_ms = max(int(m.candles.close_ms[-1]) for m in markets)
    stop_ms = newest_ms if ask.stop_ms is None else min(ask.stop_ms, newest_ms)
    if stop_ms - start_ms < DAY_MS:
        raise InputError(
            f"there are no candles of a day after {_day(start_ms)}; give an earlier --start "
            "or ingest newer ones"
        )
    plain = Params(interval_ms=interval, instruments=instruments(markets))
    setups = [
        _tuned(make_setup(one, bundle, plain), is_tuning=ask.is_tuning)
        for one, bundle in zip(ask.subjects, bundles, strict=True)
    ]
    runs = [
        backtest(
            setup,
            markets,
            catalog,
            start_ms=start_ms,
            stop_ms=stop_ms,
            equity=ask.equity,
            tell=tell,
        )
        for setup in setups
    ]
    warnings = list(left_out.values())
    if start_ms < fitted_ms:
        days = (min(fitted_ms, stop_ms) - start_ms) / DAY_MS
        warnings.insert(
            0,
            f"{days:.0f} days of this range, up to {_day(fitted_ms)}, were fitted on: "
            "their result says nothing of the future.",
        )
    warnings.extend(_too_old(runs))
    return _account(setups, runs, markets, warnings, ask)


def _too_old(runs: Sequence[Backtest]) -> list[str]:
    """Return what a reader must know of entries that the model's age alone held back."""
    found = [(run.name, run.simulation.refused.get(Refusal.MODEL_TOO_OLD, 0)) for run in runs]
    return [
        f"{name}: {count} entries were refused because the model had grown too old "
        "(limits.model_age_days_max); live it would have been trained anew."
        for name, count in found
        if count
    ]


def as_dict(account: Account) -> dict[str, Any]:
    """Return plain values for machines; what is not a number becomes None."""
    return {
        **account.asked,
        "warnings": list(account.warnings),
        "runs": [run.as_dict() for run in account.runs],
        "changes": {name: [str(v) for v in pair] for name, pair in account.changes.items()},
        "difference": finite(account.difference),
        "hold": finite({"return_total": float((1.0 + account.held).prod() - 1.0)}),
    }


def _fitting(bundles: Sequence[ModelBundle]) -> tuple[Catalog, int]:
    """Return the features and the bar length that all models share."""
    intervals = {bundle.info.interval_ms for bundle in bundles}
    if len(intervals) > 1 or len({bundle.info.feature_schema for bundle in bundles}) > 1:
        raise InputError("the two models have other bars or features; train them alike to compare")
    return catalog_of(bundles[0].info), intervals.pop()


def _tuned(setup: Setup, *, is_tuning: bool) -> Setup:
    if is_tuning:
        return setup
    quiet = replace(setup.params, tuning=replace(setup.params.tuning, enabled=False))
    return replace(setup, params=quiet)


def _account(
    setups: Sequence[Setup],
    runs: Sequence[Backtest],
    markets: Sequence[Market],
    warnings: Sequence[str],
    ask: Ask,
) -> Account:
    first = runs[0].simulation
    symbols = [market.symbol for market in markets]
    start_ms, stop_ms = int(first.close_ms[0]), int(first.close_ms[-1])
    changes: dict[str, tuple[Any, Any]] = {}
    apart: Mapping[str, float] = {}
    if len(runs) > 1:
        one, other = setups
        changes = {
            **fact_changes(one.model.info, other.model.info),
            **setting_changes(one.params, other.params),
        }
        apart = difference(runs[0].simulation, runs[1].simulation)
    line = (
        f"{', '.join(symbols)} · {interval_name(setups[0].params.interval_ms)} bars · "
        f"{_day(start_ms)} to {_day(stop_ms)} · {ask.equity:,.0f} to begin with · "
        f"self-tuning {'on' if ask.is_tuning else 'off'}"
    )
    return Account(
        runs=runs,
        held=hold(markets, first.first_day, first.daily.size),
        asked={
            "line": line,
            "symbols": symbols,
            "start_ms": start_ms,
            "stop_ms": stop_ms,
            "equity": ask.equity,
            "tuning": ask.is_tuning,
        },
        warnings=warnings,
        changes=changes,
        difference=apart,
    )


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}"
