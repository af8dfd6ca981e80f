"""The numbers that a person chooses for the decision core.

Decides every limit, fraction and window with its safe default, and the three risk profiles. Never
holds what a model brings (signals, barriers, economics come from the bundle) nor what changes while
running (that is ``TradingState``). Rule: names carry their unit, defaults are the conservative
profile, and a value that cannot be meant is refused when it is made.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Final

from executor.core.types import Instrument
from features.costs import Costs
from features.errors import InputError
from features.suggest import unknown_name

DAY_MS: Final = 86_400_000


def _check_numbers(owner: str, values: object, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(values, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if not math.isfinite(value) or value < 0:
            raise InputError(f"{owner}: {name} is {value}; give a number of 0 or more")


class _Checked:
    """Refuses NaN, infinity and negative numbers in any field."""

    __slots__ = ()

    def __post_init__(self) -> None:
        names = tuple(f.name for f in fields(self))  # type: ignore[arg-type]  # dataclasses below
        _check_numbers(type(self).__name__.lower(), self, names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(_Checked):
    """Hard limits of the pre-trade gate. Fractions are of equity."""

    leverage_max: float = 3.0
    position_fraction_max: float = 0.10
    gross_fraction_max: float = 1.0
    net_fraction_max: float = 0.60
    order_notional_max: float = 1_000_000.0
    orders_minute_max: int = 60
    orders_day_max: int = 1_000
    repeated_entries_max: int = 48
    price_collar: float = 0.01
    stop_distance_min: float = 0.0005
    stop_distance_max: float = 0.20
    maintenance_margin: float = 0.02
    lease_margin_ms_min: int = 6_000
    reconciled_age_ms_max: int = 60_000
    signal_age_ms_max: int = 30_000
    data_age_ms_max: int = 5_000
    clock_offset_ms_max: int = 500
    model_age_days_max: float = 45.0
    history_days_min: float = 30.0
    coverage_min: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing(_Checked):
    """How much to bet. See ``core.sizing`` for the formulas and their sources."""

    risk_per_trade: float = 0.005
    kelly_fraction_max: float = 0.25
    kelly_prior_count: float = 100.0
    volume_share_max: float = 0.01
    volatility_target: float = 0.25
    beta_fraction_max: float = 0.60
    covariance_shrinkage: float = 0.5
    atr_fraction_halving: float = 0.05
    losses_halving: int = 2
    raise_after_wins: bool = False
    raise_wins: int = 3
    raise_factor: float = 1.25
    throttle_drawdown_start: float = 0.05
    throttle_drawdown_full: float = 0.20
    throttle_floor: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector(_Checked):
    """Which of several candidates may enter together."""

    positions_max: int = 5
    correlation_max: float = 0.85
    correlated_positions_max: int = 3
    correlation_bars: int = 96
    correlation_bars_min: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime(_Checked):
    """Where the market is too quiet or too wild to trade, and what counts as a trend.

    ``volatility_max`` is per bar. ``reach_min`` is the least that one deviation over the whole
    horizon must cover of the way to the profit barrier: a quieter market ends at the time barrier.
    """

    adx_trend: float = 20.0
    volatility_max: float = 0.03
    reach_min: float = 0.25
    block_counter_trend: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedRegime(_Checked):
    """The classifier of `core.learned_regime`: whether it learns, and the bars of its windows."""

    enabled: bool = True
    window_bars: int = 16

    def __post_init__(self) -> None:
        if self.window_bars < 1:
            raise InputError(f"learned_regime: window_bars is {self.window_bars}; give 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(_Checked):
    """Outside the active hours (UTC) a signal needs more volume: a filter, not a ban.

    ``volume_min`` is the least volume of the bar as a multiple of the recent mean; outside the
    active hours it is multiplied by ``quiet_factor``.
    """

    active_hours: tuple[tuple[int, int], ...] = ((0, 8), (13, 20))
    volume_min: float = 0.5
    quiet_factor: float = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard(_Checked):
    """When to stop entering although each single order would pass.

    A model that takes another one's place bets ``canary_fraction`` of the size until
    ``canary_trades`` of its own trades are closed.
    """

    daily_loss_max: float = 0.05
    drawdown_halt: float = 0.25
    losses_cool_down: int = 4
    cool_down_bars: int = 16
    performance_trades: int = 30
    performance_win_rate_min: float = 0.20
    performance_profit_factor_min: float = 0.5
    performance_pause_bars: int = 96
    canary_trades: int = 10
    canary_fraction: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning(_Checked):
    """Self-tuning: how often, on how much evidence, how far.

    After an attempt the next one waits for ``trades_new`` more trades: the same evidence is not
    asked twice. ``replay_rows_max`` bounds bars times symbols, which are kept in memory.
    """

    enabled: bool = True
    cycles: int = 5
    trades_min: int = 10
    trades_new: int = 10
    trades_window: int = 50
    win_rate_high: float = 0.65
    win_rate_low: float = 0.40
    step_fraction: float = 0.15
    shrink_count: float = 100.0
    replay_bars: int = 672
    replay_rows_max: int = 30_000
    bootstrap_draws: int = 400
    confidence: float = 0.90


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile(_Checked):
    """What to do where the venue and the ledger differ.

    A position is closed when no stop rests for ``naked_ms_max``, when ``protect_tries_max``
    requests did not make its stop rest, or when the market was beyond a resting stop for
    ``passed_ms_max``.
    """

    adopt_unknown: bool = True
    default_loss: float = 0.01
    default_profit: float = 0.02
    default_horizon_ms: int = DAY_MS
    quantity_tolerance: float = 1e-9
    balance_tolerance: float = 0.002
    grace_ms: int = 5_000
    naked_ms_max: int = 30_000
    passed_ms_max: int = 10_000
    protect_tries_max: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Everything ``step`` needs beside its state: fixed while a process runs."""

    interval_ms: int
    instruments: Mapping[str, Instrument]
    costs: Costs = field(default_factory=Costs)
    limits: Limits = field(default_factory=Limits)
    sizing: Sizing = field(default_factory=Sizing)
    selector: Selector = field(default_factory=Selector)
    regime: Regime = field(default_factory=Regime)
    learned_regime: LearnedRegime = field(default_factory=LearnedRegime)
    session: Session = field(default_factory=Session)
    guard: Guard = field(default_factory=Guard)
    tuning: Tuning = field(default_factory=Tuning)
    reconcile: Reconcile = field(default_factory=Reconcile)


