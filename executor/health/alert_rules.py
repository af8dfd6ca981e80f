"""What is worth telling: of each event at once, and of lasting conditions when they begin and end.

Decides the level and the words of every alert. Never sends one (`alerts` does), never changes
anything and reads nothing but `overview`. Rule: a condition is told when it begins, again every
``repeat_ms`` while it lasts, and once when it has passed.
"""

from collections.abc import Callable, Mapping
from typing import Final

from executor.alerting.desk import Alert, Alerts, Level
from executor.clock import Clock
from executor.core.contract import ALERTING, NoticeCode, Verdict
from executor.core.events import Event, OrderUpdated
from executor.core.types import Outcome
from executor.health.overview import Overview
from executor.health.performance import win_rate
from executor.settings.sections import Alerts as AlertSettings

LOOK_S: Final = 1.0
NAKED_S: Final = 15.0
INFO_NOTICES: Final[Mapping[str, Level]] = {
    NoticeCode.MODEL_SWAPPED: Level.INFO,
    NoticeCode.PARAMS_ADOPTED: Level.INFO,
    NoticeCode.PARAMS_REFUSED: Level.INFO,
    NoticeCode.PAUSED: Level.INFO,
    NoticeCode.RESUMED: Level.INFO,
    NoticeCode.RESET: Level.INFO,
    NoticeCode.COOL_DOWN: Level.INFO,
    NoticeCode.SYMBOLS_BLOCKED: Level.INFO,
    NoticeCode.SYMBOLS_UNBLOCKED: Level.INFO,
    NoticeCode.LEARNED_REGIME: Level.INFO,
    NoticeCode.UNIVERSE_CHANGED: Level.INFO,
    NoticeCode.MODEL_TAGGED: Level.INFO,
}
# The venue's words for too little money: wallet, available, margin, order cost.
INSUFFICIENT: Final = frozenset(
    {"110004", "110006", "110007", "110012", "110014", "110044", "110045"}
)
# What may come again and again for one symbol; every other notice is an event of its own.
REPEATING: Final = frozenset(
    {
        NoticeCode.ADOPTED,
        NoticeCode.STOP_MISSING,
        NoticeCode.NAKED_POSITION,
        NoticeCode.ILLEGAL_TRANSITION,
        NoticeCode.UNKNOWN_FILL,
        NoticeCode.BALANCE_MISMATCH,
    }
)
CRITICAL_NOTICES: Final = frozenset(
    {
        NoticeCode.STOP_MISSING,
        NoticeCode.NAKED_POSITION,
        NoticeCode.KILLED,
        NoticeCode.HALTED,
        NoticeCode.DAILY_LOSS,
        NoticeCode.DRAWDOWN,
    }
)

Condition = tuple[Level, str]


