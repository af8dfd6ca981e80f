"""From a trained and judged model to the files that an executor loads.

Decides the manifest: everything a decision needs and everything a person may ask. Never holds a
wall time, a run id or a path. Rule: the same data, recipe, seed and library versions give the same
bytes, so the bundle's sha256 is the model's identity.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
import sklearn
import xgboost as xgb

from executor.core.bundle import BOOSTER, LINEAR, MANIFEST, Part, pack
from executor.core.bundle import Linear as PackedLinear
from executor.core.manifest import FORMAT, MULTI
from features.meta import model_names
from flows.research.criteria import Verdict
from flows.research.economics import BUCKETS, Economics
from flows.research.evidence import Evidence, Record, finite
from flows.research.market import Dataset
from flows.research.training import Trained
from flows.research.tuned import tuning_box

KELLY_FRACTION = 0.25
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a model comes from: data, code and seeds."""

    lake_version: str
    content_sha256: str
    git_revision: str
    seed: int


def parts(trained: Trained) -> dict[str, Part]:
    """Return the fitted parts as the bundle packs them."""
    linear = trained.fitted.linear
    packed = PackedLinear(
        mean=linear.mean,
        scale=linear.scale,
        coefficients=linear.coefficients,
        intercept=linear.intercept,
    )
    return {"": Part(booster=bytes(trained.fitted.booster.save_raw("ubj")), linear=packed)}


def draft_manifest(
    dataset: Dataset, trained: Trained, evidence: Evidence, origin: Origin
) -> dict[str, Any]:
    """Return the manifest without the gate's verdict and the files."""
    recipe, fitted = trained.recipe, trained.fitted
    interval = dataset.interval_ms
    names = dataset.catalog.names
    return {
        "format": FORMAT,
        "feature_schema": dataset.catalog.schema_hash,
        "feature_names": list(names),
        "model_names": list(model_names(names, dataset.symbols, dataset.encoding)),
        "symbols": {
            m.symbol: {"history_days": m.history_days, "coverage": m.coverage}
            for m in dataset.markets
        },
        "mode": MULTI,
        "encoding": dataset.encoding,
        "signal": asdict(recipe.signal),
        "barriers": {
            "profit": recipe.barriers.profit,
            "loss": recipe.barriers.loss,
            "horizon_bars": recipe.barriers.horizon_bars(interval),
            "volatility_scaled": recipe.barriers.volatility_scaled,
        },
        "exit_plan": asdict(recipe.exit_plan),
        "costs": asdict(recipe.costs),
        "ensemble_weight": fitted.ensemble_weight,
        "calibrator": asdict(fitted.calibrator),
        "economics": economics_groups(fitted.economics, dataset.symbols),
        "kappa": recipe.model.kappa,
        "buckets": [asdict(bucket) for bucket in evidence.buckets],
        "kelly": {"fraction": KELLY_FRACTION, "f_q90": evidence.bet_q90},
        "training": _training(trained, interval),
        "data": {"lake_version": origin.lake_version, "content_sha256": origin.content_sha256},
        "metrics": split_metrics(evidence),
        "adaptive_bounds": _adaptive(trained),
        "recipe": {"booster": asdict(recipe.booster), "model": asdict(recipe.model)},
        "versions": versions(),
        "git_revision": origin.git_revision,
        "seeds": {"model": origin.seed},
    }


def judged_bundle(draft: Mapping[str, bytes], verdict: Verdict) -> dict[str, bytes]:
    """Return the draft's bundle with the gate's verdict in its manifest."""
    manifest = json.loads(draft[MANIFEST])
    del manifest["files"]
    boosters = [name for name in draft if name.endswith(BOOSTER)]
    fitted = {}
    for name in boosters:
        plain = json.loads(draft[name.removesuffix(BOOSTER) + LINEAR])
        linear = PackedLinear(
            mean=np.array(plain["mean"]),
            scale=np.array(plain["scale"]),
            coefficients=np.array(plain["coefficients"]),
            intercept=plain["intercept"],
        )
        symbol = name.removesuffix(BOOSTER).removeprefix("symbols/").rstrip("/")
        fitted[symbol] = Part(booster=draft[name], linear=linear)
    return pack({**manifest, "gate": verdict.as_dict()}, fitted)


def economics_groups(economics: Economics, symbols: tuple[str, ...]) -> dict[str, Any]:
    """Return the figures by ``SYMBOL|bucket``, and the edges between buckets."""
    groups = {
        f"{symbol}|{bucket}": {
            "win_mean": float(economics.win_mean[number, bucket]),
            "loss_mean": float(economics.loss_mean[number, bucket]),
            "second_moment": float(economics.second_moment[number, bucket]),
            "n": float(economics.n[number, bucket]),
        }
        for number, symbol in enumerate(symbols)
        for bucket in range(BUCKETS)
    }
    return {"groups": groups, "volatility_edges": [float(e) for e in economics.edges]}


def split_metrics(evidence: Evidence) -> dict[str, dict[str, float | None]]:
    """Return classification figures by split, with the test record's money figures beside."""
    out: dict[str, Mapping[str, float]] = dict(evidence.metrics)
    out["test"] = {**evidence.metrics["test"], **_money(evidence.test_records["model"])}
    return {split: finite(figures) for split, figures in out.items()}


def flat_metrics(evidence: Evidence) -> dict[str, float]:
    """Return all finite figures under one name each, as MLflow wants them."""
    named: dict[str, float] = {}
    for split, figures in evidence.metrics.items():
        named |= {f"{split}_{name}": value for name, value in figures.items()}
    for scope, records in (("test", evidence.test_records), ("oos", evidence.records)):
        for who, record in records.items():
            prefix = f"{scope}_{who.replace(' ', '_')}"
            named |= {f"{prefix}_{name}": value for name, value in record.metrics.items()}
    return {name: float(value) for name, value in named.items() if isfinite(value)}


def versions() -> dict[str, str]:
    """Return the versions of what computed the model."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "xgboost": xgb.__version__,
        "scikit-learn": sklearn.__version__,
    }


def _training(trained: Trained, interval_ms: int) -> dict[str, Any]:
    """Return the window: data known up to ``end_ms``, rows fitted on up to ``fit_end_ms``."""
    borders = trained.cuts
    return {
        "interval_ms": interval_ms,
        "start_ms": borders.first_ms,
        "end_ms": borders.last_ms,
        "fit_end_ms": borders.test_ms,
        "days": (borders.last_ms - borders.first_ms) / DAY_MS,
        "rows": int(trained.known.size),
        "rounds": trained.rounds,
    }


def _adaptive(trained: Trained) -> dict[str, list[float]]:
    """Return (default, low, high) of the six: the box that the gate looks at."""
    return {name: list(box) for name, box in tuning_box(trained.recipe.signal).items()}


def _money(record: Record) -> dict[str, float]:
    wanted = ("return_total", "sharpe", "max_drawdown", "trades", "win_rate", "profit_factor")
    return {name: record.metrics[name] for name in wanted if name in record.metrics}
