"""From a trained and judged model to the files that an executor loads.

Decides the manifest: everything a decision needs and everything a person may ask. Never holds a
wall time, a run id or a path. Rule: the same data, recipe, seed and library versions give the same
bytes, so the bundle's sha256 is the model's identity.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
import sklearn
import xgboost as xgb

from executor.core.bundle import MANIFEST, Part, pack_files
from executor.core.bundle import Linear as PackedLinear
from executor.core.manifest import FORMAT, MULTI, SINGLE
from features.meta import model_names
from flows.research.criteria import Verdict
from flows.research.economics import BUCKETS, Economics
from flows.research.evaluation import bet_quantile, calibration_buckets
from flows.research.evidence import Evidence, Record, finite
from flows.research.fitting import ALL
from flows.research.market import Dataset
from flows.research.recipe import HOUR_MS
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
    """Return the fitted parts as the bundle packs them: by symbol, or one under ""."""
    return {
        _name(trained, key): Part(
            booster=bytes(part.booster.save_raw("ubj")),
            linear=PackedLinear(
                mean=part.linear.mean,
                scale=part.linear.scale,
                coefficients=part.linear.coefficients,
                intercept=part.linear.intercept,
            ),
        )
        for key, part in trained.fitted.parts.items()
    }


def draft_manifest(
    dataset: Dataset, trained: Trained, evidence: Evidence, origin: Origin
) -> dict[str, Any]:
    """Return the manifest without the gate's verdict and the files."""
    recipe = trained.recipe
    interval = dataset.interval_ms
    names = dataset.catalog.names
    symbols = model_symbols(dataset, trained)
    answering = _apart if dataset.apart else _shared
    return {
        "format": FORMAT,
        "feature_schema": dataset.catalog.schema_hash,
        "feature_names": list(names),
        "model_names": list(model_names(names, symbols, dataset.encoding)),
        "symbols": {
            m.symbol: {"history_days": m.history_days, "coverage": m.coverage}
            for m in dataset.markets
            if m.symbol in symbols
        },
        "mode": SINGLE if dataset.apart else MULTI,
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
        "ensemble_weight": recipe.model.ensemble_weight,
        "kappa": recipe.model.kappa,
        **answering(dataset, trained, evidence, origin),
        "training": {
            **_training(trained, interval, list(trained.fitted.parts)),
            "history_days_min": min(m.history_days for m in dataset.markets if m.symbol in symbols),
        },
        "data": _data(origin),
        "metrics": split_metrics(evidence),
        "adaptive_bounds": _adaptive(trained),
        "recipe": {"booster": asdict(recipe.booster), "model": asdict(recipe.model)},
        "versions": versions(),
        "git_revision": origin.git_revision,
        "seeds": {"model": origin.seed},
    }


def model_symbols(dataset: Dataset, trained: Trained) -> tuple[str, ...]:
    """Return the symbols that the model answers for: those with a part, or all that share one."""
    keys = trained.fitted.parts
    return tuple(s for n, s in enumerate(dataset.symbols) if not dataset.apart or n in keys)


def _shared(
    dataset: Dataset, trained: Trained, evidence: Evidence, origin: Origin
) -> dict[str, Any]:
    """Return how the one part that all symbols share is answered and bet with."""
    del origin
    part = trained.fitted.parts[ALL]
    return {
        "calibrator": asdict(part.calibrator),
        "economics": {
            "groups": economics_groups(part.economics, dict(enumerate(dataset.symbols))),
            "volatility_edges": [float(edge) for edge in part.economics.edges],
        },
        "buckets": [asdict(bucket) for bucket in evidence.buckets],
        "kelly": {"fraction": KELLY_FRACTION, "f_q90": evidence.bet_q90},
    }


def _apart(
    dataset: Dataset, trained: Trained, evidence: Evidence, origin: Origin
) -> dict[str, Any]:
    """Return the same by symbol; nothing in a symbol's part depends on another symbol's."""
    groups: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for key, part in trained.fitted.parts.items():
        symbol = dataset.symbols[key]
        groups |= economics_groups(part.economics, {key: symbol})
        found[symbol] = {
            "calibrator": asdict(part.calibrator),
            "volatility_edges": [float(edge) for edge in part.economics.edges],
            "buckets": [asdict(bucket) for bucket in calibration_buckets(trained, key)],
            "f_q90": bet_quantile(trained, 0.9, key),
            "training": _training(trained, dataset.interval_ms, [key]),
            "data": _data(origin),
            "metrics": {"test": finite(evidence.groups[f"symbol {symbol}"])},
        }
    return {
        "parts": found,
        "economics": {"groups": groups},
        "kelly": {"fraction": KELLY_FRACTION},
    }


def judged_bundle(draft: Mapping[str, bytes], verdict: Verdict) -> dict[str, bytes]:
    """Return the draft's bundle with the gate's verdict in its manifest."""
    manifest = json.loads(draft[MANIFEST])
    del manifest["files"]
    fitted = {name: data for name, data in draft.items() if name != MANIFEST}
    return pack_files({**manifest, "gate": verdict.as_dict()}, fitted)


def economics_groups(economics: Economics, symbols: Mapping[int, str]) -> dict[str, Any]:
    """Return the figures of numbered symbols by ``SYMBOL|bucket``."""
    return {
        f"{symbol}|{bucket}": {
            "win_mean": float(economics.win_mean[number, bucket]),
            "loss_mean": float(economics.loss_mean[number, bucket]),
            "second_moment": float(economics.second_moment[number, bucket]),
            "n": float(economics.n[number, bucket]),
        }
        for number, symbol in symbols.items()
        for bucket in range(BUCKETS)
    }


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


def _name(trained: Trained, key: int) -> str:
    return "" if key == ALL else trained.samples.symbols[key]


def _training(trained: Trained, interval_ms: int, keys: Sequence[int]) -> dict[str, Any]:
    """Return the window: data known up to ``end_ms``, rows of the parts fitted on, and rounds."""
    borders, fitted = trained.cuts, trained.fitted
    mine = np.isin(trained.samples.symbol[trained.known], list(keys))
    rounds = [int(fitted.parts[key].booster.num_boosted_rounds()) for key in keys]
    return {
        "interval_ms": interval_ms,
        "start_ms": borders.first_ms,
        "end_ms": borders.last_ms,
        "fit_end_ms": borders.test_ms,
        "days": (borders.last_ms - borders.first_ms) / DAY_MS,
        "rows": int(trained.known.size if ALL in keys else mine.sum()),
        "rounds": max(rounds),
        "embargo_hours": trained.embargo_ms / HOUR_MS,
    }


def _data(origin: Origin) -> dict[str, Any]:
    return {"lake_version": origin.lake_version, "content_sha256": origin.content_sha256}


def _adaptive(trained: Trained) -> dict[str, list[float]]:
    """Return (default, low, high) of the six: the box that the gate looks at."""
    return {name: list(box) for name, box in tuning_box(trained.recipe.signal).items()}


def _money(record: Record) -> dict[str, float]:
    wanted = ("return_total", "sharpe", "max_drawdown", "trades", "win_rate", "profit_factor")
    return {name: record.metrics[name] for name in wanted if name in record.metrics}
