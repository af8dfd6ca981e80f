"""Which market this is, and whether it is one to trade in.

Decides the trend and volatility state of a symbol, and the two filters on it: regime and session.
Never predicts. Rule: plain scalars of one feature row; a quantity that the catalog lacks passes;
the labels ("up/normal") are recorded with every decision and trade, so results can be split by
them.
"""

import math

from executor.core.params import DAY_MS, Regime, Session

UP = "up"
DOWN = "down"
FLAT = "flat"
QUIET = "quiet"
NORMAL = "normal"
WILD = "wild"


def trend_state(adx: float | None, direction: float | None, regime: Regime) -> str:
    """Return the trend: up or down where the ADX (0..100) says there is one."""
    if adx is None or direction is None or not adx >= regime.adx_trend:
        return FLAT
    return UP if direction > 0.0 else DOWN


def volatility_state(volatility: float, profit: float, horizon_bars: int, regime: Regime) -> str:
    """Return quiet, normal or wild from the per-bar volatility and the way to the profit barrier.

    One deviation over the horizon is volatility·√horizon for a random walk.
    """
    if not volatility <= regime.volatility_max:
        return WILD
    if not volatility * math.sqrt(horizon_bars) >= regime.reach_min * profit:
        return QUIET
    return NORMAL


def regime_blocks(trend: str, volatility: str, side: int, regime: Regime) -> bool:
    """Say whether an entry of ``side`` is filtered out in this regime."""
    if volatility != NORMAL:
        return True
    if not regime.block_counter_trend:
        return False
    return (trend == UP and side < 0) or (trend == DOWN and side > 0)


def session_blocks(close_ms: int, volume_ratio: float | None, session: Session) -> bool:
    """Say whether a bar's volume (a multiple of the usual) is too low for the hour it closes in."""
    if volume_ratio is None:
        return False
    needed = session.volume_min
    hour = (close_ms % DAY_MS) // 3_600_000
    if not any(start <= hour < end for start, end in session.active_hours):
        needed *= session.quiet_factor
    return not volume_ratio >= needed
