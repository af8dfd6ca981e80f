"""History and a model laid out for the compiled portfolio loop, and its outcome read back.

Decides which facts become which column. Never trades: ``portfolio_loop`` does. Rule: what the loop
cannot do (self-tuning, the learned regime, exit plans that move a stop, other facts than healthy
ones) is refused here and never approximated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from executor.core.columns import resolve
from executor.core.covariance import UNKNOWN_CORRELATION, VOLUMES_MIN
from executor.core.coverage import coverage_block
from executor.core.decide import kelly_share
from executor.core.entries import YEAR_MS
from executor.core.fills import quantise_quantity
from executor.core.model import Model, ModelInfo, Prediction, Request
from executor.core.params import Params
from executor.core.portfolio import UNKNOWN_VOLATILITY
from executor.core.recording import Recording
from executor.core.regime import regime_blocks, trend_state, volatility_state
from executor.core.risk import ROUNDING
from executor.core.sizing import bucket_of
from features.barriers import barrier_fractions
from features.compiled import compiled
from features.errors import InputError
from features.signals import Signal
from features.types import FloatArray, IntArray
from flows.research.portfolio_book import (
    ACCOUNT,
    CASH,
    DAY,
    ORDER,
    POSITION,
    TRADE,
    TRADES,
    Book,
)
from flows.research.portfolio_loop import run_portfolio
from flows.research.portfolio_rules import R_CORRELATION_ROWS, R_NAMES
from flows.research.portfolio_sheet import sheet_of
from flows.research.portfolio_tables import NAMES, REASONS, Contracts, Memory, Signals, World


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """Equity at each close, shape (closes,), trades, shape (trades, TRADE), refusals by number."""

    close_ms: IntArray
    equity: FloatArray
    trades: FloatArray
    reasons: IntArray

    @property
    def refused(self) -> dict[str, int]:
        """How often entries were refused, by the reason's name."""
        return {str(name): int(self.reasons[n]) for n, name in NAMES.items() if self.reasons[n]}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stage:
    """A world and how many signals it holds; may be run many times."""

    world: World
    symbols: tuple[str, ...]
    tick: FloatArray
    start: float

    def run(self, *, interpreted: bool = False) -> Outcome:
        """Trade the whole history; ``interpreted`` runs the same source without compiling it."""
        closes, symbols = self.world.sheet.there.shape
        rows = int(self.world.rules[R_CORRELATION_ROWS])
        account = np.zeros(ACCOUNT)
        account[CASH], account[DAY] = self.start, -1.0
        book = Book(
            account=account,
            position=np.zeros((symbols, POSITION)),
            waiting=np.zeros((2 * symbols + 2, ORDER)),
            trades=np.zeros((self.world.signals.symbol.size + 1, TRADE)),
            order=np.zeros(symbols + 1, np.int64),
            tick=self.tick,
        )
        memory = Memory(
            repeated=np.zeros(symbols),
            latched=np.zeros(symbols, np.bool_),
            volatility=np.full(symbols, UNKNOWN_VOLATILITY),
            reasons=np.zeros(REASONS, np.int64),
            notional=np.zeros(symbols),
            held=np.zeros(symbols, np.bool_),
            correlation=np.zeros((symbols, symbols)),
            beta=np.zeros(symbols),
            sides=np.zeros(symbols),
            ideas=np.zeros(symbols, np.int64),
            keys=np.zeros(symbols),
            names=np.zeros(symbols, np.int64),
            spread=np.zeros(symbols),
            centred=np.zeros((symbols, rows)),
            known=np.zeros((symbols, rows), np.bool_),
        )
        equity = np.zeros(closes)
        loop = run_portfolio if interpreted else _compiled()
        loop(self.world, book, memory, equity)
        return Outcome(
            close_ms=self.world.sheet.close_ms,
            equity=equity,
            trades=book.trades[: int(account[TRADES])],
            reasons=memory.reasons,
        )


@cache
def _compiled() -> Callable[[World, Book, Memory, FloatArray], None]:
    return compiled(run_portfolio, allocates=False)


