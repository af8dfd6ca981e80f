"""Healthy, warning, critical: each threshold of the settings, on it and just beyond it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from executor.core.contract import Status
from executor.core.state import TradingState
from executor.counters import Counters
from executor.health.judgement import Judgement
from executor.health.overview import Overview
from executor.settings.settings import Settings
from executor.venue.breaker import Circuit
from tests.support.clocks import FakeClock
from tests.support.trading import INTERVAL_MS, LONG_ROW, Desk, trade


class Patient:
    """An overview over parts that are well, until the test makes them ill."""

    def __init__(self) -> None:
        self.clock, self.desk = FakeClock(), Desk()
        self.overview = Overview(settings=Settings(), clock=self.clock, counters=Counters())
        self.overview.phase = Status.RUNNING
        self.overview.vitals.memory_mb = lambda: self.memory_mb
        self.memory_mb = 100.0
        self.lease = SimpleNamespace(
            left_ms=20_000,
            reachable=True,
            remaining_ms=lambda: self.lease.left_ms,
            absence=lambda: "b holds it",
        )
        self.feed = SimpleNamespace(silent_ms=0)
        self.reconciler = SimpleNamespace(age_ms=0, problem="")
        self.orders = SimpleNamespace(fatal="")
        self.universe = SimpleNamespace(
            scan_s=0.1, problem="", followed=("BTCUSDT",), leaving=[], members=("BTCUSDT",)
        )
        self.loader = SimpleNamespace(
            asked=True,
            reachable=True,
            refusal="",
            current="model",
            quarantine=SimpleNamespace(untold=list),
        )
        self.calls = SimpleNamespace(
            rate=0.0, ms=100.0, circuit=Circuit.CLOSED, error_rate=lambda: self.calls.rate,
            mean_ms=lambda: self.calls.ms, states=lambda: {"market": self.calls.circuit},
        )  # fmt: skip
        parts: Any = self.overview.parts
        for name in ("lease", "feed", "reconciler", "orders", "universe", "loader", "calls"):
            setattr(parts, name, getattr(self, name))
        parts.state, parts.params = self.desk.state, self.desk.params

    def judged(self) -> Judgement:
        return self.overview.judge()

    def state(self) -> TradingState:
        return self.desk.state

    def scan(self, seconds: float) -> None:
        self.overview.vitals.scan_ms.append(1_000 * seconds)

    def beat(self, ago_s: float) -> None:
        self.overview.vitals.hearts.expect("loader", self.clock.monotonic() - ago_s)


STALE_MS = 2 * INTERVAL_MS + 60_000
THRESHOLDS: list[tuple[str, str, Callable[[Patient, bool], None]]] = [
    ("warning", "scan", lambda p, ill: p.scan(30.001 if ill else 30.0)),
    ("warning", "scan", lambda p, ill: setattr(p.universe, "scan_s", 30.1 if ill else 30.0)),
    ("warning", "memory", lambda p, ill: setattr(p, "memory_mb", 1_024.1 if ill else 1_024.0)),
    ("warning", "calls", lambda p, ill: setattr(p.calls, "rate", 0.051 if ill else 0.05)),
    ("warning", "calls", lambda p, ill: setattr(p.calls, "ms", 2_001.0 if ill else 2_000.0)),
    (
        "warning",
        "calls",
        lambda p, ill: setattr(p.calls, "circuit", Circuit.OPEN if ill else Circuit.CLOSED),
    ),
    ("warning", "registry", lambda p, ill: setattr(p.loader, "reachable", not ill)),
    ("warning", "model", lambda p, ill: setattr(p.loader, "refusal", "gate" if ill else "")),
    ("warning", "model", lambda p, ill: setattr(p.loader, "current", None if ill else "m")),
    (
        "warning",
        "registry",
        lambda p, ill: setattr(p.loader.quarantine, "untold", lambda: ["3"] if ill else []),
    ),
    ("warning", "universe", lambda p, ill: setattr(p.universe, "problem", "x" if ill else "")),
    ("warning", "venue", lambda p, ill: setattr(p.reconciler, "problem", "x" if ill else "")),
    (
        "warning",
        "venue",
        lambda p, ill: p.overview.parts.lost_streams.update({"candles": "cut"} if ill else {}),
    ),
    ("critical", "task", lambda p, ill: p.beat(30.1 if ill else 29.9)),
    ("critical", "data", lambda p, ill: setattr(p.feed, "silent_ms", STALE_MS + int(ill))),
    ("critical", "venue", lambda p, ill: setattr(p.reconciler, "age_ms", 60_000 + int(ill))),
    ("critical", "venue", lambda p, ill: setattr(p.orders, "fatal", "key" if ill else "")),
    ("critical", "lease", lambda p, ill: setattr(p.lease, "left_ms", 0 if ill else 1)),
    ("critical", "halted", lambda p, ill: setattr(p.state().guard, "killed", "k" if ill else "")),
]


@pytest.mark.parametrize(("level", "part", "befall"), THRESHOLDS)
def test_a_threshold_counts_just_beyond_it(
    level: str, part: str, befall: Callable[[Patient, bool], None]
) -> None:
    patient = Patient()
    befall(patient, False)
    well = patient.judged()
    assert (well.level, well.status, well.reasons) == ("healthy", Status.RUNNING, [])
    befall(patient, True)
    ill = patient.judged()
    assert ill.level == level
    assert ill.is_healthy == (level == "warning"), "/health is 503 where it is critical"
    (reason,) = ill.reasons
    assert reason.startswith(part), reason
    expected = Status.HALTED if part == "halted" else Status.DEGRADED
    assert ill.status == expected


def test_the_worst_comes_first_and_a_pause_is_no_illness() -> None:
    patient = Patient()
    patient.memory_mb, patient.feed.silent_ms = 2_000.0, STALE_MS + 1
    assert [r.split(":")[0] for r in patient.judged().reasons] == ["data", "memory"]
    patient = Patient()
    patient.state().guard.paused = True
    judged = patient.judged()
    assert (judged.level, judged.status, judged.is_healthy) == ("healthy", Status.PAUSED, True)
    assert judged.reasons == ["entries: paused until a resume"]


def test_what_holds_entries_back_is_said_with_its_end() -> None:
    patient = Patient()
    guard, now_ms = patient.state().guard, patient.state().close_ms
    guard.daily_latched = True
    guard.cool_until_ms = guard.performance_until_ms = now_ms + 1
    guard.repeated_latched["BTCUSDT"] = now_ms
    judged = patient.judged()
    assert (judged.level, judged.status) == ("healthy", Status.RUNNING)
    said = ("daily loss", "losses in a row until 1970", "poor trades until 1970", "BTCUSDT")
    assert all(word in line for word, line in zip(said, judged.reasons, strict=True))
    guard.cool_until_ms = guard.performance_until_ms = now_ms
    assert len(patient.judged().reasons) == 2, "what is over is not said"


def test_it_says_when_it_is_about_to_try_other_parameters() -> None:
    patient = Patient()
    for _ in range(100):
        patient.desk.close({"BTCUSDT": LONG_ROW})
    state = patient.state()
    state.tuning.due = True
    assert patient.judged().status is Status.RUNNING, "there is nothing to learn from yet"
    state.trades.extend(trade(1.0) for _ in range(20))
    state.trade_count = 20
    assert patient.judged().status is Status.OPTIMIZING
    assert patient.judged().is_healthy
    patient.desk.close()
    assert patient.judged().status is Status.RUNNING, "it was done before that event"