class AlertRules:
    """Looks at the overview every second, and at every event."""

    def __init__(
        self, settings: AlertSettings, overview: Overview, alerts: Alerts, clock: Clock
    ) -> None:
        self._settings = settings
        self._overview = overview
        self._alerts = alerts
        self._clock = clock
        self._open: dict[str, str] = {}
        self._refusal = ""
        self._held_lease = False
        self._is_running = False
        self._conditions: dict[str, Callable[[], Condition | None]] = {
            "balance": self._balance,
            "drawdown_level": self._drawdown,
            "stale_data": self._stale,
            "api_errors": self._api_errors,
            "accuracy": self._accuracy,
            "lease": self._lease,
            "unprotected": self._unprotected,
            "redis": self._redis,
            "venue_fatal": self._fatal,
            "heartbeat": self._hearts,
        }

    async def run(self) -> None:
        """Look for as long as the process runs."""
        while True:
            self.look()
            await self._clock.sleep(LOOK_S)

    def look(self) -> None:
        """Look once: tell what begins or lasts, and what has passed; an end is no condition."""
        if self._overview.is_ending:
            return
        for code, holds in self._conditions.items():
            found = holds()
            if found is not None:
                level, text = found
                if code not in self._open:
                    self._alerts.forget(code)
                self._open[code] = text
                self._alerts.tell(Alert(level=level, code=code, text=text))
            elif code in self._open:
                text = f"no longer: {self._open.pop(code)}"
                self._tell_event(Level.INFO, f"{code}_passed", text)
        self._model_kept_out()
        self._running()

    def after(self, event: Event, outcome: Outcome) -> None:
        """Tell what an event brought; called for every event, returns at once."""
        if isinstance(event, OrderUpdated) and event.reason in INSUFFICIENT:
            text = f"{event.symbol}: the venue says that the balance does not suffice"
            self._alerts.tell(
                Alert(level=Level.WARNING, code="balance_short", about=event.symbol, text=text)
            )
        lease = self._overview.parts.lease
        elsewhere = lease is not None and not lease.remaining_ms() and lease.is_elsewhere
        for notice in outcome.notices:
            code = NoticeCode(notice.code)
            if elsewhere and code in REPEATING:
                continue  # the account is another instance's, which tells of it
            level = INFO_NOTICES.get(code)
            if code in ALERTING:
                level = Level.CRITICAL if code in CRITICAL_NOTICES else Level.WARNING
            if level is not None:
                self._alerts.tell(
                    Alert(
                        level=level,
                        code=code,
                        about=notice.symbol,
                        text=notice.text,
                        is_event=code not in REPEATING,
                    )
                )
        if not self._settings.trades:
            return
        for decision in outcome.decisions:
            if decision.verdict == Verdict.ENTER:
                side = "long" if decision.side > 0 else "short"
                text = f"{side} {decision.quantity:g}, p {decision.probability:.3f}"
                name = decision.client_order_id
                self._tell_trade("trade_opened", f"{decision.symbol}: {text} ({name})", name)
        for trade in outcome.trades:
            text = f"{trade.symbol}: {trade.pnl:+.4f} ({trade.net_return:+.3%}), {trade.reason}"
            self._tell_trade("trade_closed", text, trade.entry_id)

    def _tell_event(self, level: Level, code: str, text: str) -> None:
        self._alerts.tell(Alert(level=level, code=code, text=text, is_event=True))

    def _tell_trade(self, code: str, text: str, about: str) -> None:
        self._alerts.tell(Alert(level=Level.INFO, code=code, about=about, text=text))

    def _model_kept_out(self) -> None:
        loader = self._overview.parts.loader
        refusal = loader.refusal if loader is not None and loader.reachable else ""
        if refusal and refusal != self._refusal:
            self._tell_event(Level.WARNING, "model_kept_out", refusal)
        self._refusal = refusal

    def _running(self) -> None:
        """Tell once that the start is over: a standby that took over, a restart that is through."""
        overview = self._overview
        if self._is_running or not overview.is_running:
            return
        self._is_running = True
        state, version = overview.parts.state, overview.model()["version"]
        held = len(state.ledger.positions) if state is not None else 0
        text = (
            f"trading {len(overview.symbols())} symbols with "
            f"{f'model {version}' if version else 'no model, so nothing is entered'}; "
            f"{held} positions held, {state.trade_count if state is not None else 0} trades so far"
        )
        judged = overview.judge()
        shut = [f"halted: {judged.halted}"] if judged.halted else []
        text = "; but ".join([text, *shut, *judged.held_back])
        self._tell_event(Level.INFO, "running", text)

    def _balance(self) -> Condition | None:
        state, most = self._overview.parts.state, self._settings.balance_drop
        if state is None or state.ledger.start <= 0.0:
            return None
        lost = 1.0 - state.equity() / state.ledger.start
        if lost < most:
            return None
        return Level.CRITICAL, f"equity {state.equity():.2f} is {lost:.1%} below the start"

    def _drawdown(self) -> Condition | None:
        state = self._overview.parts.state
        if state is None:
            return None
        depth = state.guard.drawdown(state.equity())
        if depth < self._settings.drawdown:
            return None
        return Level.WARNING, f"equity is {depth:.1%} below its peak"

    def _stale(self) -> Condition | None:
        feed, params = self._overview.parts.feed, self._overview.parts.params
        if feed is None or params is None or self._overview.market_finished():
            return None
        if feed.silent_ms <= params.interval_ms + self._settings.stale_ms:
            return None
        return Level.CRITICAL, f"no candle for {feed.silent_ms // 1000} s"

    def _api_errors(self) -> Condition | None:
        calls = self._overview.parts.calls
        if calls is None or calls.failed_row < self._settings.api_errors:
            return None
        return Level.WARNING, f"{calls.failed_row} calls to the venue failed in a row: {calls.last}"

    def _accuracy(self) -> Condition | None:
        state, count = self._overview.parts.state, self._settings.accuracy_trades
        if state is None or len(state.trades) < count:
            return None
        share = win_rate(state.trades[-count:])
        if share >= self._settings.accuracy_min:
            return None
        return Level.WARNING, f"the model was right in {share:.0%} of the last {count} trades"

    def _lease(self) -> Condition | None:
        lease = self._overview.parts.lease
        if lease is None:
            return None
        held = lease.remaining_ms() > 0
        self._held_lease = self._held_lease or held
        if held or not self._held_lease:
            return None
        return Level.CRITICAL, f"the lease is lost, {lease.absence()}: orders cannot be signed"

    def _unprotected(self) -> Condition | None:
        state = self._overview.parts.state
        if state is None:
            return None
        naked = sorted(n for n, p in state.ledger.positions.items() if not p.stop_verified)
        vitals, now = self._overview.vitals, self._clock.monotonic()
        seconds = vitals.note_naked(bool(naked), now)
        if seconds < NAKED_S:
            return None
        return Level.CRITICAL, f"no stop was seen for {seconds:.0f} s: {', '.join(naked)}"

    def _redis(self) -> Condition | None:
        overview = self._overview
        if not overview.redis_wanted or overview.redis_ok or not overview.is_running:
            return None
        return (
            Level.WARNING,
            f"Redis is lost, trading ends with the lease: {overview.redis_problem}",
        )

    def _fatal(self) -> Condition | None:
        orders = self._overview.parts.orders
        if orders is None or not orders.fatal:
            return None
        return Level.CRITICAL, f"the venue refuses us, entries are halted: {orders.fatal}"

    def _hearts(self) -> Condition | None:
        late = self._overview.late_components()
        return (Level.CRITICAL, f"no sign of life: {', '.join(late)}") if late else None