def stage(model: Model, recording: Recording, params: Params, *, equity: float = 10_000.0) -> Stage:
    """Return a history ready to be run, the model asked about every signal on it.

    Raises
    ------
    InputError
        Where the set-up needs what the loop cannot do.
    """
    info = model.info
    if params.tuning.enabled:
        raise InputError("the compiled loop does not tune itself; switch tuning off, or simulate")
    if params.learned_regime.enabled:
        raise InputError(
            "the compiled loop learns no regime; switch learned_regime off, or simulate"
        )
    if not info.exit_plan.barriers_alone:
        raise InputError("the compiled loop exits by the barriers alone; simulate this exit plan")
    instruments = [params.instruments[symbol] for symbol in recording.symbols]
    contracts = Contracts(
        lot=np.array([one.lot for one in instruments]),
        quantity_min=np.array([one.quantity_min for one in instruments]),
        quantity_most=np.array([quantise_quantity(i.quantity_max, i.lot) for i in instruments]),
        quantity_max=np.array([one.quantity_max for one in instruments]),
        notional_min=np.array([one.notional_min for one in instruments]),
        leverage_max=np.array([one.leverage_max for one in instruments]),
        trading=np.array([one.trading for one in instruments]),
    )
    hours = np.arange(24)
    active = np.zeros(24, np.bool_)
    for first, last in params.session.active_hours:
        active |= (hours >= first) & (hours < last)
    world = World(
        sheet=sheet_of(recording),
        signals=_signals(model, recording, params),
        rules=_rules(info, params),
        contracts=contracts,
        active_hour=active,
    )
    tick = np.array([one.tick for one in instruments])
    return Stage(world=world, symbols=recording.symbols, tick=tick, start=equity)


def _signals(model: Model, recording: Recording, params: Params) -> Signals:
    """Return every signal that the chain could come to ask the model about, with the answers."""
    info = model.info
    columns = resolve(info.feature_names)
    found: list[tuple[int, int, Signal, FloatArray]] = []
    for place in range(recording.grid.size):
        bars = recording.bars[place]
        for s, signal in recording.signalled(place, columns.index, info.signal):
            row = recording.tapes[s].features[bars[s]]
            symbol = recording.symbols[s]
            if coverage_block(info, symbol, params.limits) is None and np.isfinite(row).all():
                found.append((place, s, signal, row))
    requests = [
        Request(
            symbol=recording.symbols[s],
            close_ms=int(recording.grid[place]),
            features=row,
            signal=signal,
        )
        for place, s, signal, row in found
    ]
    answers = model.predict_many(requests)
    places = np.array([place for place, *_ in found], dtype=np.int64)
    rows = np.array([row for *_, row in found]).reshape(len(found), len(info.feature_names))
    bets = [info.bets_of(recording.symbols[s]) for _, s, *_ in found]
    buckets = [
        bucket_of(bet.buckets, answer.probability)
        for bet, answer in zip(bets, answers, strict=True)
    ]
    share_max = min(params.sizing.kelly_fraction_max, info.kelly_fraction)
    cap = params.limits.position_fraction_max
    return Signals(
        first=np.searchsorted(places, np.arange(recording.grid.size + 1)),
        symbol=np.array([s for _, s, *_ in found], dtype=np.int64),
        side=np.array([signal.side for _, _, signal, _ in found], dtype=np.int64),
        bucket_wins=np.array([bucket.wins if bucket else 0.0 for bucket in buckets]),
        bucket_n=np.array([bucket.n if bucket else -1.0 for bucket in buckets]),
        kelly_share=np.array([kelly_share(share_max, cap, bet.kelly_q90) for bet in bets]),
        volatility=rows[:, columns.volatility],
        atr=_column(rows, columns.atr),
        is_regime=_regimes(info, params, rows, [signal.side for _, _, signal, _ in found]),
        **_answers(answers),
    )


def _answers(answers: Sequence[Prediction]) -> dict[str, FloatArray]:
    return {
        "probability": np.array([answer.probability for answer in answers]),
        "expected": np.array([answer.expected_net for answer in answers]),
        "error": np.array([answer.standard_error for answer in answers]),
        "win_mean": np.array([answer.win_mean for answer in answers]),
        "loss_mean": np.array([answer.loss_mean for answer in answers]),
        "second_moment": np.array([answer.second_moment for answer in answers]),
    }


