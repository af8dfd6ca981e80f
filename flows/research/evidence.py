"""All that was measured of a finished model, in a form that a file holds.

Decides the shape of the evidence that gate, report and registry read. Never computes a figure.
Rule: it goes to JSON and back without loss, so that a verdict can be given again on another day
from the file alone.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite, nan
from typing import Any, Final

import numpy as np

from features.types import FloatArray

WRITTEN: Final = "written signal"
"""The record of the recipe as it was written down, without a model: nobody searched for it."""
Figures = dict[str, float]
Curve = dict[str, list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBucket:
    """Out-of-fold wins among rows of probability [lo, hi), counted by uniqueness."""

    lo: float
    hi: float
    wins: float
    n: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """Daily net returns of a way to choose entries, shape (days,), and its figures."""

    daily: FloatArray
    metrics: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Trades:
    """The model's round trips out of sample; lists of one length."""

    symbol: list[str]
    side: list[int]
    start_ms: list[int]
    end_ms: list[int]
    reason: list[str]
    net: list[float]
    gross: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Weight of won and lost rows of the test part by probability; ``edges`` has one more."""

    edges: list[float]
    won: list[float]
    lost: list[float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """Figures by split and group, and records by name.

    ``test_records`` cover the test part alone, ``records`` all that was judged out of sample:
    the walk-forward and the test part in one book. Days are counted from 1970, UTC. ``importance``
    is the share of the trees' gain, ``contribution`` the mean size of a feature's SHAP value on
    rows of the test part, in log odds. ``tuned`` are net returns over all judged days at points of
    the box that self-tuning is allowed. Of ``compared_cells`` features of the newest bars
    ``unequal_cells`` differ from the live stream's; ``leaked_rows`` trained and touch what judged.
    """

    metrics: Mapping[str, Figures]
    groups: Mapping[str, Figures]
    calibration: Mapping[str, Curve]
    spread: Spread
    test_records: Mapping[str, Record]
    records: Mapping[str, Record]
    hold: FloatArray
    first_day: int
    test_first_day: int
    trades: Trades
    labels: Mapping[str, Figures]
    importance: Figures
    contribution: Figures
    buckets: tuple[CalibrationBucket, ...]
    bet_q90: float
    horizon_hours: float
    tuned: tuple[float, ...] = ()
    unequal_cells: int = 0
    compared_cells: int = 0
    leaked_rows: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; what is not a number becomes None."""
        return {
            "metrics": _plain(self.metrics),
            "groups": _plain(self.groups),
            "calibration": {name: dict(curve) for name, curve in self.calibration.items()},
            "spread": asdict(self.spread),
            "test_records": {n: _record(r) for n, r in self.test_records.items()},
            "records": {n: _record(r) for n, r in self.records.items()},
            "hold": self.hold.tolist(),
            "first_day": self.first_day,
            "test_first_day": self.test_first_day,
            "trades": asdict(self.trades),
            "labels": _plain(self.labels),
            "importance": self.importance,
            "contribution": self.contribution,
            "buckets": [asdict(bucket) for bucket in self.buckets],
            "bet_q90": self.bet_q90,
            "horizon_hours": self.horizon_hours,
            "tuned": list(self.tuned),
            "unequal_cells": self.unequal_cells,
            "compared_cells": self.compared_cells,
            "leaked_rows": self.leaked_rows,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Evidence":
        """Return the evidence that :meth:`as_dict` wrote."""
        return cls(
            metrics=_figures(plain["metrics"]),
            groups=_figures(plain["groups"]),
            calibration=plain["calibration"],
            spread=Spread(**plain["spread"]),
            test_records={n: _read(r) for n, r in plain["test_records"].items()},
            records={n: _read(r) for n, r in plain["records"].items()},
            hold=np.asarray(plain["hold"], dtype=np.float64),
            first_day=int(plain["first_day"]),
            test_first_day=int(plain["test_first_day"]),
            trades=Trades(**plain["trades"]),
            labels=_figures(plain["labels"]),
            importance=plain["importance"],
            contribution=plain["contribution"],
            buckets=tuple(CalibrationBucket(**bucket) for bucket in plain["buckets"]),
            bet_q90=float(plain["bet_q90"]),
            horizon_hours=float(plain["horizon_hours"]),
            tuned=tuple(plain.get("tuned", ())),
            unequal_cells=int(plain.get("unequal_cells", 0)),
            compared_cells=int(plain.get("compared_cells", 0)),
            leaked_rows=int(plain.get("leaked_rows", 0)),
        )


def finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Return the figures with None for what is not a number."""
    return {name: float(v) if isfinite(v) else None for name, v in figures.items()}


def _plain(groups: Mapping[str, Figures]) -> dict[str, dict[str, float | None]]:
    return {name: finite(figures) for name, figures in groups.items()}


def _figures(groups: Mapping[str, Mapping[str, float | None]]) -> dict[str, Figures]:
    return {
        name: {key: nan if value is None else float(value) for key, value in figures.items()}
        for name, figures in groups.items()
    }


def _record(record: Record) -> dict[str, Any]:
    return {"daily": record.daily.tolist(), "metrics": finite(record.metrics)}


def _read(plain: Mapping[str, Any]) -> Record:
    daily = np.asarray(plain["daily"], dtype=np.float64)
    return Record(daily=daily, metrics=_figures({"": plain["metrics"]})[""])
