"""What is known of the process, in one place.

Decides the status word, the reasons for it, and which of them make the process unhealthy. Never
changes anything and never asks the outside. Rule: Redis, `/health`, `/status`, `/metrics` and the
summary file all show what is computed here, so that they cannot disagree.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from executor.alerting.desk import Alerts
from executor.clock import Clock, iso
from executor.control.http import HttpCommands
from executor.core.contract import HealthRecord, ModelRecord, PositionRecord, Refusal, Status
from executor.core.coverage import coverage_table
from executor.core.events import Event
from executor.core.guard import canary_share
from executor.core.learned_regime import EVIDENCE_MIN, SAMPLES_MIN, RegimeLearner
from executor.core.tuning import wanted
from executor.core.types import Outcome
from executor.counters import Counters
from executor.health import complaints
from executor.health.judgement import Judgement
from executor.health.performance import EquityCurve, profit_factor, win_rate
from executor.journal.codec import plain
from executor.parts import Parts
from executor.settings.settings import Settings
from executor.vitals.process import Vitals

RECENT_TRADES: Final = 50
NO_MODEL = ModelRecord(
    name="",
    version="",
    alias="",
    bundle_sha256="",
    feature_schema="",
    gate="",
    trained_until_ms=0,
    symbols=[],
)


@dataclass(slots=True, kw_only=True)
class Overview:
    """Reads the parts. ``phase`` is set by `app`, the rest follows."""

    settings: Settings
    clock: Clock
    counters: Counters
    phase: Status = Status.INITIALIZING
    step: str = "starting"
    problem: str = ""
    is_ending: bool = False
    redis_ok: bool = False
    redis_problem: str = ""
    redis_wanted: bool = False
    market_finished: Callable[[], bool] = field(default=lambda: False)
    parts: Parts = field(default_factory=Parts)
    vitals: Vitals = field(default_factory=Vitals)
    commands: HttpCommands = field(default_factory=HttpCommands)
    alerts: Alerts | None = None
    shadow: Any = None
    reports: deque[dict[str, Any]] = field(default_factory=deque)
    listeners: list[Callable[[Event, Outcome], None]] = field(default_factory=list)
    curve: EquityCurve = field(default_factory=EquityCurve)
    model_record: ModelRecord = field(default_factory=lambda: ModelRecord(**NO_MODEL))

    def judge(self) -> Judgement:
        """Return how the process is now; one answer asks once and hands it on."""
        memory_mb, guard = self.vitals.memory_mb(), None
        if self.parts.state is not None:
            guard = self.parts.state.guard
        return Judgement(
            phase=self.phase,
            critical=tuple(self._critical()),
            warnings=tuple(complaints.warnings(self.settings, self.parts, self.vitals, memory_mb)),
            memory_mb=memory_mb,
            held_back=tuple(complaints.held_back(self.parts)),
            halted=(guard.killed or guard.halted) if guard is not None else "",
            is_paused=guard is not None and guard.paused,
            is_optimizing=self.is_optimizing(),
        )

    def is_optimizing(self) -> bool:
        """Say whether self-tuning tries other parameters before the next event."""
        state, params = self.parts.state, self.parts.params
        if state is None or params is None or not state.tuning.due:
            return False
        return wanted(state, params) != 0

    def _critical(self) -> list[str]:
        """Return what makes the process unhealthy: each a reason for 503."""
        if self.phase is not Status.RUNNING:
            return [f"{self.phase.lower()}: {self.problem or self.step}"]
        reasons = []
        if self._redis_is_lost():
            reasons.append(f"redis: {self.redis_problem or 'nothing is published yet'}")
        market_open = not (self.settings.feed.acknowledge_url and self.market_finished())
        return reasons + complaints.critical(
            self.settings,
            self.parts,
            self.vitals,
            self.clock.monotonic(),
            market_open=market_open,
        )

    def _redis_is_lost(self) -> bool:
        """Say whether the window is shut; who does not hold the lease has nothing to publish."""
        lease = self.parts.lease
        elsewhere = lease is not None and lease.reachable and not lease.remaining_ms()
        return self.redis_wanted and not self.redis_ok and not elsewhere

    def late_components(self) -> list[str]:
        """Return the names of the tasks that show no life."""
        return list(complaints.late_components(self.settings, self.vitals, self.clock.monotonic()))

    @property
    def is_running(self) -> bool:
        """Say whether the start is over and the end has not begun."""
        return self.phase is Status.RUNNING

    def health(self, judged: Judgement) -> HealthRecord:
        """Return the value of ``bot:health``."""
        parts = self.parts
        return HealthRecord(
            status=str(judged.status),
            reasons=judged.reasons,
            lease_holder=bool(parts.lease is not None and parts.lease.remaining_ms()),
            data_age_ms=parts.feed.silent_ms if parts.feed is not None else 0,
            reconciled_age_ms=parts.reconciler.age_ms if parts.reconciler is not None else 0,
            redis=self.redis_ok,
            venue=bool(parts.reconciler is not None and not parts.reconciler.problem),
            registry=bool(parts.loader is not None and parts.loader.reachable),
        )

    def model(self) -> ModelRecord:
        """Return the model that is traded, as ``bot:model`` shows it."""
        return self.model_record

    def coverage(self) -> dict[str, Any]:
        """Return which symbols may be traded and why not."""
        parts = self.parts
        if parts.params is None:
            return {}
        model = parts.state.model if parts.state is not None else None
        info = model.info if model is not None else None
        table = coverage_table(info, self.symbols(), parts.params.limits)
        for symbol in parts.universe.leaving if parts.universe is not None else ():
            table[symbol] |= {"tradable": False, "reason": Refusal.LEAVING}
        return {symbol: dict(record) for symbol, record in table.items()}

    def symbols(self) -> list[str]:
        """Return the symbols that are followed: the members of the universe, and what is held."""
        universe = self.parts.universe
        if universe is None or not universe.followed:
            return list(self.settings.trading.symbols)
        return list(universe.followed)

    def _universe(self) -> dict[str, Any]:
        """Return which symbols are members, which are only followed, and how the choice went."""
        universe = self.parts.universe
        if universe is None:
            return {}
        return {
            "mode": self.settings.universe.mode,
            "members": list(universe.members),
            "leaving": universe.leaving,
            "scan_s": round(universe.scan_s, 3),
            "problem": universe.problem,
        }

    def adaptive(self) -> dict[str, float]:
        """Return the six adaptive parameters, empty without a model."""
        return self.parts.state.adaptive() if self.parts.state is not None else {}

    def positions(self) -> list[PositionRecord]:
        """Return the open positions at the last prices."""
        state = self.parts.state
        if state is None:
            return []
        found = []
        for _, position in sorted(state.ledger.positions.items()):
            mark = state.ledger.mark(position)
            move = position.side * (mark - position.entry_price)
            found.append(
                PositionRecord(
                    symbol=position.symbol,
                    side=position.side,
                    quantity=position.quantity,
                    entry_price=position.entry_price,
                    mark_price=mark,
                    stop_price=position.stop_price,
                    take_price=position.take_price,
                    unrealised=move * position.quantity,
                    opened_ms=position.opened_ms,
                    deadline_ms=position.deadline_ms,
                    origin=position.origin,
                    stop_verified=position.stop_verified,
                )
            )
        return found

    def metrics(self) -> dict[str, float]:
        """Return the fields of ``bot:metrics``."""
        state, counters = self.parts.state, self.counters
        trades = state.trades if state is not None else []
        equity = state.equity() if state is not None else 0.0
        guard = state.guard if state is not None else None
        held = state.ledger.positions if state is not None else {}
        exposure = sum(abs(state.ledger.exposure(s)) for s in held) if state is not None else 0.0
        interval_ms = self.parts.params.interval_ms if self.parts.params is not None else 1
        learner = self._learner()
        return {
            "win_rate": win_rate(trades),
            "total_trades": state.trade_count if state is not None else 0,
            "recent_trades": len(trades[-RECENT_TRADES:]),
            "optimization_cycles": state.tuning.optimizations if state is not None else 0,
            "profit_factor": profit_factor(trades),
            "sharpe": self.curve.sharpe(interval_ms),
            "max_drawdown": self.curve.max_drawdown,
            "equity": equity,
            "daily_pnl": equity - guard.day_equity if guard is not None and guard.day >= 0 else 0.0,
            "exposure": exposure,
            "open_positions": len(held),
            "decisions": counters.decisions,
            "approved": counters.approved,
            "refused": sum(counters.refused.values()),
            "orders": counters.orders,
            "fills": counters.fills,
            "bars": counters.bars,
            "regime_samples": learner.samples,
            "regime_evidence": round(learner.evidence(), 4),
            "regime_influence": round(learner.influence(), 4),
        }

    def _canary(self) -> dict[str, Any]:
        """Return what a new model bets, and for how many trades more."""
        state, params = self.parts.state, self.parts.params
        if state is None or params is None:
            return {}
        share = canary_share(state.guard, params.guard)
        return {"share": share, "trades_left": state.guard.canary_left}

    def _learned_regime(self) -> dict[str, Any]:
        """Return what the learned regime forecasts, and how much that counts."""
        learner = self._learner()
        return {
            "forecast": learner.forecast,
            "influence": round(learner.influence(), 4),
            "samples": learner.samples,
            "samples_needed": SAMPLES_MIN,
            "hits": learner.hits,
            "majority_hits": learner.majority_hits,
            "evidence": round(learner.evidence(), 4),
            "evidence_needed": EVIDENCE_MIN,
        }

    def _learner(self) -> RegimeLearner:
        return self.parts.state.learner if self.parts.state is not None else RegimeLearner()

    def _alerts(self) -> dict[str, Any]:
        """Return whether anybody is told, and what became of what there was to tell."""
        if self.alerts is None:
            return {"configured": False}
        told = self.alerts.told
        return {
            "configured": self.alerts.configured,
            "waiting": self.alerts.waiting,
            "raised": dict(told.raised),
            "sent": told.sent,
            "failed": told.failed,
            "repeated": told.repeated,
            "dropped": told.dropped,
            "problem": told.problem,
        }

    def _calls(self) -> dict[str, Any]:
        """Return how calls to the venue fare."""
        calls = self.parts.calls
        if calls is None:
            return {}
        return {
            "made": dict(calls.made),
            "failed": dict(calls.failed),
            "by_class": dict(calls.by_class),
            "error_rate": round(calls.error_rate(), 4),
            "trend": round(calls.trend(), 4),
            "mean_ms": round(calls.mean_ms(), 1),
            "breakers": {name: str(state) for name, state in calls.states().items()},
        }

    def summary(self) -> dict[str, Any]:
        """Return what `/status` answers and the summary file holds."""
        counters, state, loader = self.counters, self.parts.state, self.parts.loader
        judged, coverage = self.judge(), self.coverage()
        return {
            "time": iso(self.clock.now_ms()),
            "status": str(judged.status),
            "level": judged.level,
            "step": self.step,
            "health": dict(self.health(judged)),
            "uptime_s": round(self.vitals.uptime_s(self.clock.monotonic())),
            "config_hash": self.settings.config_hash(),
            "environment": self.settings.trading.environment,
            "profile": self.settings.trading.profile,
            "symbols": self.symbols(),
            "universe": self._universe(),
            "interval": self.settings.trading.interval,
            "close_ms": state.close_ms if state is not None else 0,
            "market_finished": self.market_finished(),
            "model": dict(self.model()),
            "canary": self._canary(),
            "quarantined": loader.quarantine.reasons() if loader is not None else {},
            "shadow": plain(self.shadow) if self.shadow is not None else {},
            "adaptive_params": self.adaptive(),
            "learned_regime": self._learned_regime(),
            "coverage": coverage,
            "active_symbols": [s for s, row in coverage.items() if row["tradable"]],
            "blocked_symbols": [s for s, row in coverage.items() if not row["tradable"]],
            "positions": self.positions(),
            "metrics": self.metrics(),
            "components": self.vitals.hearts.overdue_s(self.clock.monotonic()),
            "alerts": self._alerts(),
            "calls": self._calls(),
            "last_report": self.reports[-1] if self.reports else {},
            "executor": {
                "cold_start_s": round(counters.cold_start_s, 3),
                "history_s": round(counters.history_s, 3),
                "rss_mb": round(judged.memory_mb, 1),
                "bars": counters.bars,
                "decisions": counters.decisions,
                "approved": counters.approved,
                "refused": dict(counters.refused),
                "orders": counters.orders,
                "fills": counters.fills,
                "trades": state.trade_count if state is not None else 0,
                "heartbeats": counters.heartbeats,
                "max_heartbeat_gap_s": round(counters.max_heartbeat_gap_s, 3),
                "model_version": self.model()["version"],
            },
        }