PROFILES: Final = ("conservative", "moderate", "aggressive")


def with_profile(params: Params, profile: str) -> Params:
    """Return ``params`` with the limits, sizing, selector and guard of a named risk profile.

    Raises
    ------
    InputError
        Where no such profile exists; the message offers the nearest.
    """
    if profile == "conservative":
        return replace(params, limits=Limits(), sizing=Sizing(), selector=Selector(), guard=Guard())
    if profile == "moderate":
        return replace(
            params,
            limits=Limits(position_fraction_max=0.20, gross_fraction_max=2.0, net_fraction_max=1.2),
            sizing=Sizing(risk_per_trade=0.01, volatility_target=0.40, beta_fraction_max=1.2),
            selector=Selector(positions_max=8, correlated_positions_max=4),
            guard=Guard(),
        )
    if profile == "aggressive":
        return replace(
            params,
            limits=Limits(position_fraction_max=0.30, gross_fraction_max=3.0, net_fraction_max=2.0),
            sizing=Sizing(risk_per_trade=0.02, volatility_target=0.60, beta_fraction_max=2.0),
            selector=Selector(positions_max=10, correlated_positions_max=5),
            guard=Guard(daily_loss_max=0.08, drawdown_halt=0.35),
        )
    raise InputError(unknown_name("risk profile", profile, PROFILES))