def _regimes(
    info: ModelInfo, params: Params, rows: FloatArray, sides: Sequence[int]
) -> NDArray[np.bool_]:
    """Return where the regime filter refuses."""
    columns, barriers = resolve(info.feature_names), info.barriers
    adx, trend = _column(rows, columns.adx), _column(rows, columns.trend)
    blocked = np.zeros(rows.shape[0], np.bool_)
    for k, side in enumerate(sides):
        volatility = float(rows[k, columns.volatility])
        profit, _ = barrier_fractions(
            barriers.profit, barriers.loss, barriers.volatility_scaled, volatility
        )
        way = trend_state(
            float(adx[k]) if columns.adx is not None else None,
            float(trend[k]) if columns.trend is not None else None,
            params.regime,
        )
        wild = volatility_state(volatility, profit, barriers.horizon_bars, params.regime)
        blocked[k] = regime_blocks(way, wild, side, params.regime)
    return blocked


def _column(rows: FloatArray, place: int | None) -> FloatArray:
    return np.zeros(rows.shape[0]) if place is None else np.ascontiguousarray(rows[:, place])


def _rules(info: ModelInfo, params: Params) -> FloatArray:
    sizing, selector = params.sizing, params.selector
    yearly = sizing.volatility_target
    guard, costs = params.guard, params.costs
    found: dict[str, float] = {
        **_limits(params),
        "interval_ms": float(params.interval_ms),
        "horizon_ms": float(info.barriers.horizon_bars * params.interval_ms),
        "taker_fee": costs.taker_fee,
        "take_fee": costs.take_profit_fee,
        "slippage_base": costs.slippage_base,
        "slippage_volatility": costs.slippage_volatility,
        "take_is_market": costs.take_profit_is_market,
        "daily_loss_max": guard.daily_loss_max,
        "drawdown_halt": guard.drawdown_halt,
        "losses_cool_down": float(guard.losses_cool_down),
        "cool_down_ms": float(guard.cool_down_bars * params.interval_ms),
        "performance_trades": guard.performance_trades,
        "performance_win_rate_min": guard.performance_win_rate_min,
        "performance_profit_factor_min": guard.performance_profit_factor_min,
        "performance_pause_ms": float(guard.performance_pause_bars * params.interval_ms),
        "profit": info.barriers.profit,
        "loss": info.barriers.loss,
        "kappa": info.kappa,
        "kelly_prior": sizing.kelly_prior_count,
        "risk_per_trade": sizing.risk_per_trade,
        "raise_wins": float(sizing.raise_wins) if sizing.raise_after_wins else math.inf,
        "raise_factor": sizing.raise_factor,
        "atr_halving": sizing.atr_fraction_halving,
        "losses_halving": float(sizing.losses_halving),
        "throttle_start": sizing.throttle_drawdown_start,
        "throttle_full": sizing.throttle_drawdown_full,
        "throttle_floor": sizing.throttle_floor,
        "volume_share_max": sizing.volume_share_max,
        "variance_target": yearly * yearly * params.interval_ms / YEAR_MS,
        "beta_max": sizing.beta_fraction_max,
        "shrinkage": sizing.covariance_shrinkage,
        "correlation_max": selector.correlation_max,
        "trained_until_ms": float(info.trained_until_ms),
        "volatility_scaled": info.barriers.volatility_scaled,
    }
    return np.array([float(found[name]) for name in R_NAMES])


def _limits(params: Params) -> dict[str, float]:
    """Return the rules that the gate, the selector and the session bring."""
    limits, selector = params.limits, params.selector
    return {
        "unknown_correlation": UNKNOWN_CORRELATION,
        "unknown_volatility": UNKNOWN_VOLATILITY,
        "volume_needed": params.session.volume_min,
        "quiet_factor": params.session.quiet_factor,
        "position_max": limits.position_fraction_max,
        "leverage_max": limits.leverage_max,
        "gross_max": limits.gross_fraction_max,
        "net_max": limits.net_fraction_max,
        "order_notional_max": limits.order_notional_max,
        "orders_minute_max": float(limits.orders_minute_max),
        "orders_day_max": float(limits.orders_day_max),
        "repeated_max": float(limits.repeated_entries_max),
        "model_age_days_max": limits.model_age_days_max,
        "stop_distance_min": limits.stop_distance_min,
        "stop_distance_max": limits.stop_distance_max,
        "maintenance": limits.maintenance_margin,
        "rounding": ROUNDING,
        "correlation_rows": selector.correlation_bars + 1,
        "correlation_bars_min": selector.correlation_bars_min,
        "correlated_max": selector.correlated_positions_max,
        "positions_max": selector.positions_max,
        "volumes_min": VOLUMES_MIN,
    }
