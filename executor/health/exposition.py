"""The overview as Prometheus metrics.

Decides names, units and labels. Never computes a figure that `overview` and its parts do not hold
already, and never keeps one. Rule: names end in their unit; a label takes few values (symbols,
codes, endpoints), never an id or a message.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from executor.core.contract import Status
from executor.health.judgement import Judgement
from executor.health.overview import Overview
from executor.venue.breaker import Circuit

DAY_MS: Final = 86_400_000
LEVELS: Final = ("healthy", "warning", "critical")


class Figures:
    """A collector, read when scraped."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def collect(self) -> Iterable[Metric]:
        """Yield every figure."""
        judged = self._overview.judge()
        figures = {**self._process(judged), **self._market(judged), **self._overview.metrics()}
        for name, value in figures.items():
            yield GaugeMetricFamily(f"tribar_{name}", name.replace("_", " "), value=float(value))
        yield from self._labelled(judged)
        yield from self._calls()

    def _process(self, judged: Judgement) -> dict[str, float]:
        overview, counters, vitals = self._overview, self._overview.counters, self._overview.vitals
        told = overview.alerts.told if overview.alerts is not None else None
        return {
            "up": float(judged.is_healthy),
            "uptime_seconds": vitals.uptime_s(overview.clock.monotonic()),
            "resident_megabytes": judged.memory_mb,
            "loop_lag_seconds": vitals.loop_lag_s_max(),
            "cold_start_seconds": counters.cold_start_s,
            "heartbeats": counters.heartbeats,
            "heartbeat_gap_max_seconds": counters.max_heartbeat_gap_s,
            "redis_outages": counters.redis_outages,
            "alerts_sent": told.sent if told else 0,
            "alerts_failed": told.failed if told else 0,
            "alerts_dropped": told.dropped if told else 0,
        }

    def _market(self, judged: Judgement) -> dict[str, float]:
        overview, counters, vitals = self._overview, self._overview.counters, self._overview.vitals
        health, lease = overview.health(judged), overview.parts.lease
        state, model = overview.parts.state, overview.model()
        universe = overview.parts.universe
        age_ms = overview.clock.now_ms() - model["trained_until_ms"] if model["version"] else 0
        return {
            "data_age_seconds": health["data_age_ms"] / 1000,
            "reconciled_age_seconds": health["reconciled_age_ms"] / 1000,
            "scan_seconds": vitals.scan_ms_last() / 1000,
            "universe_scan_seconds": universe.scan_s if universe is not None else 0.0,
            "universe_symbols": len(overview.symbols()),
            "naked_seconds": vitals.naked_s(overview.clock.monotonic()),
            "naked_max_seconds": vitals.naked_s_max,
            "lease_held": float(health["lease_holder"]),
            "lease_remaining_seconds": lease.remaining_ms() / 1000 if lease is not None else 0.0,
            "redis_up": float(health["redis"]),
            "venue_up": float(health["venue"]),
            "registry_up": float(health["registry"]),
            "model_age_days": age_ms / DAY_MS,
            "drawdown": state.guard.drawdown(state.equity()) if state is not None else 0.0,
            "last_close_timestamp_seconds": state.close_ms / 1000 if state is not None else 0.0,
            "duplicate_fills": counters.duplicate_fills,
            "unreadable_frames": counters.unreadable,
        }

    def _labelled(self, judged: Judgement) -> Iterable[Metric]:
        overview, counters = self._overview, self._overview.counters
        yield _family("refused_by", "entries refused", "reason", counters.refused)
        yield _family("rejected_by", "orders the venue rejected", "code", counters.rejected)
        now = overview.clock.monotonic()
        hearts = overview.vitals.hearts.overdue_s(now)
        yield _family("task_overdue_seconds", "silence beyond what is expected", "task", hearts)
        raised = overview.alerts.told.raised if overview.alerts is not None else {}
        yield _family("alerts_raised", "alerts raised, sent or not", "code", raised)
        coverage = {s: float(row["tradable"]) for s, row in overview.coverage().items()}
        yield _family("symbol_tradable", "1 where a symbol may be traded", "symbol", coverage)
        yield _word("status", "status", [str(word) for word in Status], str(judged.status))
        yield _word("level", "level of health", LEVELS, judged.level)
        model = GaugeMetricFamily(
            "tribar_model", "the model in use", labels=["version", "sha256", "gate"]
        )
        record = overview.model()
        if record["version"]:
            model.add_metric([record["version"], record["bundle_sha256"][:12], record["gate"]], 1.0)
        yield model

    def _calls(self) -> Iterable[Metric]:
        calls = self._overview.parts.calls
        if calls is None:
            return
        yield _family("calls", "calls to the venue", "endpoint", calls.made)
        yield _family("calls_failed", "calls that failed", "endpoint", calls.failed)
        yield _family("calls_rate_limited", "calls told to slow down", "endpoint", calls.limited)
        yield _family("call_seconds", "time spent in calls", "endpoint", calls.seconds)
        states = {
            name: float(state is not Circuit.CLOSED) for name, state in calls.states().items()
        }
        yield _family("breaker_open", "1 while endpoints are left alone", "group", states)


def _family(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"tribar_{name}", text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], float(value))
    return family


def _word(name: str, text: str, words: Iterable[str], current: str) -> Metric:
    """Return one sample a word, 1 for the current one."""
    return _family(name, f"1 for the current {text}", name, {w: float(w == current) for w in words})
