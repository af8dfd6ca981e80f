"""Where each rule of the compiled portfolio loop stands in its one array of numbers.

Decides places only; ``core.params`` says what each means. One array, because a loop over tuples of
fifty names takes minutes to compile. Rule: a flag is 1 or 0, a count a whole number.
"""

from typing import Final

R_INTERVAL_MS: Final = 0
R_HORIZON_MS: Final = 1
R_TAKER_FEE: Final = 2
R_TAKE_FEE: Final = 3
R_SLIPPAGE_BASE: Final = 4
R_SLIPPAGE_VOLATILITY: Final = 5
R_TAKE_IS_MARKET: Final = 6
R_DAILY_LOSS_MAX: Final = 7
R_DRAWDOWN_HALT: Final = 8
R_LOSSES_COOL_DOWN: Final = 9
R_COOL_DOWN_MS: Final = 10
R_PERFORMANCE_TRADES: Final = 11
R_PERFORMANCE_WIN_RATE_MIN: Final = 12
R_PERFORMANCE_PROFIT_FACTOR_MIN: Final = 13
R_PERFORMANCE_PAUSE_MS: Final = 14
R_PROFIT: Final = 15
R_LOSS: Final = 16
R_VOLATILITY_SCALED: Final = 17
R_KAPPA: Final = 18
R_KELLY_PRIOR: Final = 19
R_RISK_PER_TRADE: Final = 20
R_RAISE_WINS: Final = 21
R_RAISE_FACTOR: Final = 22
R_ATR_HALVING: Final = 23
R_LOSSES_HALVING: Final = 24
R_THROTTLE_START: Final = 25
R_THROTTLE_FULL: Final = 26
R_THROTTLE_FLOOR: Final = 27
R_VOLUME_SHARE_MAX: Final = 28
R_VARIANCE_TARGET: Final = 29
R_BETA_MAX: Final = 30
R_SHRINKAGE: Final = 31
R_CORRELATION_ROWS: Final = 32
R_CORRELATION_BARS_MIN: Final = 33
R_CORRELATION_MAX: Final = 34
R_CORRELATED_MAX: Final = 35
R_UNKNOWN_CORRELATION: Final = 36
R_UNKNOWN_VOLATILITY: Final = 37
R_POSITIONS_MAX: Final = 38
R_VOLUMES_MIN: Final = 39
R_VOLUME_NEEDED: Final = 40
R_QUIET_FACTOR: Final = 41
R_POSITION_MAX: Final = 42
R_LEVERAGE_MAX: Final = 43
R_GROSS_MAX: Final = 44
R_NET_MAX: Final = 45
R_ORDER_NOTIONAL_MAX: Final = 46
R_ORDERS_MINUTE_MAX: Final = 47
R_ORDERS_DAY_MAX: Final = 48
R_REPEATED_MAX: Final = 49
R_TRAINED_UNTIL_MS: Final = 50
R_MODEL_AGE_DAYS_MAX: Final = 51
R_STOP_DISTANCE_MIN: Final = 52
R_STOP_DISTANCE_MAX: Final = 53
R_MAINTENANCE: Final = 54
R_ROUNDING: Final = 55
R_COUNT: Final = 56
# The names in the order of their places.
R_NAMES: Final = (
    "interval_ms",
    "horizon_ms",
    "taker_fee",
    "take_fee",
    "slippage_base",
    "slippage_volatility",
    "take_is_market",
    "daily_loss_max",
    "drawdown_halt",
    "losses_cool_down",
    "cool_down_ms",
    "performance_trades",
    "performance_win_rate_min",
    "performance_profit_factor_min",
    "performance_pause_ms",
    "profit",
    "loss",
    "volatility_scaled",
    "kappa",
    "kelly_prior",
    "risk_per_trade",
    "raise_wins",
    "raise_factor",
    "atr_halving",
    "losses_halving",
    "throttle_start",
    "throttle_full",
    "throttle_floor",
    "volume_share_max",
    "variance_target",
    "beta_max",
    "shrinkage",
    "correlation_rows",
    "correlation_bars_min",
    "correlation_max",
    "correlated_max",
    "unknown_correlation",
    "unknown_volatility",
    "positions_max",
    "volumes_min",
    "volume_needed",
    "quiet_factor",
    "position_max",
    "leverage_max",
    "gross_max",
    "net_max",
    "order_notional_max",
    "orders_minute_max",
    "orders_day_max",
    "repeated_max",
    "trained_until_ms",
    "model_age_days_max",
    "stop_distance_min",
    "stop_distance_max",
    "maintenance",
    "rounding",
)
