"""When to stop entering although each single order would pass.

Decides the latches and pauses: kill switch, drawdown halt, daily loss, losses in a row, poor
performance. Never closes a position (a kill does, in ``step``) and never looks at a single order.
Rule: a latch opens only by a person's ``reset`` (the daily loss also at the next UTC day); all
times are market time; exits are never held back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from executor.core.contract import NoticeCode, Refusal
from executor.core.params import DAY_MS, Guard
from executor.core.types import Notice, Trade


@dataclass(slots=True, kw_only=True)
class GuardState:
    """What the guards remember. Changed only by ``step`` and the functions here."""

    day: int = -1
    day_equity: float = 0.0
    peak_equity: float = 0.0
    daily_latched: bool = False
    halted: str = ""
    killed: str = ""
    paused: bool = False
    flattening: bool = False
    losses_row: int = 0
    wins_row: int = 0
    cool_until_ms: int = 0
    performance_until_ms: int = 0
    entries_today: int = 0
    minute: int = 0
    entries_minute: int = 0
    canary_for: str = ""
    canary_left: int = 0
    canary_since_ms: int = 0
    repeated: dict[str, int] = field(default_factory=dict)
    repeated_latched: dict[str, int] = field(default_factory=dict)

    def drawdown(self, equity: float) -> float:
        """Return the drop from the peak as a positive fraction."""
        if self.peak_equity <= 0.0 or equity >= self.peak_equity:
            return 0.0
        return 1.0 - equity / self.peak_equity


def on_close(state: GuardState, equity: float, close_ms: int, guard: Guard) -> list[Notice]:
    """Take in the equity at a close: a new day, a new peak, a limit reached."""
    notices: list[Notice] = []
    day = close_ms // DAY_MS
    if day != state.day:
        state.day = day
        state.day_equity = equity
        state.daily_latched = False
        state.entries_today = 0
        state.repeated.clear()
    state.peak_equity = max(state.peak_equity, equity)
    if not state.daily_latched and equity <= state.day_equity * (1.0 - guard.daily_loss_max):
        state.daily_latched = True
        text = f"daily loss limit: equity {equity:.2f} from {state.day_equity:.2f} at day start"
        notices.append(_notice(NoticeCode.DAILY_LOSS, text, close_ms))
    if not state.halted and state.drawdown(equity) >= guard.drawdown_halt:
        state.halted = Refusal.DRAWDOWN
        text = f"drawdown {state.drawdown(equity):.1%} from the peak: entries halted until reset"
        notices.append(_notice(NoticeCode.DRAWDOWN, text, close_ms))
    return notices


def on_trade(
    state: GuardState, trades: Sequence[Trade], close_ms: int, interval_ms: int, guard: Guard
) -> list[Notice]:
    """Take in the newest of ``trades``: streaks, cool-down, performance."""
    notices: list[Notice] = []
    if state.canary_left and trades[-1].opened_ms >= state.canary_since_ms:
        state.canary_left -= 1
    if trades[-1].pnl > 0.0:
        state.wins_row += 1
        state.losses_row = 0
    else:
        state.losses_row += 1
        state.wins_row = 0
    row = state.losses_row
    if row and guard.losses_cool_down and row % guard.losses_cool_down == 0:
        state.cool_until_ms = close_ms + guard.cool_down_bars * interval_ms
        text = f"{row} losses in a row: no entries for {guard.cool_down_bars} bars"
        notices.append(_notice(NoticeCode.COOL_DOWN, text, close_ms))
    if close_ms >= state.performance_until_ms and poor(trades, guard):
        state.performance_until_ms = close_ms + guard.performance_pause_bars * interval_ms
        text = (
            f"the last {guard.performance_trades} trades are below the performance floor: "
            f"no entries for {guard.performance_pause_bars} bars"
        )
        notices.append(_notice(NoticeCode.PERFORMANCE, text, close_ms))
    return notices


def on_model(state: GuardState, version: str, time_ms: int, guard: Guard) -> None:
    """Let a model that takes another one's place begin small; the first one has no predecessor."""
    if version == state.canary_for:
        return
    state.canary_left = guard.canary_trades if state.canary_for else 0
    state.canary_for, state.canary_since_ms = version, time_ms


def canary_share(state: GuardState, guard: Guard) -> float:
    """Return the share of its size that a model may bet now."""
    return min(1.0, guard.canary_fraction) if state.canary_left else 1.0


def poor(trades: Sequence[Trade], guard: Guard) -> bool:
    """Say whether the newest trades are below the floor of win rate or profit factor."""
    if guard.performance_trades <= 0 or len(trades) < guard.performance_trades:
        return False
    newest = trades[-guard.performance_trades :]
    wins = [trade.pnl for trade in newest if trade.pnl > 0.0]
    lost = -sum(trade.pnl for trade in newest if trade.pnl <= 0.0)
    if len(wins) < guard.performance_win_rate_min * len(newest):
        return True
    return lost > 0.0 and sum(wins) < guard.performance_profit_factor_min * lost


def on_entry(state: GuardState, symbol: str, close_ms: int, repeated_max: int) -> Notice | None:
    """Count an entry that goes out; latch a symbol that is entered too often in one day."""
    minute = close_ms // 60_000
    if minute != state.minute:
        state.minute = minute
        state.entries_minute = 0
    state.entries_minute += 1
    state.entries_today += 1
    state.repeated[symbol] = state.repeated.get(symbol, 0) + 1
    if state.repeated[symbol] < repeated_max or symbol in state.repeated_latched:
        return None
    state.repeated_latched[symbol] = close_ms
    text = f"{symbol} was entered {repeated_max} times today: no more until a person resets"
    return Notice(code=NoticeCode.HALTED, symbol=symbol, text=text, time_ms=close_ms)


def entries_this_minute(state: GuardState, close_ms: int) -> int:
    """Return the entries already sent in the minute of ``close_ms``."""
    return state.entries_minute if close_ms // 60_000 == state.minute else 0


def held_back(state: GuardState, close_ms: int) -> Refusal | None:
    """Return why no entry may be made now, or None; the pause a person asked for comes last."""
    if state.killed or state.halted:
        return Refusal.HALTED
    if state.daily_latched:
        return Refusal.DAILY_LOSS
    if close_ms < state.cool_until_ms:
        return Refusal.COOL_DOWN
    if close_ms < state.performance_until_ms:
        return Refusal.PERFORMANCE
    return Refusal.PAUSED if state.paused else None


def reset(state: GuardState, equity: float) -> None:
    """Open every latch, as a person asked; the drawdown is measured anew from here."""
    state.killed = ""
    state.flattening = False
    state.halted = ""
    state.daily_latched = False
    state.day_equity = equity
    state.peak_equity = equity
    state.cool_until_ms = 0
    state.performance_until_ms = 0
    state.losses_row = 0
    state.repeated.clear()
    state.repeated_latched.clear()


def _notice(code: NoticeCode, text: str, time_ms: int) -> Notice:
    return Notice(code=code, symbol="", text=text, time_ms=time_ms)
