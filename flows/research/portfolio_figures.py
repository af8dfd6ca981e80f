"""The figures that runs are compared by, at the speed of the compiled loop where it can run.

Decides who runs: the compiled portfolio loop where a set-up needs nothing that it cannot do (no
self-tuning, no learned regime, exits by the barriers alone), else the live core. Never
approximates: both make the same account, and a test compares. Rule: whoever needs trades, fills or
attribution simulates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from executor.core.model import Model
from executor.core.params import Params
from executor.core.recording import Recording
from features.errors import InputError
from flows.research.market import Market
from flows.research.performance import return_metrics, trade_metrics
from flows.research.portfolio import Outcome, stage
from flows.research.portfolio_book import T_CLOSED, T_ENTRY, T_OPENED, T_PNL, T_QUANTITY
from flows.research.recipe import HOUR_MS
from flows.research.simulate import EQUITY, daily_returns_of, signals_ahead, simulate, tape

SHOWN = ("return_total", "return_annual", "sharpe", "max_drawdown", "trades", "profit_factor")


def can_compile(model: Model, params: Params) -> bool:
    """Return whether the compiled loop can run a set-up."""
    learns = params.tuning.enabled or params.learned_regime.enabled
    return not learns and model.info.exit_plan.barriers_alone


def compared_figures(
    model: Model,
    markets: Sequence[Market],
    params: Params,
    *,
    start_ms: int,
    stop_ms: int,
    equity: float = EQUITY,
) -> dict[str, float]:
    """Return the figures of :data:`SHOWN` of trading from ``start_ms`` to ``stop_ms``.

    Raises
    ------
    InputError
        Where there is no close in the range.
    """
    if not can_compile(model, params):
        done = simulate(model, markets, params, start_ms=start_ms, stop_ms=stop_ms, equity=equity)
        return chosen(done.metrics)
    signals = partial(signals_ahead, model.info.feature_names)
    recording = Recording([tape(m) for m in markets], start_ms, stop_ms, signals=signals)
    if recording.grid.size == 0:
        raise InputError("no bar closes in the range to simulate; choose a longer one")
    return _read(stage(model, recording, params, equity=equity).run(), equity)


def chosen(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the figures that runs are compared by; NaN for what does not exist."""
    return {name: metrics.get(name, float("nan")) for name in SHOWN}


def dearer(params: Params, factor: float) -> Params:
    """Return ``params`` with fees and slippage multiplied; funding is the market's own."""
    costs = params.costs
    return replace(
        params,
        costs=replace(
            costs,
            taker_fee=costs.taker_fee * factor,
            maker_fee=costs.maker_fee * factor,
            slippage_base=costs.slippage_base * factor,
            slippage_volatility=costs.slippage_volatility * factor,
        ),
    )


def _read(found: Outcome, start: float) -> dict[str, float]:
    _, daily = daily_returns_of(found.close_ms, found.equity, start)
    trades = found.trades
    net = trades[:, T_PNL] / (trades[:, T_ENTRY] * trades[:, T_QUANTITY])
    hours = (trades[:, T_CLOSED] - trades[:, T_OPENED]) / HOUR_MS
    return chosen({**return_metrics(daily), **trade_metrics(net, net, hours)})
