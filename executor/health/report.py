"""The health report: what a person wants to read every quarter of an hour, and at the end.

Decides which figures it holds and that the newest hundred are kept. Never judges (`overview` does)
and never sends. Rule: a report fits one log line and shows no secret.
"""

from collections import deque
from typing import Any, Final

import structlog

from executor.clock import Clock, iso
from executor.health.overview import Overview
from executor.logs import recent_errors

REPORTS_KEPT: Final = 100
ERRORS_SHOWN: Final = 5

log = structlog.get_logger("health")


class HealthReports:
    """Writes one report every interval; ``kept`` holds the newest."""

    def __init__(self, overview: Overview, clock: Clock, interval_ms: int) -> None:
        self._overview = overview
        self._clock = clock
        self._interval_s = interval_ms / 1000
        self.kept: deque[dict[str, Any]] = deque(maxlen=REPORTS_KEPT)

    async def run(self) -> None:
        """Report for as long as the process runs."""
        while True:
            await self._clock.sleep(self._interval_s)
            self.report("periodic")

    def report(self, occasion: str) -> dict[str, Any]:
        """Write one report to the log, keep it, and return it."""
        made = {"time": iso(self._clock.now_ms()), "occasion": occasion, **self._figures()}
        self.kept.append(made)
        log.info("health_report", **made)
        return made

    def _figures(self) -> dict[str, Any]:
        overview, judged = self._overview, self._overview.judge()
        metrics, vitals, calls = overview.metrics(), overview.vitals, overview.parts.calls
        made = sum(calls.made.values()) if calls is not None else 0
        failed = sum(calls.failed.values()) if calls is not None else 0
        uptime_s = vitals.uptime_s(self._clock.monotonic())
        return {
            "level": judged.level,
            "status": str(judged.status),
            "reasons": judged.reasons,
            "uptime_s": round(uptime_s),
            "calls": made,
            "call_success": round(1.0 - failed / made, 4) if made else 1.0,
            "calls_minute": round(60.0 * made / uptime_s, 1) if uptime_s > 0.0 else 0.0,
            "call_ms": round(calls.mean_ms(), 1) if calls is not None else 0.0,
            "error_trend": round(calls.trend(), 4) if calls is not None else 0.0,
            "positions": metrics["open_positions"],
            "trades": metrics["total_trades"],
            "win_rate": round(metrics["win_rate"], 4),
            "equity": round(metrics["equity"], 4),
            "daily_pnl": round(metrics["daily_pnl"], 4),
            "scan_ms": round(vitals.scan_ms_last(), 1),
            "loop_lag_s": round(vitals.loop_lag_s_max(), 3),
            "memory_mb": round(judged.memory_mb, 1),
            "recent_errors": list(recent_errors())[-ERRORS_SHOWN:],
        }
